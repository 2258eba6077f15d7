"""WaveNet and recurrent networks of series in PyTorch; parameter names are those of kiln's checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoregressive import gate


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
