#!/usr/bin/env python3
"""How busy the multiply-add loop of each kernel is on an NVIDIA GPU, as Mesa's compiler writes it.

    LD_PRELOAD=libnouveau_noop_drm_shim.so NOUVEAU_CHIPSET=192 NAK_DEBUG=print MESA_SHADER_CACHE_DISABLE=1 \
        cargo bench --bench compiled -- --device nvk --filter dcgan-64 > listing.txt
    benches/compiled/loops.py listing.txt

Of each kernel the shortest way round its loop that loads from global memory is taken, that is an iteration in which no tap changes, and its
instructions are counted. A scheduler issues one a cycle, so the share of multiply-adds bounds the share of the peak that the kernel can reach.
"""

import heapq
import re
import sys
from dataclasses import dataclass, field

LISTING = "NAK IR after calc_instr_deps"
ROW = re.compile(r"(pixelcnn|vae|dcgan)\S*\s+\S+\s+\S+\s")
BLOCK = re.compile(r"block(?:\.u)? (\d+) L\d+ \[.*?\] -> \{")
END = re.compile(r"\} -> \[(.*)\]")


@dataclass
class Block:
    instructions: list[str] = field(default_factory=list)
    after: list[int] = field(default_factory=list)

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, line)) for line in self.instructions)


def blocks(lines: list[str]) -> dict[int, Block]:
    found: dict[int, Block] = {}
    block = None
    for line in lines:
        if match := BLOCK.match(line):
            block = found.setdefault(int(match[1]), Block())
        elif match := END.match(line):
            if block:
                block.after = [int(number) for number in match[1].split(",") if number.strip()]
            block = None
        elif block and "// delay" in line:
            block.instructions.append(line)
    return found


def ways(found: dict[int, Block], start: int) -> dict[int, tuple[int, list[int]]]:
    """The way of fewest instructions from a block to every other, the first left out."""
    known = {start: (0, [])}
    open_ends = [(0, start)]
    while open_ends:
        cost, at = heapq.heappop(open_ends)
        if cost > known[at][0]:
            continue
        for to in found[at].after:
            if to in found:
                further = cost + len(found[to].instructions)
                if to not in known or further < known[to][0]:
                    known[to] = (further, known[at][1] + [to])
                    heapq.heappush(open_ends, (further, to))
    return known


def steady(found: dict[int, Block]) -> list[Block] | None:
    work = r"ffma|[hi]mma"
    main = max(found, key=lambda number: found[number].count(work))
    if not found[main].count(work):
        return None
    there = ways(found, main)
    loops = []
    for number, block in found.items():
        if not block.count("ld.global") or number not in there:
            continue
        # From where the way back begins: the block itself, or what follows the main one.
        for start in found[main].after if number == main else [number]:
            back = ways(found, start) if start in found else {}
            if main in back:
                way = ([start] if number == main else there[number][1]) + back[main][1]
                loops.append((sum(len(found[at].instructions) for at in way), way))
    return [found[number] for number in min(loops)[1]] if loops else None


def main() -> None:
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    print(f"{'workload':<18}{'operation':<14}{'kernel':<20}{'variant':<24}{'instructions':>13}{'multiply-adds':>15}{'shared':>8}{'global':>8}")
    start = None
    for at, line in enumerate(lines):
        if line.startswith(LISTING):
            start = at
        elif ROW.match(line) and start is not None:
            loop = steady(blocks(lines[start:at]))
            if loop:
                total = sum(len(block.instructions) for block in loop)
                fma, matrix, shared, far = (sum(b.count(p) for b in loop) for p in ("ffma", "[hi]mma", "ld.shared", "ld.global"))
                share = f"{fma + matrix} = {100 * (fma + matrix) / total:.0f}%"
                names = line.split()[:4]
                print(f"{names[0]:<18}{names[1]:<14}{names[2]:<20}{names[3]:<24}{total:>13}{share:>15}{shared:>8}{far:>8}")
            start = None


if __name__ == "__main__":
    main()
