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

from pixelcnn_pp import PixelCnnPp, mixture_nats_per_image


# --- PixelCNN -----------------------------------------------------------------------------------------------------------------


from unet import SIZES as UNET_SIZES
from unet import UNet


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


# --- Gated PixelCNN -------------------------------------------------------------------------------------------------------------


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


# --- PixelRNN -------------------------------------------------------------------------------------------------------------------


def skew(x: Tensor) -> Tensor:
    """Shifts row r right by r: [N,C,H,W] to [N,C,H,W+H-1]."""
    n, c, h, w = x.shape
    return F.pad(x, (0, h)).flatten(2)[..., : h * (w + h - 1)].view(n, c, h, w + h - 1)


def unskew(x: Tensor, w: int) -> Tensor:
    n, c, h, _ = x.shape
    return F.pad(x.flatten(2), (0, h)).view(n, c, h, w + h)[..., :w]


class Direction(nn.Module):
    """An LSTM from one corner; gates in PyTorch's order: input, forget, content, output."""

    def __init__(self, hidden: int):
        super().__init__()
        self.input_to_state = nn.Conv2d(2 * hidden, 4 * hidden, 1)
        # Over a column of the skewed map: the row above, then the own row.
        self.state_to_state = nn.Conv2d(hidden, 4 * hidden, (2, 1), bias=False)
        # Hidden and cell state left of the first column.
        self.initial = nn.Parameter(torch.zeros(2, hidden))
        with torch.no_grad():
            self.input_to_state.bias[hidden : 2 * hidden] += 1.0


def cell(total: Tensor, c: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Hidden and cell state of an LSTM from its gates' sums."""
    i, f, g, o = total.chunk(4, axis)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class DiagonalLayer(nn.Module):
    """A diagonal BiLSTM with its residual (van den Oord et al. 2016a, section 3.2): 2h in, h in each direction, 2h out."""

    def __init__(self, hidden: int):
        super().__init__()
        self.hidden = hidden
        self.rightward, self.leftward = Direction(hidden), Direction(hidden)
        self.up = nn.Conv2d(hidden, 2 * hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, _, rows, columns = x.shape
        both = (self.rightward, self.leftward)
        # Both directions run as one batched product a column: [2, N, 4h, H, W+H-1].
        gates = torch.stack([skew(self.rightward.input_to_state(x)), skew(self.leftward.input_to_state(x.flip(3)))])
        gates = gates.permute(4, 0, 1, 3, 2)  # [W+H-1, 2, N, H, 4h]
        # Taps (row above, own row) side by side: [2, 2h, 4h].
        weight = torch.stack([d.state_to_state.weight[..., 0].permute(2, 1, 0).flatten(0, 1) for d in both])
        initial = torch.stack([d.initial for d in both])[:, :, None, None]  # [2, 2, 1, 1, h]
        h = initial[:, 0].expand(2, n, rows, self.hidden)
        c = initial[:, 1].expand(2, n, rows, self.hidden)
        row = torch.arange(rows, device=x.device)[:, None]
        states = []
        for at, column in enumerate(gates):
            if 0 < at < rows:
                # This row begins here.
                h, c = torch.where(row == at, initial[:, 0], h), torch.where(row == at, initial[:, 1], c)
            above = F.pad(h, (0, 0, 1, 0))[:, :, :-1]
            recurrent = torch.bmm(torch.cat([above, h], 3).flatten(1, 2), weight).view(2, n, rows, -1)
            h, c = cell(column + recurrent, c, -1)
            states.append(h)
        out = torch.stack(states, -1).permute(0, 1, 3, 2, 4)  # [2, N, h, H, W+H-1]
        rightward, leftward = unskew(out[0], columns), unskew(out[1], columns).flip(3)
        leftward = F.pad(leftward, (0, 0, 1, 0))[:, :, :-1]  # one row down, or it would see what comes after
        return x + self.up(rightward + leftward)


class RowLayer(nn.Module):
    """A Row LSTM with its residual (section 3.1): 2h in, h hidden, 2h out; a cell reads `kernel` cells of the row above."""

    def __init__(self, hidden: int, kernel: int = 3):
        super().__init__()
        self.reach = kernel // 2
        self.input_to_state = nn.Conv2d(2 * hidden, 4 * hidden, (1, self.reach + 1))
        self.state_to_state = nn.Conv2d(hidden, 4 * hidden, (1, kernel), padding=(0, self.reach), bias=False)
        self.initial = nn.Parameter(torch.zeros(2, hidden))
        self.up = nn.Conv2d(hidden, 2 * hidden, 1)
        with torch.no_grad():
            self.input_to_state.bias[hidden : 2 * hidden] += 1.0

    def forward(self, x: Tensor) -> Tensor:
        n, _, rows, columns = x.shape
        gates = self.input_to_state(F.pad(x, (self.reach, 0)))
        h, c = (state[None, :, None].expand(n, -1, columns) for state in self.initial)
        weight = self.state_to_state.weight[:, :, 0]
        states = []
        for row in range(rows):
            h, c = cell(gates[:, :, row] + F.conv1d(h, weight, padding=self.reach), c, 1)
            states.append(h)
        return x + self.up(torch.stack(states, 2))


class PixelRNN(nn.Module):
    """Logits [N,1,H,W] of binary pixels [N,1,H,W] (van den Oord et al. 2016a)."""

    def __init__(self, layer: type[nn.Module] = DiagonalLayer, hidden: int = 16, layers: int = 2, head: int = 32):
        super().__init__()
        self.input = MaskedConv2d("A", 1, 2 * hidden, 7)
        self.layers = nn.ModuleList(layer(hidden) for _ in range(layers))
        self.head = nn.ModuleList([nn.Conv2d(2 * hidden, head, 1), nn.Conv2d(head, 1, 1)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.input(x)
        for layer in self.layers:
            h = layer(h)
        for layer in self.head:
            h = layer(F.relu(h))
        return h

    @torch.no_grad()
    def zero_masked(self) -> None:
        """Writes zeros where a mask is: what the forward pass uses, and what a checkpoint holds."""
        self.input.weight *= self.input.mask


def nats_per_image(logits: Tensor, x: Tensor) -> Tensor:
    """-log p of each image, [N]."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


# --- Series ---------------------------------------------------------------------------------------------------------------------


class WaveNet(nn.Module):
    """Logits [N,L,T] of levels [N,T] (van den Oord et al. 2016c): inputs are shifted by one step, and start with a token of their own."""

    def __init__(self, levels: int = 256, residual: int = 32, skip: int = 128, head: int = 128, depth: int = 8, stacks: int = 2):
        super().__init__()
        self.levels, self.dilations = levels, [2**i for _ in range(stacks) for i in range(depth)]
        self.embed = nn.Embedding(levels + 1, residual)
        count = len(self.dilations)
        self.conv = nn.ModuleList(nn.Conv1d(residual, 2 * residual, 2, dilation=d) for d in self.dilations)
        self.res = nn.ModuleList(nn.Conv1d(residual, residual, 1) for _ in range(count - 1))
        self.skip = nn.ModuleList(nn.Conv1d(residual, skip, 1) for _ in range(count))
        self.head = nn.ModuleList([nn.Conv1d(skip, head, 1), nn.Conv1d(head, levels, 1)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(F.pad(x[:, :-1], (1, 0), value=self.levels)).transpose(1, 2)
        total = 0.0
        for at, d in enumerate(self.dilations):
            z = gate(self.conv[at](F.pad(h, (d, 0))))
            total = total + self.skip[at](z)
            if at < len(self.res):
                h = h + self.res[at](z)
        for layer in self.head:
            total = layer(F.relu(total))
        return total

    @torch.no_grad()
    def generate(self, count: int, steps: int, naive: bool = False) -> Tensor:
        """Levels [count, steps]: one product a layer and step over rings of the last `dilation` vectors, or whole passes."""
        if naive:
            x = torch.zeros(count, steps, dtype=torch.long)
            for t in range(steps):
                x[:, t] = torch.multinomial(torch.softmax(self(x)[:, :, t], 1), 1)[:, 0]
            return x
        rings = [torch.zeros(d, count, self.embed.embedding_dim) for d in self.dilations]
        kernels = [(c.weight[:, :, 0].T.contiguous(), c.weight[:, :, 1].T.contiguous(), c.bias) for c in self.conv]
        own = lambda layer: (layer.bias, layer.weight[:, :, 0].T.contiguous())
        skips, residuals, heads = [[own(layer) for layer in layers] for layers in (self.skip, self.res, self.head)]
        level, drawn = torch.full((count,), self.levels), []
        for t in range(steps):
            h, total = self.embed(level), 0.0
            for at, (ring, d, (before, now, bias)) in enumerate(zip(rings, self.dilations, kernels)):
                z = gate(torch.addmm(bias, ring[t % d], before) + h @ now)
                ring[t % d] = h
                total = total + torch.addmm(skips[at][0], z, skips[at][1])
                if at < len(residuals):
                    h = h + torch.addmm(residuals[at][0], z, residuals[at][1])
            for bias, weight in heads:
                total = torch.addmm(bias, F.relu(total), weight)
            level = torch.multinomial(torch.softmax(total, 1), 1)[:, 0]
            drawn.append(level)
        return torch.stack(drawn, 1)


class Recurrent(nn.Module):
    """Logits [N,T] of bits [N,T] by a GRU or an LSTM over the bits before each."""

    def __init__(self, kind: type, hidden: int = 64):
        super().__init__()
        self.embed = nn.Linear(1, hidden)
        self.rnn = kind(hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        before = F.pad(x[:, :-1], (1, 0))[..., None]
        return self.out(self.rnn(self.embed(before))[0])[..., 0]


# --- Variational autoencoders ---------------------------------------------------------------------------------------------------


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


# --- DCGAN ----------------------------------------------------------------------------------------------------------------------


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


# --- One training step of each --------------------------------------------------------------------------------------------------


@dataclass
class Training:
    model: nn.Module
    batch: int
    step: Callable[[], Tensor]
    """Does one step and returns its loss, still on the device."""


def parameter_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def binary_images(batch: int, size: int, channels: int, device: torch.device) -> Tensor:
    """A fixed random batch. Its values change no dense kernel's time."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(batch, channels, size, size, generator=generator) < 0.2).float().to(device)


def _likelihood_training(
    model: nn.Module, batch: int, device: torch.device, compiled: bool, loss_of: Callable, x: Tensor | None = None, betas=(0.9, 0.999)
) -> Training:
    model = model.to(device)
    forward = torch.compile(model) if compiled else model
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=betas)
    x = binary_images(batch, 28, 1, device) if x is None else x

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(forward, x)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return Training(model, batch, step)


def autoregressive_training(model: nn.Module, batch: int, device: torch.device, compiled: bool) -> Training:
    return _likelihood_training(model, batch, device, compiled, lambda f, x: nats_per_image(f(x), x).mean())


def mixture_training(batch: int, device: torch.device, compiled: bool) -> Training:
    x = torch.randint(0, 256, (batch, 3, 32, 32), generator=torch.Generator().manual_seed(1)).float().to(device) / 127.5 - 1
    model = PixelCnnPp(3, 50).to(device)
    with torch.no_grad():
        model(x)  # the start from the first batch, which no later step does
    return _likelihood_training(model, batch, device, compiled, lambda f, x: mixture_nats_per_image(f(x), x, 5).mean(), x, (0.95, 0.9995))


def wavenet_training(batch: int, device: torch.device, compiled: bool) -> Training:
    x = torch.randint(0, 256, (batch, 2048), generator=torch.Generator().manual_seed(1)).to(device)
    loss = lambda f, x: F.cross_entropy(f(x), x, reduction="sum") / batch
    return _likelihood_training(WaveNet(), batch, device, compiled, loss, x)


def recurrent_training(kind: type, batch: int, device: torch.device, compiled: bool) -> Training:
    x = binary_images(batch, 28, 1, device).flatten(1)
    return _likelihood_training(Recurrent(kind), batch, device, compiled, lambda f, x: nats_per_image(f(x), x).mean(), x)


def diffusion_training(size: str, pixels: int, batch: int, device: torch.device, compiled: bool) -> Training:
    """v of a cosine schedule of a thousand steps; times spread evenly over the batch from one draw."""
    model = UNet(**UNET_SIZES[size] | ({"dropout": 0.0} if size in ("tiny", "small") else {})).to(device)
    channels = UNET_SIZES[size].get("cin", 1)
    mean = torch.cos((torch.arange(1001, dtype=torch.float64) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    kept = torch.cumprod(1 - (1 - mean[1:] / mean[:-1]).clamp(max=0.999), 0).float().to(device)
    x = 2 * torch.rand(batch, channels, pixels, pixels, generator=torch.Generator().manual_seed(1)).to(device) - 1
    forward = torch.compile(model) if compiled else model
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99))

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        t = ((torch.rand(1, device=device) + torch.arange(batch, device=device) / batch) % 1 * 1000).long().clamp(max=999)
        alpha, sigma = kept[t].sqrt()[:, None, None, None], (1 - kept[t]).sqrt()[:, None, None, None]
        noise = torch.randn_like(x)
        loss = F.mse_loss(forward(alpha * x + sigma * noise, t.float()), alpha * noise - sigma * x)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return loss.detach()

    return Training(model, batch, step)


def variational_training(model: nn.Module, batch: int, device: torch.device, compiled: bool) -> Training:
    return _likelihood_training(model, batch, device, compiled, lambda f, x: negative_elbo(*f(x), x).mean())


def adversarial_training(size: int, channels: int, batch: int, device: torch.device, compiled: bool) -> Training:
    model = Dcgan(size, channels).to(device)
    generator, discriminator = model.generator, model.discriminator
    g = torch.compile(generator) if compiled else generator
    d = torch.compile(discriminator) if compiled else discriminator
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    d_optimiser = torch.optim.Adam(discriminator.parameters(), **adam)
    g_optimiser = torch.optim.Adam(generator.parameters(), **adam)
    real = binary_images(batch, size, channels, device) * 2 - 1
    ones, zeros = torch.ones(batch, device=device), torch.zeros(batch, device=device)
    bce = F.binary_cross_entropy_with_logits

    def step() -> Tensor:
        fake = g(torch.randn(batch, 100, device=device))
        d_optimiser.zero_grad(set_to_none=True)
        d_loss = bce(d(real), ones) + bce(d(fake.detach()), zeros)
        d_loss.backward()
        d_optimiser.step()

        # The generator's update needs no gradient of the discriminator's weights: leaving them out is to the peer's advantage.
        discriminator.requires_grad_(False)
        g_optimiser.zero_grad(set_to_none=True)
        bce(d(fake), ones).backward()
        g_optimiser.step()
        discriminator.requires_grad_(True)
        return d_loss.detach()

    return Training(model, batch, step)


# Name: (builder of the training, parameters it must have).
WORKLOADS: dict[str, tuple[Callable[[torch.device, bool], Training], int]] = {
    "pixelcnn-28-b64": (lambda dev, c: autoregressive_training(PixelCNN(), 64, dev, c), 53_569),
    "gated-pixelcnn-28-b32": (lambda dev, c: autoregressive_training(GatedPixelCNN(), 32, dev, c), 666_753),
    "pixelrnn-diag-28-b16": (lambda dev, c: autoregressive_training(PixelRNN(), 16, dev, c), 20_545),
    "pixelrnn-row-28-b16": (lambda dev, c: autoregressive_training(PixelRNN(RowLayer, layers=3), 16, dev, c), 26_113),
    "pixelcnn-pp-32-b16": (lambda dev, c: mixture_training(16, dev, c), 973_156),
    "wavenet-2048-b4": (lambda dev, c: wavenet_training(4, dev, c), 207_744),
    "rnn-784-b16": (lambda dev, c: recurrent_training(nn.GRU, 16, dev, c), 25_153),
    "rnn-lstm-784-b16": (lambda dev, c: recurrent_training(nn.LSTM, 16, dev, c), 33_473),
    "vae-mlp-28-b128": (lambda dev, c: variational_training(vae_mlp(), 128, dev, c), 652_824),
    "vae-conv-28-b128": (lambda dev, c: variational_training(vae_conv(), 128, dev, c), 258_025),
    "dcgan-32-b64": (lambda dev, c: adversarial_training(32, 1, 64, dev, c), 1_728_128),
    "dcgan-64-b32": (lambda dev, c: adversarial_training(64, 3, 32, dev, c), 6_342_272),
    "diffusion-28-b32": (lambda d, c: diffusion_training("small", 28, 32, d, c), 1_742_881),
    "diffusion-32-b32": (lambda d, c: diffusion_training("cifar_small", 32, 32, d, c), 6_949_187),
    "ddpm-32-b64": (lambda d, c: diffusion_training("ddpm", 32, 64, d, c), 35_746_307),
}


def build(name: str, device: torch.device, compiled: bool = False) -> Training:
    make, parameters = WORKLOADS[name]
    training = make(device, compiled)
    found = parameter_count(training.model)
    assert found == parameters, f"{name}: {found} parameters, not {parameters}"
    return training
