"""Reference figures of PyTorch on real data, and a check that both programs give an image the same probability.

    parity.py MODEL --data DIR                     an autoregressive model of binarized MNIST: nats an image of the test split
    parity.py pixelcnn-pp --data DIR               the small PixelCNN++ of CIFAR-10's binary files: bits a value of the test split
    parity.py vae-mlp --data DIR                   the classic VAE, grey MNIST: test loss an image
    parity.py --load F.safetensors --npy scores.npy --data DIR
                                                   weights of `kiln export` in PyTorch against the numbers of `kiln score`

DIR holds IDX files (`*-images-idx3-ubyte`, gzipped or not). One JSON object goes to stdout, progress to stderr.
"""

import argparse
import gzip
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoregressive import GatedPixelCNN, PixelCNN, nats_per_image
from pixelcnn_pp import PixelCnnPp, mixture_nats_per_image
from pixelrnn import PixelRNN, RowLayer
from vae import negative_elbo, vae_mlp
from workloads import parameter_count

# What makes a network, and its batch.
BINARY = {
    "pixelcnn": (PixelCNN, 64),
    "gated-pixelcnn": (lambda: GatedPixelCNN(channels=24, layers=6, head=32), 32),
    "pixelrnn-row": (lambda: PixelRNN(RowLayer, hidden=16, layers=3), 16),
    "pixelrnn-diag": (lambda: PixelRNN(hidden=16, layers=2), 16),
}
# Logistics of the small PixelCNN++.
COMPONENTS = 5

SPLITS = {"train": ("train",), "valid": ("valid",), "test": ("test", "t10k")}


def read_images(folder: Path, split: str) -> Tensor:
    """Images [N,1,H,W] in [0,1] from the split's IDX file; bytes that are all 0 or 1 are taken as they are."""
    names = [
        path
        for path in sorted(folder.iterdir())
        if "-images-idx3-ubyte" in path.name and any(word in path.name.split("-images")[0] for word in SPLITS[split])
    ]
    if not names:
        sys.exit(f"{folder} holds no IDX images of the {split} split")
    raw = names[0].read_bytes()
    if names[0].suffix == ".gz":
        raw = gzip.decompress(raw)
    magic, count, rows, columns = np.frombuffer(raw, ">i4", 4)
    pixels = np.frombuffer(raw, np.uint8, offset=16)
    if magic != 2051 or pixels.size != count * rows * columns:
        sys.exit(f"{names[0]} is no IDX file of images, or is cut short")
    scale = 1.0 if pixels.max() <= 1 else 255.0
    return torch.from_numpy(pixels.astype(np.float32) / scale).view(int(count), 1, int(rows), int(columns))


def shuffled_batches(images: Tensor, batch: int, generator: torch.Generator):
    """Endless epochs of full batches, each in a fresh order; a ragged tail is left out."""
    while True:
        for index in torch.randperm(len(images), generator=generator).split(batch):
            if len(index) == batch:
                yield images[index]


def read_colours(folder: Path, split: str) -> Tensor:
    """Images [N,3,32,32] in [-1,1] from CIFAR-10's binary files."""
    names = sorted(folder.glob("test_batch.bin" if split == "test" else "data_batch_*.bin"))
    if not names:
        sys.exit(f"{folder} holds no binary files of CIFAR-10")
    records = np.concatenate([np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 3073) for path in names])
    return torch.from_numpy(records[:, 1:].astype(np.float32) / 127.5 - 1).view(-1, 3, 32, 32)


@torch.no_grad()
def nats_of(model: torch.nn.Module, nats, images: Tensor, batch: int = 500) -> np.ndarray:
    device = next(model.parameters()).device
    return np.concatenate([nats(model(x), x).double().cpu().numpy() for x in images.to(device).split(batch)])


def train_autoregressive(args) -> dict:
    colours = args.mode == "pixelcnn-pp"
    read = read_colours if colours else read_images
    train, test = read(args.data, "train").to(args.device), read(args.data, "test")
    torch.manual_seed(args.seed)
    if colours:
        model = PixelCnnPp(3, COMPONENTS * 10)

        def nats(outputs: Tensor, x: Tensor) -> Tensor:
            return mixture_nats_per_image(outputs, x, COMPONENTS)

    else:
        model, nats = BINARY[args.mode][0](), nats_per_image
    model = model.to(args.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=args.rate)
    batches = shuffled_batches(train, args.batch, torch.Generator().manual_seed(args.seed))
    if colours:
        # The first batch sets first weights, and is then trained on.
        with torch.no_grad():
            model(train[torch.randperm(len(train), generator=torch.Generator().manual_seed(args.seed))[: args.batch]])
    curve, recent, start = [], [], time.perf_counter()
    for step in range(1, args.steps + 1):
        x = next(batches)
        optimiser.zero_grad(set_to_none=True)
        loss = nats(model(x), x).mean()
        loss.backward()
        if args.clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimiser.step()
        recent.append(loss.item())
        if step % 50 == 0 or step == args.steps:
            curve.append([step, sum(recent) / len(recent)])
            print(f"step {step}: {curve[-1][1]:.2f} nats", file=sys.stderr, flush=True)
            recent = []
    train_s = time.perf_counter() - start
    model.eval()
    if args.limit:
        test = test[torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[: args.limit]]
    found = nats_of(model, nats, test, 50 if colours else 500)
    return {
        "model": args.mode,
        "params": parameter_count(model),
        "steps": args.steps,
        "batch": args.batch,
        "rate": args.rate,
        "clip": args.clip,
        "seed": args.seed,
        "test_images": len(test),
        "test_nats": found.mean(),
        "test_nats_standard_error": found.std(ddof=1) / math.sqrt(len(found)),
        "test_bits_per_dim": found.mean() / math.log(2) / test[0].numel(),
        "train_curve": curve,
        "train_s": train_s,
    }


def train_vae(args) -> dict:
    train, test = read_images(args.data, "train"), read_images(args.data, "test")
    torch.manual_seed(args.seed)
    model = vae_mlp()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(args.seed)
    epochs, start = [], time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        total = 0.0
        for index in torch.randperm(len(train), generator=order).split(args.batch):
            x = train[index]
            optimiser.zero_grad(set_to_none=True)
            losses = negative_elbo(*model(x), x)
            losses.mean().backward()
            optimiser.step()
            total += losses.detach().sum().item()
        with torch.no_grad():
            tested = sum(negative_elbo(*model(x), x).sum().item() for x in test.split(1000)) / len(test)
        epochs.append({"epoch": epoch, "train_loss": total / len(train), "test_loss": tested})
        print(f"epoch {epoch}: train {total / len(train):.2f}, test {tested:.2f}", file=sys.stderr, flush=True)
    return {
        "model": "vae-mlp",
        "params": parameter_count(model),
        "batch": args.batch,
        "seed": args.seed,
        "test_images": len(test),
        "test_loss": epochs[-1]["test_loss"],
        "epochs": epochs,
        "train_s": time.perf_counter() - start,
    }


def load_module(path: Path) -> torch.nn.Module:
    """The checkpoint in the PyTorch module whose tensors it names. A missing, foreign or misshapen tensor, or a non-zero where the mask is, ends the run."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    names = "\n".join(tensors)
    if "up_u.0.c1.v" in tensors:
        stages = 1 + sum(name.startswith("halve.") and name.endswith(".v") for name in tensors) // 2
        blocks = sum(name.startswith("up_u.") and name.endswith(".c1.v") for name in tensors) // stages
        filters, channels = tensors["u0.v"].shape[:2]
        model = PixelCnnPp(channels - 1, len(tensors["out.g"]), filters, blocks, stages)
        model.load_state_dict(tensors, strict=True)
        return model.eval()
    if "rightward" in names or "state_to_state" in names:
        layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("layers."))
        hidden, head = tensors["input.weight"].shape[0] // 2, tensors["head.0.weight"].shape[0]
        model = PixelRNN(*([] if "rightward" in names else [RowLayer]), hidden=hidden, layers=layers, head=head)
    elif "link" in names:
        layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("layers."))
        model = GatedPixelCNN(tensors["layers.0.res.weight"].shape[0], layers, tensors["head.0.weight"].shape[0])
        model.load_state_dict(tensors, strict=True)
        return model
    else:
        model = PixelCNN()
    model.load_state_dict(tensors, strict=True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.zero_masked()
    changed = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    if changed:
        sys.exit(f"{path} has non-zero weights where the mask is: {', '.join(changed)}")
    return model


def compare_scores(args) -> dict:
    model = load_module(args.load)
    outputs, colours = (len(model.out.g), model.u0.v.shape[1] - 1) if isinstance(model, PixelCnnPp) else (1, 1)
    test = read_colours(args.data, args.split) if colours == 3 else read_images(args.data, args.split)
    scores = np.load(args.npy).astype(np.float64).reshape(-1)
    if not 0 < len(scores) <= len(test):
        sys.exit(f"{args.npy} holds {len(scores)} scores for {len(test)} images")
    test = test[: len(scores)]

    def nats(told: Tensor, x: Tensor) -> Tensor:
        return nats_per_image(told, x) if outputs == 1 else mixture_nats_per_image(told, x, outputs // (10 if colours == 3 else 3))

    if outputs > 1 and colours == 1:
        test = 2 * test - 1
    single = -nats_of(model, nats, test, 100)
    report = {
        "images": len(scores),
        "kiln_mean_log_p": scores.mean(),
        "pytorch_mean_log_p": single.mean(),
        "max_relative_difference": np.max(np.abs(scores - single) / np.abs(single)),
        "max_absolute_difference_nats": np.max(np.abs(scores - single)),
    }
    if args.double:
        exact_test = test.double()
        if outputs > 1:
            exact_test = torch.round(127.5 * (exact_test + 1)) / 127.5 - 1
        exact = -nats_of(model.double(), nats, exact_test, 100)
        report["max_relative_difference_kiln_to_f64"] = np.max(np.abs(scores - exact) / np.abs(exact))
        report["max_relative_difference_pytorch_f32_to_f64"] = np.max(np.abs(single - exact) / np.abs(exact))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", nargs="?", choices=[*BINARY, "pixelcnn-pp", "vae-mlp"])
    parser.add_argument("--data", type=Path, required=True, help="folder of IDX files")
    parser.add_argument("--device", default="cpu", help="where autoregressive models are trained")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=500, help="of autoregressive models")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of autoregressive models")
    parser.add_argument("--clip", type=float, default=0.0, help="largest norm of their gradients; 0: any")
    parser.add_argument("--limit", type=int, help="score a random so many of the test images alone")
    parser.add_argument("--epochs", type=int, default=10, help="vae-mlp")
    parser.add_argument("--batch", type=int, help="64 for pixelcnn, 32 for gated-pixelcnn, 16 for the others, 128 for vae-mlp")
    parser.add_argument("--load", type=Path, metavar="F.safetensors", help="weights of `kiln export`")
    parser.add_argument("--npy", type=Path, metavar="SCORES.npy", help="log p of each image, of `kiln score`")
    parser.add_argument("--split", choices=sorted(SPLITS), default="test", help="the split that was scored")
    parser.add_argument("--double", action="store_true", help="with --load: compare both with f64 as well")
    args = parser.parse_args()
    comparing = args.load is not None or args.npy is not None
    if comparing == (args.mode is not None) or (args.load is None) != (args.npy is None):
        parser.error("give either a mode or both --load and --npy")
    torch.set_num_threads(args.threads)
    args.batch = args.batch or {"vae-mlp": 128, "pixelcnn-pp": 16}.get(args.mode) or BINARY.get(args.mode, (None, 64))[1]
    run = compare_scores if comparing else train_vae if args.mode == "vae-mlp" else train_autoregressive
    print(json.dumps({**run(args), "device": args.device, "threads": args.threads, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
