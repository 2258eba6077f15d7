"""WaveNet in PyTorch beside kiln's: the same training on a .wav, the same weights, and how long drawing takes.

    series.py train F.wav --window 720 --overlap 360 [--steps 1200 --batch 8 --rate 3e-3 ...]
                                                   bits a sample of the last tenth, after training as `kiln train wavenet` does
    series.py check F.wav --load F.safetensors --npy scores.npy --window 720 ...
                                                   weights of `kiln export` in PyTorch against the numbers of `kiln score`
    series.py draw [--count 16 --length 2048]      seconds to draw series by rings of vectors, and by whole passes (extrapolated)

One JSON object goes to stdout, progress to stderr.
"""

import argparse
import json
import math
import sys
import time
import wave
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sequences import WaveNet
from workloads import parameter_count


def read(path: Path) -> np.ndarray:
    """A mono .wav of 16 bits, in -1..1."""
    with wave.open(str(path)) as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            sys.exit(f"{path} is not mono with 16 bits")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0


def windows(args) -> dict[str, Tensor]:
    """Levels of each split: training windows overlap, the last two tenths are validation and test, whose windows do not."""
    values = read(args.wav)
    total = len(values)
    test, valid = (round(0.1 * total) for _ in range(2))
    ends = {"train": (0, total - test - valid), "test": (total - test, total)}
    low, high = (f(values[: ends["train"][1]]) for f in (np.min, np.max))
    y = np.clip(2 * (values - low) / (high - low) - 1, -1, 1)
    levels = np.floor((y + 1) / 2 * 255 + 0.5).astype(np.int64)
    cut = {}
    for split, (begin, end) in ends.items():
        step = args.window - args.overlap if split == "train" else args.window
        starts = range(begin, end - args.window + 1, step)
        cut[split] = torch.from_numpy(np.stack([levels[s : s + args.window] for s in starts]))
    return cut


def network(args) -> WaveNet:
    return WaveNet(256, args.residual, args.skip, args.head, args.depth, args.stacks)


@torch.no_grad()
def nats(model: WaveNet, series: Tensor) -> np.ndarray:
    each = [F.cross_entropy(model(x), x, reduction="none").sum(1) for x in series.to(next(model.parameters()).device).split(8)]
    return torch.cat(each).double().cpu().numpy()


def figures(found: np.ndarray, window: int) -> dict:
    bits = found / window / math.log(2)
    return {"windows": len(found), "bits_per_sample": bits.mean(), "standard_error": bits.std(ddof=1) / math.sqrt(len(bits))}


def train(args) -> dict:
    cut = windows(args)
    torch.manual_seed(args.seed)
    model = network(args)
    # As kiln starts them: the embedding's vectors standard normal, that before the first step zero.
    with torch.no_grad():
        model.embed.weight[-1] = 0.0
    model, series = model.to(args.device), cut["train"].to(args.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=args.rate)
    order = torch.Generator().manual_seed(args.seed)
    queue: list[Tensor] = []
    start = time.perf_counter()
    for step in range(1, args.steps + 1):
        if not queue:
            queue = [i for i in torch.randperm(len(cut["train"]), generator=order).split(args.batch) if len(i) == args.batch]
        x = series[queue.pop(0)]
        for group in optimiser.param_groups:
            group["lr"] = args.rate * (0.5 + 0.5 * math.cos(math.pi * (step - 1) / args.steps))
        optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), x, reduction="sum") / args.batch
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            print(f"step {step}: {loss.item():.1f} nats", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - start
    return {"params": parameter_count(model), "steps": args.steps, "train_s": seconds, **figures(nats(model, cut["test"]), args.window)}


def check(args) -> dict:
    from safetensors.torch import load_file

    held = load_file(args.load)
    model = network(args)
    # kiln adds a bias to every vector, and it alone stands before the first step.
    vectors, bias = held.pop("embed.weight")[:, :, 0, 0].T, held.pop("embed.bias")
    state = {"embed.weight": torch.cat([vectors + bias, bias[None]])}
    for name, tensor in held.items():
        parts = name.split(".")
        name = f"{parts[2]}.{parts[1]}.{parts[3]}" if parts[0] == "layers" else name
        state[name] = tensor[..., 0] if tensor.dim() == 4 else tensor
    model.load_state_dict(state, strict=True)
    scores = np.load(args.npy).astype(np.float64)
    found = -nats(model, windows(args)["test"][: len(scores)])
    return {
        "windows": len(scores),
        "kiln_mean_log_p": scores.mean(),
        "pytorch_mean_log_p": found.mean(),
        "max_relative_difference": np.max(np.abs(scores - found) / np.abs(found)),
    }


@torch.no_grad()
def draw(args) -> dict:
    model = network(args)
    model.generate(args.count, 32)
    start = time.perf_counter()
    model.generate(args.count, args.length)
    rings = time.perf_counter() - start
    # A whole pass a step, of all steps.
    x = torch.zeros(args.count, args.length, dtype=torch.long)
    model(x)
    start = time.perf_counter()
    for t in range(args.passes):
        x[:, t] = torch.multinomial(torch.softmax(model(x)[:, :, t], 1), 1)[:, 0]
    naive = (time.perf_counter() - start) / args.passes * args.length
    return {"count": args.count, "length": args.length, "rings_s": rings, "naive_s": naive, "passes_timed": args.passes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["train", "check", "draw"])
    parser.add_argument("wav", nargs="?", type=Path)
    for key, usual in [("window", 720), ("overlap", 360), ("steps", 1200), ("batch", 8), ("residual", 32), ("skip", 128), ("head", 128), ("depth", 8)]:
        parser.add_argument(f"--{key}", type=int, default=usual)
    for key, usual in [("stacks", 2), ("seed", 1), ("threads", 2), ("count", 16), ("length", 2048), ("passes", 4)]:
        parser.add_argument(f"--{key}", type=int, default=usual)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--device", default="cpu", help="where it is trained")
    parser.add_argument("--load", type=Path, metavar="F.safetensors", help="weights of `kiln export`")
    parser.add_argument("--npy", type=Path, metavar="SCORES.npy", help="log p of each test window, of `kiln score`")
    args = parser.parse_args()
    if args.mode != "draw" and args.wav is None or args.mode == "check" and (args.load is None or args.npy is None):
        parser.error("train takes a .wav, check one with --load and --npy")
    torch.set_num_threads(args.threads)
    run = {"train": train, "check": check, "draw": draw}[args.mode]
    print(json.dumps({**run(args), "threads": args.threads, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
