#!/usr/bin/env python3
"""Times what judging costs in kiln and in its peers, at the largest sizes of `kiln bench sweep eval`, and writes a markdown table.

    judging.py --python VENV/bin/python [--kiln target/release/kiln] [--jobs nearest,jpeg] [--files FOLDER] [--threads 2] [--out FILE]
    judging.py pictures --cifar FOLDER --out FOLDER [--count 100000]      writes JPEG files of CIFAR-10's binary files, every second one mirrored

The jobs are 1-NN and precision and recall of 10,000 generated items beside 60,000 (128 numbers each), scores of 60,000 images of 28×28 bits
under the 53,569-parameter PixelCNN, whole and pixel by pixel, bounds of 256 images by 4,096 importance samples under the 652,824-parameter
autoencoder, and reading the JPEG files of --files. Each program runs in a process of its own, one after another.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATED, DATA, FEATURES = 10_000, 60_000, 128
IMAGES, BATCH = 60_000, 64
BOUNDED, SAMPLES, AT_ONCE = 256, 4096, 1024
REACH = 3
PEERS = {
    "nearest": ["scikit-learn", "faiss"],
    "precision-recall": ["scikit-learn", "faiss"],
    "score": ["PyTorch", "PyTorch channels-last"],
    "score-per-pixel": ["PyTorch", "PyTorch channels-last"],
    "importance-bound": ["PyTorch"],
    "jpeg": ["PyTorch DataLoader"],
}


def rows() -> tuple:
    import numpy as np

    draws = np.random.default_rng(1)
    return tuple(draws.standard_normal((count, FEATURES), dtype=np.float32) for count in (DATA, GENERATED))


def by_scikit_learn(job: str):
    from sklearn.metrics import pairwise_distances_chunked
    from sklearn.neighbors import NearestNeighbors

    data, generated = rows()
    near = lambda of, k: NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=-1).fit(of)

    def share(of, within) -> float:
        reach = near(within, REACH + 1).kneighbors(within)[0][:, REACH]
        inside = lambda distances, _: (distances <= reach).any(1)
        return sum(part.sum() for part in pairwise_distances_chunked(of, within, reduce_func=inside, working_memory=256)) / len(of)

    if job == "nearest":
        return lambda: near(data, 1).kneighbors(generated)
    return lambda: (share(generated, data), share(data, generated))


def by_faiss(job: str, threads: int):
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(threads)
    data, generated = rows()

    def index(of):
        made = faiss.IndexFlatL2(FEATURES)
        made.add(of)
        return made

    def share(of, within) -> float:
        """faiss finds the reaches; whether an item lies within any of them it has no search for, so that is a product of matrices."""
        reach = index(within).search(within, REACH + 1)[0][:, REACH]
        squares, inside = (within * within).sum(1), 0
        for part in np.array_split(of, max(1, len(of) * len(within) // 50_000_000)):
            distances = (part * part).sum(1)[:, None] + squares - 2 * part @ within.T
            inside += (distances <= reach).any(1).sum()
        return inside / len(of)

    if job == "nearest":
        return lambda: index(data).search(generated, 1)
    return lambda: (share(generated, data), share(data, generated))


def by_pytorch(job: str, threads: int, files: Path | None, channels_last: bool = False):
    import torch

    sys.path.insert(0, str(HERE / "pytorch"))
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    bits = lambda count: (torch.rand(count, 1, 28, 28) < 0.5).float()
    if job == "jpeg":
        return reading(files, threads)
    if job == "importance-bound":
        return bound(bits(BOUNDED))

    from autoregressive import PixelCNN
    from torch.nn.functional import binary_cross_entropy_with_logits as nats

    layout = torch.channels_last if channels_last else torch.contiguous_format
    model, images = PixelCNN().eval().to(memory_format=layout), bits(IMAGES).to(memory_format=layout)

    @torch.no_grad()
    def score():
        parts = [nats(model(x), x, reduction="none") for x in images.split(BATCH)]
        return torch.cat([part if job == "score-per-pixel" else part.flatten(1).sum(1) for part in parts])

    return score


def bound(images):
    import math

    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as nats
    from vae import vae_mlp

    model = vae_mlp().eval()

    @torch.no_grad()
    def importance():
        found = []
        for x in images:
            mean, log_var = model.encoder(x[None])
            weights = []
            for _ in range(SAMPLES // AT_ONCE):
                noise = torch.randn(AT_ONCE, mean.shape[1])
                z = mean + torch.exp(0.5 * log_var) * noise
                log_p = -nats(model.decoder(z), x.expand(AT_ONCE, -1, -1, -1), reduction="none").flatten(1).sum(1)
                weights.append(log_p + 0.5 * (noise**2 - z**2 + log_var).sum(1))
            found.append(torch.logsumexp(torch.cat(weights), 0) - math.log(SAMPLES))
        return torch.stack(found)

    return importance


class Pictures:
    """Pictures of a folder as a data set of PyTorch."""

    def __init__(self, files: Path):
        self.paths = sorted(entry.path for entry in os.scandir(files))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int):
        import numpy as np
        import torch
        from PIL import Image

        with Image.open(self.paths[at]) as picture:
            return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def reading(files: Path, workers: int):
    from torch.utils.data import DataLoader

    def read():
        count = sum(len(batch) for batch in DataLoader(Pictures(files), BATCH, num_workers=workers))
        return count

    return read


def peer_row(args) -> dict:
    """What one peer takes for one job, in this process."""
    if args.program == "scikit-learn":
        work = by_scikit_learn(args.jobs)
    elif args.program == "faiss":
        work = by_faiss(args.jobs, args.threads)
    else:
        work = by_pytorch(args.jobs, args.threads, args.files, args.program.endswith("channels-last"))
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"program": args.program, "job": args.jobs, "seconds": seconds, "peak_rss_bytes": peak * (1 if sys.platform == "darwin" else 1024)}


def ran(command: list, environment: dict) -> dict:
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {last[0]}")
    return json.loads(done.stdout)


def kiln_lines(args, job: str, environment: dict) -> dict:
    """The largest size, and the slope of the seconds against what is to be done."""
    command = [args.kiln, "bench", "sweep", "eval", "--json", "--device", "cpu", "--steps", "1", "--filter", f"{job}-"]
    files = ["--files", args.files] if job == "jpeg" else []
    said = ran(command + files, environment)
    exact = lambda name: [row for row in said[name] if row["subject"] == job]
    return exact("rows")[-1] | {"slope": exact("slopes")[0]["seconds_work"]}


def table(args, environment: dict) -> list[str]:
    lines = ["| job | n | kiln, s | slope | peer | its seconds | its time ÷ kiln's | MB held: kiln's job, the peer's whole process |", "|---|---|---|---|---|---|---|---|"]
    for job in args.jobs.split(","):
        kiln = kiln_lines(args, job, environment)
        slope = "" if kiln["slope"] is None else f"{kiln['slope']:.2f}"
        for program in PEERS[job]:
            command = [args.python, __file__, "peer", "--program", program, "--jobs", job, "--threads", args.threads]
            row = ran(command + (["--files", args.files] if args.files else []), environment)
            ratio = row["seconds"] / kiln["seconds"]
            beside = f"{ratio:.2f}×" + ": kiln loses" * (ratio < 1)
            held = f"{kiln['peak_bytes'] / 1e6:.0f}, {row['peak_rss_bytes'] / 1e6:.0f}"
            lines.append(f"| {job} | {kiln['n']:,} | {kiln['seconds']:.3g} | {slope} | {program} | {row['seconds']:.3g} | {beside} | {held} |")
            print(lines[-1], file=sys.stderr)
    return lines


def write_pictures(cifar: Path, folder: Path, count: int) -> None:
    import numpy as np
    from PIL import Image

    files = sorted(cifar.glob("data_batch_*.bin"))
    if not files:
        sys.exit(f"{cifar} has no data_batch_*.bin of CIFAR-10's binary version")
    images = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073)[:, 1:] for file in files]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(count):
        image = images[at // 2 % len(images)]
        Image.fromarray(image[:, ::-1] if at % 2 else image).save(folder / f"{at:06}.jpg", quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["table", "pictures", "peer"], default="table")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch, scikit-learn, faiss and PIL")
    parser.add_argument("--kiln", type=Path, default=HERE.parents[1] / "target" / "release" / "kiln")
    parser.add_argument("--jobs", default=",".join(PEERS), help="names, with commas between them")
    parser.add_argument("--files", type=Path, help="a folder of JPEG files, which the job jpeg reads")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of every program, and workers of the DataLoader")
    parser.add_argument("--out", type=Path, help="where the table goes; standard output otherwise")
    parser.add_argument("--cifar", type=Path, help="a folder of CIFAR-10's binary files")
    parser.add_argument("--count", type=int, default=100_000, help="JPEG files to write")
    parser.add_argument("--program", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.jobs.split(",")) - set(PEERS):
        parser.error(f"no job is named {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    if args.what == "pictures":
        if not (args.cifar and args.out):
            parser.error("pictures takes --cifar and --out")
        return write_pictures(args.cifar, args.out, args.count)
    if args.what == "peer":
        return print(json.dumps(peer_row(args)))
    if "jpeg" in args.jobs.split(",") and not args.files:
        parser.error("the job jpeg takes --files; judging.py pictures writes such a folder")
    threads = str(args.threads)
    environment = {**os.environ, "RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    lines = table(args, environment)
    lines += ["", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {threads} threads."]
    text = "\n".join(lines) + "\n"
    if args.out:
        args.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
