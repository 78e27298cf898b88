#!/usr/bin/env python3
"""What bench/sweep/tune does to a table, on a table and a sweep made up for it: only the rows concerned change, and only for a gain beyond the margin."""
import importlib.machinery
import importlib.util
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
loader = importlib.machinery.SourceFileLoader("tune", str(HERE / "tune"))
tune = importlib.util.module_from_spec(importlib.util.spec_from_loader("tune", loader))
loader.exec_module(tune)

TABLE = """struct other {
    if (s.head_dim <= 64) return {.q = 1, .kv = 1, .stages = 1, .warps = 1};
};
struct tuned {
    if (a.of == arch::family::cpu) return {.q = 128, .kv = 256, .split = 1024};
    if (a >= sm_90a && s.head_dim <= 64) return {.q = 128, .kv = 128, .stages = 2, .warps = 8};  // old
    if (s.head_dim <= 128 && s.values() <= 128) return {.q = 64, .kv = 64, .stages = 2, .warps = 4};
    if (s.head_dim <= 192 && !s.masked) return {.q = 64, .kv = 48, .stages = 2, .warps = 4};
    return {.q = 64, .kv = 32, .stages = 1, .warps = 4};
};
"""


def line(head_dim, mask, tile, rate):
    return {"case": {"engine": "sm_80", "head_dim": head_dim, "mask": mask, "seq": 4096, "tile": dict(zip(tune.swept.FIELDS, tile))}, "ours": rate,
            "board": "NVIDIA H200", "toolkit": "CUDA 13.0", "date": "2026-11-21"}


def tuned(lines, margin=0.03):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "table.hpp"
        path.write_text(TABLE)
        return [(a, b) for a, b in zip(TABLE.split("\n"), tune.tune(path, "tuned", "sm_80", lines, margin).split("\n")) if a != b]


def main():
    own, wide, two = (128, 128, 2, 8), (64, 128, 3, 4), (128, 64, 1, 8)
    better = [line(64, m, t, r) for m in ("full", "causal") for t, r in ((own, 100), (wide, 110), (two, 90))]
    [(_, new)] = tuned(better)
    assert new == "    if (a >= sm_90a && s.head_dim <= 64) return {.q = 64, .kv = 128, .stages = 3, .warps = 4};  // H200 · 13.0 · 2026-11 · 110, 110", new
    [(_, same)] = tuned(better, 0.2)  # within the margin: the tile stays, its evidence is renewed
    assert ".q = 128, .kv = 128" in same and same.endswith("// H200 · 13.0 · 2026-11 · 100, 100"), same
    mixed = [line(64, "full", own, 100), line(64, "full", wide, 120), line(64, "causal", own, 100), line(64, "causal", wide, 70)]
    assert ".q = 128" in tuned(mixed)[0][1]  # better on one mask, worse on the other by more
    [(_, new)] = tuned([line(128, m, two, 50) for m in ("full", "causal")])  # the row's own tile was not swept
    assert ".stages = 1" in new and "s.values()" in new, new
    assert tuned([]) == []
    by_mask = [line(192, m, t, r) for m in ("full", "causal") for t, r in ((own, 100), ((64, 48, 2, 4), 50), ((64, 32, 1, 4), 60))]
    [(old, new)] = [pair for pair in tuned(by_mask) if "!s.masked" in pair[0]]  # a row for one kind of mask hears nothing of the other
    assert new == "    if (s.head_dim <= 192 && !s.masked) return {.q = 128, .kv = 128, .stages = 2, .warps = 8};  // H200 · 13.0 · 2026-11 · 100", new
    try:
        tune.holds("s.head_dim <= 64; import os", 64, 90, False)
    except SystemExit:
        return print("tune: rows, margin, evidence, conditions") or 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
