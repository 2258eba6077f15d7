"""Times one training step of kiln's workloads in PyTorch.

    bench.py --workload all --steps 5 --warmup 3 --threads 2 --json
    bench.py --sample --pixels 40

With --json, one object with the key "rows" goes to stdout. `all` runs each workload in a process of its own, so that a row's peak
memory is its own.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch

from autoregressive import PixelCNN
from workloads import WORKLOADS, How, build, parameter_count


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def shared_fields(args, device: torch.device) -> dict:
    fields = {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "compiled": args.compile,
        "channels_last": args.channels_last,
        "bf16": args.bf16,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    if device.type == "cuda":
        fields["peak_device_bytes"] = torch.cuda.max_memory_allocated(device)
        fields["tf32"] = args.tf32
    return fields


def time_training(name: str, args, device: torch.device) -> dict:
    training = build(name, How(device, args.compile, args.channels_last, args.bf16))
    start = time.perf_counter()
    training.step()
    synchronise(device)
    first = time.perf_counter() - start
    for _ in range(args.warmup - 1):
        training.step()
    times = []
    for _ in range(args.steps):
        synchronise(device)
        start = time.perf_counter()
        loss = training.step()
        synchronise(device)
        times.append(time.perf_counter() - start)
    if not torch.isfinite(loss):
        sys.exit(f"{name}: the loss is {loss.item()}")
    median = statistics.median(times)
    return {
        "workload": name,
        "step_s": median,
        "step_min_s": min(times),
        "step_max_s": max(times),
        "first_step_s": first,
        "images_per_s": training.batch / median,
        "params": parameter_count(training.model),
        **shared_fields(args, device),
    }


@torch.no_grad()
def time_sampling(args, device: torch.device) -> dict:
    """Draws images pixel by pixel, each by a whole forward pass of all of them: what a plain PyTorch program does."""
    model = PixelCNN().to(device).eval()
    forward = torch.compile(model) if args.compile else model
    size, images = 28, args.images
    x = torch.zeros(images, 1, size, size, device=device)
    for _ in range(args.warmup):
        forward(x)
    pixels = min(args.pixels or size * size, size * size)
    synchronise(device)
    start = time.perf_counter()
    for pixel in range(pixels):
        row, column = divmod(pixel, size)
        x[:, 0, row, column] = torch.bernoulli(torch.sigmoid(forward(x)[:, 0, row, column]))
    synchronise(device)
    elapsed = time.perf_counter() - start
    total = elapsed * size * size / pixels
    return {
        "workload": f"pixelcnn-28-sample-{images}",
        "method": "naive",
        "sample_s": total,
        "images_per_s": images / total,
        "pixels_timed": pixels,
        "extrapolated": pixels < size * size,
        "params": parameter_count(model),
        **shared_fields(args, device),
    }


def in_own_process(name: str, args) -> list[dict]:
    command = [sys.executable, __file__, "--json", "--workload", name, "--device", args.device]
    command += ["--steps", str(args.steps), "--warmup", str(args.warmup), "--threads", str(args.threads)]
    command += ["--compile"] * args.compile + ["--tf32"] * args.tf32 + ["--channels-last"] * args.channels_last + ["--bf16"] * args.bf16
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["rows"]


def sentence(row: dict) -> str:
    seconds = row.get("step_s", row.get("sample_s"))
    note = f", extrapolated from {row['pixels_timed']} pixels" if row.get("extrapolated") else ""
    return f"{row['workload']:24} {row['device']:12} {seconds:9.4f} s {row['images_per_s']:9.1f} images/s{note}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=[*WORKLOADS, "all"], default="all")
    parser.add_argument("--sample", action="store_true", help="time sampling of pixelcnn-28 instead of training")
    parser.add_argument("--images", type=int, default=16, help="images drawn together by --sample")
    parser.add_argument("--pixels", type=int, help="time only the first N pixels of --sample and extrapolate")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--channels-last", action="store_true", help="weights and images with channels last in memory")
    parser.add_argument("--bf16", action="store_true", help="products in bfloat16, by autocast")
    parser.add_argument("--tf32", action="store_true", help="allow TF32 on CUDA; without it all products are f32")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.sample and (args.channels_last or args.bf16):
        parser.error("--channels-last and --bf16 are of training")
    if args.steps < 1 or args.warmup < 1 or args.images < 1 or (args.pixels is not None and args.pixels < 1):
        parser.error("--steps, --warmup, --images and --pixels are at least 1")
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    device = torch.device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32

    if args.sample:
        rows = [time_sampling(args, device)]
    elif args.workload == "all":
        rows = [row for name in WORKLOADS for row in in_own_process(name, args)]
    else:
        rows = [time_training(args.workload, args, device)]
    if args.json:
        print(json.dumps({"rows": rows}))
    else:
        print("\n".join(map(sentence, rows)))


if __name__ == "__main__":
    main()
