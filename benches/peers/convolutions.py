#!/usr/bin/env python3
"""Times convolutions of 3x3 taps by themselves in kiln and in PyTorch, on the CPU, and writes a markdown table.

    PYTHON benches/peers/convolutions.py [--kiln target/release/kiln] [--images 8] [--rounds 3] [--threads 2] [--out FILE]

PYTHON has PyTorch. Cases are those of `kiln bench kernels --sweep --filter sweep-conv`: a convolution, its gradient by the image and its
gradient by the weights, each alone. PyTorch takes part with images as they are by default and with channels last, and counts with the
quicker of both; the two programs take turns, and medians of the rounds are compared.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

CASES = [(channels, side) for channels in (32, 64, 128) for side in (8, 16, 32)]
# What kiln calls the three, and which gradients PyTorch's backward is asked for (of the image, the weights, the bias).
PARTS = {"conv": None, "conv_input": [True, False, False], "conv_weight": [False, True, False]}


def of_kiln(args) -> dict:
    """Seconds by channels, side and part."""
    command = [args.kiln, "bench", "kernels", "--sweep", "--filter", "sweep-conv", "--batch", args.images, "--device", "cpu", "--json"]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True, text=True)
    found = {}
    for row in json.loads(done.stdout)["rows"]:
        channels, side = row["workload"].removeprefix("sweep-conv-").split("-")
        if row["operation"] in PARTS:
            found[int(channels), int(side.split("x")[0]), row["operation"]] = row["median_s"]
    return found


def median(work, seconds: float) -> float:
    """Median time of one call, over calls that take so long together."""
    work(), work()
    times, begun = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def of_pytorch(args, layout: str) -> dict:
    """The same, of a program of its own, so that no thread of it waits beside kiln's."""
    command = [sys.executable, __file__, "--layout", layout] + [f"--{name}={getattr(args, name)}" for name in ("images", "threads", "seconds")]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return {(channels, side, part): seconds for channels, side, part, seconds in json.loads(done.stdout)}


def measure_pytorch(args):
    import torch

    torch.set_num_threads(args.threads)
    layout = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}[args.layout]
    rows = []
    for channels, side in CASES:
        x, g = (torch.rand(args.images, channels, side, side).to(memory_format=layout) for _ in range(2))
        w = torch.rand(channels, channels, 3, 3).to(memory_format=layout)
        for part, mask in PARTS.items():
            if mask is None:
                work = lambda: torch.nn.functional.conv2d(x, w, padding=1)
            else:
                work = lambda: torch.ops.aten.convolution_backward(g, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask)
            rows.append([channels, side, part, median(work, args.seconds)])
    print(json.dumps(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", default="target/release/kiln")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each case and round, in PyTorch")
    parser.add_argument("--layout", help="measure PyTorch alone, with images so laid out, and write JSON")
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.layout:
        return measure_pytorch(args)
    turns = {"kiln": lambda: of_kiln(args)}
    for layout in ("contiguous", "channels last"):
        turns[layout] = lambda layout=layout: of_pytorch(args, layout)
    rounds = {name: [] for name in turns}
    for number in range(args.rounds):
        for name in sorted(turns, reverse=number % 2 == 1):
            rounds[name].append(turns[name]())
    lines = ["| channels | side | part | kiln, ms | PyTorch, ms | channels last, ms | best ÷ kiln |", "|---|---|---|---|---|---|---|"]
    for channels, side in CASES:
        for part in PARTS:
            key = (channels, side, part)
            if not all(key in found for found in rounds["kiln"]):
                continue
            ms = [1e3 * statistics.median(found[key] for found in rounds[name]) for name in ("kiln", "contiguous", "channels last")]
            lines.append(f"| {channels} | {side} | {part} | {ms[0]:.3f} | {ms[1]:.3f} | {ms[2]:.3f} | {min(ms[1:]) / ms[0]:.2f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        with open(args.out, "w") as file:
            file.write(text)


if __name__ == "__main__":
    main()
