"""Times one training step of kiln's workloads in JAX, on the CPU, compiled whole.

    bench.py --workload vae-mlp-28-b128 --steps 5 --warmup 3 --threads 2 --json

With --json, one object with the key "rows" goes to stdout.
"""

import argparse
import json
import math
import os
import resource
import statistics
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", required=True)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.steps < 1 or args.warmup < 1 or args.threads < 1:
        parser.error("--steps, --warmup and --threads are at least 1")
    if hasattr(os, "sched_setaffinity"):
        # XLA's CPU client takes as many threads as the process may have cores.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    from workloads import WORKLOADS, build

    if args.workload not in WORKLOADS:
        parser.error(f"no workload is named {args.workload}; there are {', '.join(WORKLOADS)}")

    training = build(args.workload)
    state, times, loss = training.state, [], None
    for at in range(args.warmup + args.steps):
        start = time.perf_counter()
        state, loss = jax.block_until_ready(training.step(state))
        times.append(time.perf_counter() - start)
    if not math.isfinite(loss):
        sys.exit(f"{args.workload}: the loss is {loss}")
    first, times = times[0], times[args.warmup :]
    median, peak = statistics.median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row = {
        "workload": args.workload,
        "step_s": median,
        "step_min_s": min(times),
        "step_max_s": max(times),
        "first_step_s": first,
        "images_per_s": training.batch / median,
        "params": training.parameters,
        "loss": float(loss),
        "device": "cpu",
        "threads": args.threads,
        "jax": jax.__version__,
        "peak_rss_bytes": peak if sys.platform == "darwin" else peak * 1024,
    }
    if args.json:
        print(json.dumps({"rows": [row]}))
    else:
        print(f"{row['workload']:24} {row['device']:12} {median:9.4f} s {row['images_per_s']:9.1f} images/s")


if __name__ == "__main__":
    main()
