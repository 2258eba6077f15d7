"""The U-Net of DDPM (Ho et al. 2020; Nichol and Dhariwal 2021) as a PyTorch user would write it, with the names of kiln's checkpoints."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, min(32, channels // 4)), channels)


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    def __init__(self, cin: int, cout: int, embedding: int, dropout: float, film: bool):
        super().__init__()
        self.dropout, self.film = dropout, film
        self.norm1, self.conv1 = norm(cin), nn.Conv2d(cin, cout, 3, padding=1)
        self.embed = nn.Linear(embedding, 2 * cout if film else cout)
        self.norm2, self.conv2 = norm(cout), zero(nn.Conv2d(cout, cout, 3, padding=1))
        self.skip = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        told = self.embed(F.silu(embedding))[:, :, None, None]
        if self.film:
            a, b = told.chunk(2, 1)
            h = self.norm2(h) * (1 + a) + b
        else:
            h = self.norm2(h + told)
        return self.skip(x) + self.conv2(F.dropout(F.silu(h), self.dropout, self.training))


class Attention(nn.Module):
    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.norm, self.heads = norm(channels), heads
        self.qkv, self.out = nn.Conv2d(channels, 3 * channels, 1), zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).view(n, 3, self.heads, c // self.heads, h * w).transpose(-1, -2).unbind(1)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(-1, -2).reshape(n, c, h, w))


class Upsample(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2))


class Place(nn.Module):
    """A block, and what follows it; or a convolution to half the size alone."""

    def __init__(self, block: Block | None = None, attention: Attention | None = None, upsample: Upsample | None = None, downsample: nn.Conv2d | None = None):
        super().__init__()
        self.block, self.attention, self.upsample, self.downsample = block, attention, upsample, downsample

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        if self.block is not None:
            x = self.block(x, embedding)
        for layer in (self.attention, self.upsample, self.downsample):
            x = x if layer is None else layer(x)
        return x


class UNet(nn.Module):
    """`attention` lists the sizes of maps, from 0 for the whole image, at which attention follows each block; time lies in 0..1000.
    Labels are 0..classes, of which the last is none."""

    def __init__(
        self,
        cin: int = 1,
        channels: int = 32,
        multipliers: tuple[int, ...] = (1, 2, 2),
        blocks: int = 2,
        attention: tuple[int, ...] = (2,),
        heads: int = 4,
        dropout: float = 0.1,
        film: bool = True,
        classes: int = 0,
        outputs: int | None = None,
    ):
        super().__init__()
        self.channels, embedding = channels, 4 * channels
        self.time = nn.Sequential(nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.label = nn.Embedding(classes + 1, embedding) if classes else None
        self.input = nn.Conv2d(cin, channels, 3, padding=1)
        place = lambda cin, cout, attends, doubles=False: Place(
            Block(cin, cout, embedding, dropout, film), Attention(cout, heads) if attends else None, Upsample(cout, cout, 3, padding=1) if doubles else None
        )
        self.down, kept, c, last = nn.ModuleList(), [channels], channels, len(multipliers) - 1
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                self.down.append(place(c, multiplier * channels, level in attention))
                c = multiplier * channels
                kept.append(c)
            if level < last:
                self.down.append(Place(downsample=nn.Conv2d(c, c, 3, 2, 1)))
                kept.append(c)
        self.middle = nn.ModuleList([place(c, c, True), place(c, c, False)])
        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for i in range(blocks + 1):
                self.up.append(place(c + kept.pop(), multiplier * channels, level in attention, level > 0 and i == blocks))
                c = multiplier * channels
        self.norm, self.output = norm(c), zero(nn.Conv2d(c, outputs or cin, 3, padding=1))

    def waves(self, time: Tensor) -> Tensor:
        half = self.channels // 2
        angles = time[:, None] * torch.exp(-math.log(10000.0) / half * torch.arange(half, dtype=time.dtype, device=time.device))
        return torch.cat([angles.cos(), angles.sin()], 1)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding = self.time(self.waves(time))
        if self.label is not None:
            embedding = embedding + self.label(labels)
        h = self.input(x)
        kept = [h]
        for step in self.down:
            h = step(h, embedding)
            kept.append(h)
        for step in self.middle:
            h = step(h, embedding)
        for step in self.up:
            h = step(torch.cat([h, kept.pop()], 1), embedding)
        return self.output(F.silu(self.norm(h)))


SIZES = {
    "tiny": dict(channels=16, multipliers=(1, 2), blocks=1, attention=(1,), heads=2),
    "small": dict(),
    "cifar_small": dict(cin=3, channels=64, attention=(1,)),
    "ddpm": dict(cin=3, channels=128, multipliers=(1, 2, 2, 2), attention=(1,), heads=1, film=False),
    "iddpm": dict(cin=3, channels=128, multipliers=(1, 2, 2, 2), blocks=3, attention=(1, 2), dropout=0.3, outputs=6),
}
