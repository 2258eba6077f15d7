"""PixelCNN and gated PixelCNN in PyTorch; parameter names are those of kiln's checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskedConv2d(nn.Conv2d):
    """A square convolution that sees the pixels before its own in raster order (`A`), and its own as well (`B`)."""

    def __init__(self, kind: str, cin: int, cout: int, kernel: int):
        super().__init__(cin, cout, kernel, padding=kernel // 2)
        taps = torch.zeros(kernel * kernel)
        taps[: kernel * kernel // 2 + (kind == "B")] = 1.0
        self.register_buffer("mask", taps.view(1, 1, kernel, kernel), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.reduce = nn.Conv2d(channels, half, 1)
        self.masked = MaskedConv2d("B", half, half, 3)
        self.expand = nn.Conv2d(half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.reduce(F.relu(x))
        h = self.masked(F.relu(h))
        return x + self.expand(F.relu(h))


class PixelCNN(nn.Module):
    """Logits [N,1,H,W] of binary pixels [N,1,H,W] (van den Oord et al. 2016, section 3.4, without its colour groups)."""

    def __init__(self, channels: int = 32, blocks: int = 15, head: int = 32):
        super().__init__()
        self.input = MaskedConv2d("A", 1, channels, 7)
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))
        self.head = nn.ModuleList([nn.Conv2d(channels, head, 1), nn.Conv2d(head, 1, 1)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.input(x)
        for block in self.blocks:
            h = block(h)
        for layer in self.head:
            h = layer(F.relu(h))
        return h

    @torch.no_grad()
    def zero_masked(self) -> None:
        """Writes zeros where a mask is: what the forward pass uses, and what a checkpoint holds."""
        for module in self.modules():
            if isinstance(module, MaskedConv2d):
                module.weight *= module.mask


def gate(x: Tensor) -> Tensor:
    content, opening = x.chunk(2, dim=1)
    return torch.tanh(content) * torch.sigmoid(opening)


class GatedLayer(nn.Module):
    """One layer of the two stacks (van den Oord et al. 2016b, figure 2), kernel n, from `cin` to `channels`.

    The vertical map of a row depends on the rows above it: the first layer reads those alone, later layers their own row as well, to
    both sides, since nothing there depends on the row itself. So `link` hands it to the horizontal stack unshifted. Vertical layers
    that all read strictly above would reach no further than three columns to the right in the row above, however many there are.
    """

    def __init__(self, cin: int, channels: int, n: int, first: bool, classes: int = 0):
        super().__init__()
        self.reach, self.first = n // 2, first
        taps = self.reach + (not first)
        self.v = nn.Conv2d(cin, 2 * channels, (taps, n))
        self.h = nn.Conv2d(cin, 2 * channels, (1, taps))
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.res = nn.Conv2d(channels, channels, 1)
        self.skip = nn.Conv2d(channels, channels, 1)
        self.cond = nn.Embedding(classes, 4 * channels) if classes else None

    def forward(self, v: Tensor, h: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = v.shape[2:]
        above = self.v(F.pad(v, (self.reach, self.reach, self.reach, 0)))[:, :, :rows]
        across = self.h(F.pad(h, (self.reach, 0)))[..., :columns] + self.link(above)
        if self.cond is not None:
            of_class = self.cond(labels)[..., None, None].chunk(2, 1)
            above, across = above + of_class[0], across + of_class[1]
        out = gate(across)
        residual = self.res(out)
        return gate(above), residual if self.first else residual + h, self.skip(out)


class GatedPixelCNN(nn.Module):
    def __init__(self, channels: int = 64, layers: int = 8, head: int = 64, classes: int = 0):
        super().__init__()
        self.layers = nn.ModuleList(
            GatedLayer(1 if i == 0 else channels, channels, 7 if i == 0 else 3, i == 0, classes) for i in range(layers)
        )
        self.head = nn.ModuleList([nn.Conv2d(channels, head, 1), nn.Conv2d(head, 1, 1)])

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        v = h = x
        total = 0.0
        for layer in self.layers:
            v, h, skip = layer(v, h, labels)
            total = total + skip
        for layer in self.head:
            total = layer(F.relu(total))
        return total


def nats_per_image(logits: Tensor, x: Tensor) -> Tensor:
    """-log p of each image, [N]."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
