"""A diffusion model in PyTorch beside kiln's: the same training on the same digits, the same bound, and how long drawing takes.

    diffusion.py train --data DIR                  trains as `kiln train diffusion --data DIR` does, then the bound of the averaged weights
    diffusion.py bound --data DIR --load F.safetensors
                                                   the bound of weights of `kiln export --average`
    diffusion.py draw                              seconds to draw images by DDIM

DIR holds IDX files, for `--size cifar_small` CIFAR-10's binary files. The noise is v of a cosine schedule of a thousand steps; the bound is that of a
chain of `--rungs` steps, even in ln α/σ. One JSON object goes to stdout, progress to stderr.
"""

import argparse
import copy
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from parity import read_colours, read_images, shuffled_batches
from unet import SIZES, UNet
from workloads import parameter_count


def kept_of_each_step() -> Tensor:
    """ᾱ, from the least noise up, in f64."""
    mean = torch.cos((torch.arange(1001, dtype=torch.float64) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.cumprod(1 - (1 - mean[1:] / mean[:-1]).clamp(max=0.999), 0)


def network(size: str) -> UNet:
    return UNet(**SIZES[size] | ({"dropout": 0.0} if size in ("tiny", "small") else {}))


def read(args, split: str) -> Tensor:
    """Images in -1..1."""
    return read_colours(args.data, split) if SIZES[args.size].get("cin") == 3 else 2 * read_images(args.data, split) - 1


def rungs(kept: Tensor, count: int) -> list[int]:
    """Different steps from the last to the first, as even in ln α/σ as there are."""
    ratio = (0.5 * torch.log(kept / (1 - kept))).numpy()
    found, above = [], len(ratio)
    for i in range(count):
        wanted = ratio[-1] + (ratio[0] - ratio[-1]) * i / (count - 1)
        nearest = int(np.abs(ratio - wanted).argmin())
        above = min(max(nearest, count - 1 - i), above - 1)
        found.append(above)
    return found


def log_normal_cell(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    """ln p of values on the grid of 256 levels under normals, of which the outermost levels take all beyond; in f64."""
    x, mean, half = x.double(), mean.double(), 1 / 255
    # Mirrored to lie below the mean, where the distribution function keeps its digits.
    side = torch.where(x > mean, -1.0, 1.0)
    near, far = side * (x - mean) + half, side * (x - mean) - half
    upper, lower = torch.special.log_ndtr(near / sigma), torch.special.log_ndtr(far / sigma)
    at_near = torch.where(side > 0, x > 1 - half, x < half - 1)
    at_far = torch.where(side > 0, x < half - 1, x > 1 - half)
    upper = torch.where(at_near, torch.zeros_like(upper), upper)
    between = upper + torch.log(-torch.expm1((lower - upper).clamp(max=-1e-30)))
    return torch.where(at_far, upper, between)


@torch.no_grad()
def bound(model: UNet, images: Tensor, count: int, batch: int = 500) -> np.ndarray:
    """Nats an image, of a chain of `count` steps with the variances of the posterior."""
    device = next(model.parameters()).device
    kept = kept_of_each_step()
    steps = rungs(kept, count)
    total, before = torch.zeros(len(images), dtype=torch.float64), math.nan
    noises = torch.Generator(device).manual_seed(0)
    for i, step in enumerate(steps):
        alpha, sigma = kept[step].sqrt().item(), (1 - kept[step]).sqrt().item()
        to_alpha, to_sigma = (kept[steps[i + 1]].sqrt().item(), (1 - kept[steps[i + 1]]).sqrt().item()) if i + 1 < count else (1.0, 0.0)
        falls = alpha / to_alpha
        beta = sigma**2 - (falls * to_sigma) ** 2
        of_item, small = to_alpha * beta / sigma**2, beta * to_sigma**2 / sigma**2
        for begin in range(0, len(images), batch):
            x = images[begin : begin + batch].to(device)
            noised = alpha * x + sigma * torch.randn(x.shape, device=device, generator=noises)
            said = model(noised, torch.full((len(x),), float(step), device=device))
            item = (alpha * noised - sigma * said).clamp(-1, 1)
            if i == 0:
                total[begin : begin + batch] += (0.5 * (alpha / sigma * x.double()) ** 2).sum((1, 2, 3)).cpu()
            if i + 1 < count:
                terms = 0.5 * (of_item * (x - item).double()) ** 2 / small
            else:
                terms = -log_normal_cell(x, item, math.sqrt(before))
            total[begin : begin + batch] += terms.sum((1, 2, 3)).cpu()
        before = small
    return total.numpy()


def figures(args, model: UNet, test: Tensor) -> dict:
    if args.limit:
        test = test[torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[: args.limit]]
    found = bound(model.eval(), test, args.rungs) / math.log(2) / test[0].numel()
    return {
        "test_images": len(test),
        "rungs": args.rungs,
        "bits_per_dim": found.mean(),
        "standard_error": found.std(ddof=1) / math.sqrt(len(found)),
    }


def train(args) -> dict:
    torch.manual_seed(args.seed)
    images, model, kept = read(args, "train").to(args.device), network(args.size).to(args.device), kept_of_each_step().float().to(args.device)
    average = copy.deepcopy(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=args.rate, betas=(0.9, 0.99))
    batches = shuffled_batches(images, args.batch, torch.Generator().manual_seed(args.seed))
    recent, start = [], time.perf_counter()
    for step in range(1, args.steps + 1):
        x = next(batches)
        for group in optimiser.param_groups:
            group["lr"] = args.rate * min(1.0, step / args.warmup)
        optimiser.zero_grad(set_to_none=True)
        t = ((torch.rand(1, device=args.device) + torch.arange(len(x), device=args.device) / len(x)) % 1 * 1000).long().clamp(max=999)
        alpha, sigma = kept[t].sqrt()[:, None, None, None], (1 - kept[t]).sqrt()[:, None, None, None]
        noise = torch.randn_like(x)
        loss = F.mse_loss(model(alpha * x + sigma * noise, t.float()), alpha * noise - sigma * x)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        decay = min(args.average, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        recent.append(loss.detach())
        if step % 200 == 0 or step == args.steps:
            print(f"step {step}: {torch.stack(recent).mean().item():.4f}", file=sys.stderr, flush=True)
            recent = []
    seconds = time.perf_counter() - start
    return {"params": parameter_count(model), "steps": args.steps, "batch": args.batch, "seed": args.seed, "train_s": seconds} | figures(args, average, read(args, "test"))


def score(args) -> dict:
    from safetensors.torch import load_file

    model = network(args.size)
    model.load_state_dict(load_file(args.load), strict=True)
    return figures(args, model.to(args.device), read(args, "test"))


@torch.no_grad()
def draw(args) -> dict:
    """DDIM without fresh noise, steps even in time."""
    model, kept = network(args.size).to(args.device).eval(), kept_of_each_step()
    if args.compile:
        model = torch.compile(model)
    sizes = (3, 32, 32) if SIZES[args.size].get("cin") == 3 else (1, 28, 28)
    steps = [round(999 - 999 * i / (args.moves - 1)) for i in range(args.moves)]
    seconds = []
    for _ in range(args.rounds + 1):
        x, start = torch.randn(args.count, *sizes, device=args.device), time.perf_counter()
        for i, step in enumerate(steps):
            alpha, sigma = kept[step].sqrt().item(), (1 - kept[step]).sqrt().item()
            after = kept[steps[i + 1]].item() if i + 1 < len(steps) else 1.0
            said = model(x, torch.full((args.count,), float(step), device=args.device))
            item = (alpha * x - sigma * said).clamp(-1, 1)
            x = math.sqrt(after) * item + math.sqrt(1 - after) * (x - alpha * item) / sigma
        x.sum().item()
        seconds.append(time.perf_counter() - start)
    return {"count": args.count, "moves": args.moves, "seconds": sorted(seconds[1:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["train", "bound", "draw"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--load", type=Path, metavar="F.safetensors", help="weights of `kiln export --average`")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1000, help="of training")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--average", type=float, default=0.999, help="weight of the old average of the weights")
    parser.add_argument("--rungs", type=int, default=50, help="steps of the bound")
    parser.add_argument("--limit", type=int, help="score a random so many of the test images alone")
    parser.add_argument("--count", type=int, default=16, help="images to draw")
    parser.add_argument("--moves", type=int, default=50, help="steps of drawing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    if args.mode != "draw" and args.data is None or args.mode == "bound" and args.load is None:
        parser.error("train and bound take --data, bound --load too")
    torch.set_num_threads(args.threads)
    run = {"train": train, "bound": score, "draw": draw}[args.mode]
    print(json.dumps({**run(args), "device": args.device, "threads": args.threads, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
