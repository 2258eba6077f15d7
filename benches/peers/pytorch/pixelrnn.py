"""PixelRNN in PyTorch, by rows and by diagonals; parameter names are those of kiln's checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoregressive import MaskedConv2d


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
