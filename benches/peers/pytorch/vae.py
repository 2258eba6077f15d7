"""Variational autoencoders in PyTorch; parameter names are those of kiln's checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoregressive import nats_per_image


class MlpEncoder(nn.Module):
    def __init__(self, hidden: int, latent: int):
        super().__init__()
        self.hidden = nn.Linear(784, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_var = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.hidden(x.flatten(1)))
        return self.mean(h), self.log_var(h)


class MlpDecoder(nn.Module):
    def __init__(self, hidden: int, latent: int):
        super().__init__()
        self.hidden = nn.Linear(latent, hidden)
        self.logits = nn.Linear(hidden, 784)

    def forward(self, z: Tensor) -> Tensor:
        return self.logits(F.relu(self.hidden(z))).view(-1, 1, 28, 28)


class ConvEncoder(nn.Module):
    def __init__(self, latent: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 4, 2, 1)
        self.conv2 = nn.Conv2d(32, 64, 4, 2, 1)
        self.mean = nn.Linear(64 * 7 * 7, latent)
        self.log_var = nn.Linear(64 * 7 * 7, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.conv2(F.relu(self.conv1(x)))).flatten(1)
        return self.mean(h), self.log_var(h)


class ConvDecoder(nn.Module):
    def __init__(self, latent: int):
        super().__init__()
        self.project = nn.Linear(latent, 64 * 7 * 7)
        self.deconv1 = nn.ConvTranspose2d(64, 32, 4, 2, 1)
        self.deconv2 = nn.ConvTranspose2d(32, 1, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        h = F.relu(self.project(z)).view(-1, 64, 7, 7)
        return self.deconv2(F.relu(self.deconv1(h)))


class Vae(nn.Module):
    """Logits and the posterior's mean and log variance (Kingma & Welling 2014, appendix C.1)."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encoder(x)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        return self.decoder(z), mean, log_var


def vae_mlp() -> Vae:
    return Vae(MlpEncoder(400, 20), MlpDecoder(400, 20))


def vae_conv() -> Vae:
    return Vae(ConvEncoder(20), ConvDecoder(20))


def negative_elbo(logits: Tensor, mean: Tensor, log_var: Tensor, x: Tensor) -> Tensor:
    """Bernoulli reconstruction plus the KL to N(0, I), in nats, of each image, [N]."""
    kl = 0.5 * (mean.square() + log_var.exp() - 1.0 - log_var).sum(1)
    return nats_per_image(logits, x) + kl
