"""DCGAN in PyTorch; parameter names are those of kiln's checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Generator(nn.Module):
    """z [N,100] to images [N,channels,size,size] in (-1, 1). The last deconvolution has neither norm nor bias."""

    def __init__(self, size: int, channels: int, filters: int = 64, latent: int = 100):
        super().__init__()
        width, cin, self.depth = filters * size // 8, latent, 1
        while width >= filters:
            first = self.depth == 1
            self.add_module(f"deconv{self.depth}", nn.ConvTranspose2d(cin, width, 4, 1 if first else 2, 0 if first else 1, bias=False))
            self.add_module(f"norm{self.depth}", nn.BatchNorm2d(width))
            cin, width, self.depth = width, width // 2, self.depth + 1
        self.add_module(f"deconv{self.depth}", nn.ConvTranspose2d(cin, channels, 4, 2, 1, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        h = z.view(*z.shape, 1, 1)
        for i in range(1, self.depth):
            h = F.relu(self.get_submodule(f"norm{i}")(self.get_submodule(f"deconv{i}")(h)))
        return torch.tanh(self.get_submodule(f"deconv{self.depth}")(h))


class Discriminator(nn.Module):
    """Images to one logit each, [N]. The first and the last convolution have no norm."""

    def __init__(self, size: int, channels: int, filters: int = 64):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 4, 2, 1, bias=False)
        width, self.depth = filters, 2
        while width < filters * size // 8:
            self.add_module(f"conv{self.depth}", nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False))
            self.add_module(f"norm{self.depth}", nn.BatchNorm2d(2 * width))
            width, self.depth = 2 * width, self.depth + 1
        self.add_module(f"conv{self.depth}", nn.Conv2d(width, 1, 4, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.conv1(x), 0.2)
        for i in range(2, self.depth):
            h = F.leaky_relu(self.get_submodule(f"norm{i}")(self.get_submodule(f"conv{i}")(h)), 0.2)
        return self.get_submodule(f"conv{self.depth}")(h).flatten()


class Dcgan(nn.Module):
    """Radford et al. 2016, with the usual 4x4 kernels; weights start at N(0, 0.02), norm scales at N(1, 0.02)."""

    def __init__(self, size: int, channels: int):
        super().__init__()
        self.generator = Generator(size, channels)
        self.discriminator = Discriminator(size, channels)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)
