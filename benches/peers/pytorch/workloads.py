"""The workloads of `kiln bench train`, as a PyTorch user would write them.

Each entry of `WORKLOADS` builds a model and an optimiser on a device and hands back a function that does one training step.
Parameter names and layouts are those of kiln's checkpoints, so a file written by `kiln export` loads with `load_state_dict`.
"""

import math
from dataclasses import dataclass
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoregressive import GatedPixelCNN, PixelCNN, nats_per_image
from dcgan import Dcgan
from pixelcnn_pp import PixelCnnPp, mixture_nats_per_image
from pixelrnn import PixelRNN, RowLayer
from sequences import Recurrent, WaveNet
from unet import SIZES as UNET_SIZES
from unet import UNet
from vae import negative_elbo, vae_conv, vae_mlp


@dataclass(frozen=True)
class How:
    """Where and in what way a workload is computed."""

    device: torch.device
    compiled: bool = False
    """By `torch.compile`."""
    channels_last: bool = False
    """Weights and images in the memory format that oneDNN and cuDNN like best; of images alone."""
    bf16: bool = False
    """Products by `torch.autocast` to bfloat16; weights and moments stay in f32."""

    def model(self, model: nn.Module) -> nn.Module:
        return model.to(self.device, memory_format=torch.channels_last if self.channels_last else torch.preserve_format)

    def images(self, x: Tensor) -> Tensor:
        x = x.to(self.device)
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last and x.dim() == 4 else x

    def callable(self, model: nn.Module) -> Callable:
        return torch.compile(model) if self.compiled else model

    def precision(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


@dataclass
class Training:
    model: nn.Module
    batch: int
    step: Callable[[], Tensor]
    """Does one step and returns its loss, still on the device."""


def parameter_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def binary_images(batch: int, size: int, channels: int) -> Tensor:
    """A fixed random batch. Its values change no dense kernel's time."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(batch, channels, size, size, generator=generator) < 0.2).float()


def _likelihood_training(
    model: nn.Module, batch: int, how: How, loss_of: Callable, x: Tensor | None = None, betas=(0.9, 0.999)
) -> Training:
    model = how.model(model)
    forward = how.callable(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=betas)
    x = how.images(binary_images(batch, 28, 1) if x is None else x)

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with how.precision():
            loss = loss_of(forward, x)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return Training(model, batch, step)


def autoregressive_training(model: nn.Module, batch: int, how: How) -> Training:
    return _likelihood_training(model, batch, how, lambda f, x: nats_per_image(f(x), x).mean())


def mixture_training(batch: int, how: How) -> Training:
    x = torch.randint(0, 256, (batch, 3, 32, 32), generator=torch.Generator().manual_seed(1)).float() / 127.5 - 1
    model = how.model(PixelCnnPp(3, 50))
    with torch.no_grad():
        model(how.images(x))  # the start from the first batch, which no later step does
    return _likelihood_training(model, batch, how, lambda f, x: mixture_nats_per_image(f(x), x, 5).mean(), x, (0.95, 0.9995))


def wavenet_training(batch: int, how: How) -> Training:
    x = torch.randint(0, 256, (batch, 2048), generator=torch.Generator().manual_seed(1))
    loss = lambda f, x: F.cross_entropy(f(x), x, reduction="sum") / batch
    return _likelihood_training(WaveNet(), batch, how, loss, x)


def recurrent_training(kind: type, batch: int, how: How) -> Training:
    x = binary_images(batch, 28, 1).flatten(1)
    return _likelihood_training(Recurrent(kind), batch, how, lambda f, x: nats_per_image(f(x), x).mean(), x)


def diffusion_training(size: str, pixels: int, batch: int, how: How) -> Training:
    """v of a cosine schedule of a thousand steps; times spread evenly over the batch from one draw."""
    model = how.model(UNet(**UNET_SIZES[size] | ({"dropout": 0.0} if size in ("tiny", "small") else {})))
    channels, device = UNET_SIZES[size].get("cin", 1), how.device
    mean = torch.cos((torch.arange(1001, dtype=torch.float64) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    kept = torch.cumprod(1 - (1 - mean[1:] / mean[:-1]).clamp(max=0.999), 0).float().to(device)
    x = how.images(2 * torch.rand(batch, channels, pixels, pixels, generator=torch.Generator().manual_seed(1)) - 1)
    forward = how.callable(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99))

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        t = ((torch.rand(1, device=device) + torch.arange(batch, device=device) / batch) % 1 * 1000).long().clamp(max=999)
        alpha, sigma = kept[t].sqrt()[:, None, None, None], (1 - kept[t]).sqrt()[:, None, None, None]
        noise = torch.randn_like(x)
        with how.precision():
            loss = F.mse_loss(forward(alpha * x + sigma * noise, t.float()), alpha * noise - sigma * x)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return loss.detach()

    return Training(model, batch, step)


def variational_training(model: nn.Module, batch: int, how: How) -> Training:
    return _likelihood_training(model, batch, how, lambda f, x: negative_elbo(*f(x), x).mean())


def adversarial_training(size: int, channels: int, batch: int, how: How) -> Training:
    model = how.model(Dcgan(size, channels))
    generator, discriminator, device = model.generator, model.discriminator, how.device
    g, d = how.callable(generator), how.callable(discriminator)
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    d_optimiser = torch.optim.Adam(discriminator.parameters(), **adam)
    g_optimiser = torch.optim.Adam(generator.parameters(), **adam)
    real = how.images(binary_images(batch, size, channels) * 2 - 1)
    ones, zeros = torch.ones(batch, device=device), torch.zeros(batch, device=device)
    bce = F.binary_cross_entropy_with_logits

    def step() -> Tensor:
        d_optimiser.zero_grad(set_to_none=True)
        with how.precision():
            fake = g(torch.randn(batch, 100, device=device))
            d_loss = bce(d(real), ones) + bce(d(fake.detach()), zeros)
        d_loss.backward()
        d_optimiser.step()

        # The generator's update needs no gradient of the discriminator's weights: leaving them out is to the peer's advantage.
        discriminator.requires_grad_(False)
        g_optimiser.zero_grad(set_to_none=True)
        with how.precision():
            g_loss = bce(d(fake), ones)
        g_loss.backward()
        g_optimiser.step()
        discriminator.requires_grad_(True)
        return d_loss.detach()

    return Training(model, batch, step)


# Name: (builder of the training, parameters it must have).
WORKLOADS: dict[str, tuple[Callable[[How], Training], int]] = {
    "pixelcnn-28-b64": (lambda how: autoregressive_training(PixelCNN(), 64, how), 53_569),
    "gated-pixelcnn-28-b32": (lambda how: autoregressive_training(GatedPixelCNN(), 32, how), 666_753),
    "pixelrnn-diag-28-b16": (lambda how: autoregressive_training(PixelRNN(), 16, how), 20_545),
    "pixelrnn-row-28-b16": (lambda how: autoregressive_training(PixelRNN(RowLayer, layers=3), 16, how), 26_113),
    "pixelcnn-pp-32-b16": (lambda how: mixture_training(16, how), 973_156),
    "wavenet-2048-b4": (lambda how: wavenet_training(4, how), 207_744),
    "rnn-784-b16": (lambda how: recurrent_training(nn.GRU, 16, how), 25_153),
    "rnn-lstm-784-b16": (lambda how: recurrent_training(nn.LSTM, 16, how), 33_473),
    "vae-mlp-28-b128": (lambda how: variational_training(vae_mlp(), 128, how), 652_824),
    "vae-conv-28-b128": (lambda how: variational_training(vae_conv(), 128, how), 258_025),
    "dcgan-32-b64": (lambda how: adversarial_training(32, 1, 64, how), 1_728_128),
    "dcgan-64-b32": (lambda how: adversarial_training(64, 3, 32, how), 6_342_272),
    "diffusion-28-b32": (lambda how: diffusion_training("small", 28, 32, how), 1_742_881),
    "diffusion-32-b32": (lambda how: diffusion_training("cifar_small", 32, 32, how), 6_949_187),
    "ddpm-32-b64": (lambda how: diffusion_training("ddpm", 32, 64, how), 35_746_307),
}


def build(name: str, how: How) -> Training:
    make, parameters = WORKLOADS[name]
    training = make(how)
    found = parameter_count(training.model)
    assert found == parameters, f"{name}: {found} parameters, not {parameters}"
    return training
