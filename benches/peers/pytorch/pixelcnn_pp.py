"""PixelCNN++ (Salimans et al. 2017) as a PyTorch user would write it, with the names and layouts of kiln's checkpoints.

Where the authors shift a map after a convolution and its bias, zeros come in, without the bias; so they do here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def concat_elu(x: Tensor) -> Tensor:
    return F.elu(torch.cat([x, -x], 1))


class Normed(nn.Module):
    """A convolution by g · v / ‖v‖ whose first batch in training sets g and b: mean 0 and this deviation for each output channel.

    It sees rows above and its own; with `side` columns to both sides as well, else columns to the left. `transposed` doubles an image.
    """

    def __init__(self, cin: int, cout: int, kernel: tuple[int, int], side: bool, stride: int = 1, transposed: bool = False, deviation: float = 1.0):
        super().__init__()
        self.kernel, self.side, self.stride, self.transposed, self.deviation = kernel, side, stride, transposed, deviation
        self.v = nn.Parameter(0.05 * torch.randn((cin, cout, *kernel) if transposed else (cout, cin, *kernel)))
        self.g, self.b = nn.Parameter(torch.ones(cout)), nn.Parameter(torch.zeros(cout))
        self.fresh = True

    def run(self, x: Tensor) -> Tensor:
        rows, columns = self.kernel
        out = 1 if self.transposed else 0
        norm = self.v.square().sum([d for d in range(4) if d != out], keepdim=True).sqrt()
        weight = self.v * (self.g.view([-1 if d == out else 1 for d in range(4)]) / norm)
        if self.transposed:
            left = columns // 2 if self.side else 0
            y = F.conv_transpose2d(x, weight, self.b, self.stride)
            return y[:, :, : x.shape[2] * self.stride, left : left + x.shape[3] * self.stride]
        around = (columns // 2, columns // 2) if self.side else (columns - 1, 0)
        return F.conv2d(F.pad(x, (*around, rows - 1, 0)), weight, self.b, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.fresh and self.training:
            with torch.no_grad():
                y = self.run(x)
                scale = self.deviation / (y.var((0, 2, 3), unbiased=False) + 1e-10).sqrt()
                self.g *= scale
                self.b.copy_((self.b - y.mean((0, 2, 3))) * scale)
            self.fresh = False
        return self.run(x)


class GatedResidual(nn.Module):
    """x + a · σ(b); `beside` counts the maps that are read beside x."""

    def __init__(self, filters: int, side: bool, beside: int, dropout: float, classes: int):
        super().__init__()
        kernel = (2, 3) if side else (2, 2)
        self.c1 = Normed(2 * filters, filters, kernel, side)
        self.nin = Normed(2 * beside * filters, filters, (1, 1), False) if beside else None
        self.c2 = Normed(2 * filters, 2 * filters, kernel, side, deviation=0.1)
        self.hw = nn.Embedding(classes, 2 * filters) if classes else None
        if self.hw is not None:
            nn.init.normal_(self.hw.weight, 0.0, 0.05)
        self.dropout = dropout

    def forward(self, x: Tensor, beside: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        h = self.c1(concat_elu(x))
        if beside is not None:
            h = h + self.nin(concat_elu(beside))
        h = self.c2(F.dropout(concat_elu(h), self.dropout, self.training))
        if self.hw is not None:
            h = h + self.hw(labels)[..., None, None]
        a, b = h.chunk(2, 1)
        return x + a * torch.sigmoid(b)


def down(x: Tensor) -> Tensor:
    return F.pad(x, (0, 0, 1, 0))[:, :, :-1]


def right(x: Tensor) -> Tensor:
    return F.pad(x, (1, 0))[..., :-1]


class PixelCnnPp(nn.Module):
    """What each pixel of `[N,C,H,W]` is told of by those before it: `[N,outputs,H,W]`."""

    def __init__(self, colours: int, outputs: int, filters: int = 32, blocks: int = 2, stages: int = 3, dropout: float = 0.0, classes: int = 0):
        super().__init__()
        self.stages, self.blocks = stages, blocks
        self.u0 = Normed(colours + 1, filters, (2, 3), True)
        self.ul0, self.ul1 = Normed(colours + 1, filters, (1, 3), True), Normed(colours + 1, filters, (2, 1), False)

        def stack(side: bool, beside: int, count: int) -> nn.ModuleList:
            return nn.ModuleList(GatedResidual(filters, side, beside, dropout, classes) for _ in range(count))

        def between(transposed: bool) -> nn.ModuleList:
            kinds = [((2, 3), True), ((2, 2), False)] * (stages - 1)
            return nn.ModuleList(Normed(filters, filters, kernel, side, 2, transposed) for kernel, side in kinds)

        many = stages * blocks
        self.up_u, self.up_ul = stack(True, 0, many), stack(False, 1, many)
        self.down_u, self.down_ul = stack(True, 1, many + stages - 1), stack(False, 2, many + stages - 1)
        self.halve, self.twice = between(False), between(True)
        self.out = Normed(filters, outputs, (1, 1), False)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        u, ul = [down(self.u0(x))], [down(self.ul0(x)) + right(self.ul1(x))]
        for stage in range(self.stages):
            for i in range(stage * self.blocks, (stage + 1) * self.blocks):
                u.append(self.up_u[i](u[-1], None, labels))
                ul.append(self.up_ul[i](ul[-1], u[-1], labels))
            if stage < self.stages - 1:
                u.append(self.halve[2 * stage](u[-1]))
                ul.append(self.halve[2 * stage + 1](ul[-1]))
        a, b, i = u.pop(), ul.pop(), 0
        for stage in range(self.stages):
            for _ in range(self.blocks + (stage > 0)):
                a = self.down_u[i](a, u.pop(), labels)
                b = self.down_ul[i](b, torch.cat([a, ul.pop()], 1), labels)
                i += 1
            if stage < self.stages - 1:
                a, b = self.twice[2 * stage](a), self.twice[2 * stage + 1](b)
        return self.out(F.elu(b))


def log_one_minus_exp(x: Tensor) -> Tensor:
    """ln(1 - e^-x) for x > 0, exact at both ends."""
    half = 0.6931472
    return torch.where(x > half, torch.log1p(-torch.exp(-x.clamp_min(half))), torch.log(-torch.expm1(-x.clamp(1e-12, half))))


def mixture_nats_per_image(outputs: Tensor, x: Tensor, components: int, levels: int = 256) -> Tensor:
    """-log p of each image [N,C,H,W] in [-1, 1] under a mixture of discretised logistics, whose colours are coupled linearly, [N]."""
    n, colours, h, w = x.shape
    logits, rest = outputs[:, :components], outputs[:, components:].reshape(n, colours, -1, h, w)
    mean, log_scale = rest[:, :, :components], rest[:, :, components : 2 * components].clamp_min(-7.0)
    if colours == 3:
        by, value = torch.tanh(rest[:, :, 2 * components :]), x[:, :, None]
        green = mean[:, 1] + by[:, 0] * value[:, 0]
        blue = mean[:, 2] + by[:, 1] * value[:, 0] + by[:, 2] * value[:, 1]
        mean = torch.stack([mean[:, 0], green, blue], 1)
    inverse, away, half = torch.exp(-log_scale), x[:, :, None] - mean, 1.0 / (levels - 1)
    below, above = F.logsigmoid(inverse * (away + half)), F.logsigmoid(-inverse * (away - half))
    inside = below + above + log_one_minus_exp(2 * half * inverse)
    at = x[:, :, None].expand_as(away)
    log_p = torch.where(at < -0.999, below, torch.where(at > 0.999, above, inside)).sum(1)
    return -torch.logsumexp(log_p + F.log_softmax(logits, 1), 1).flatten(1).sum(1)
