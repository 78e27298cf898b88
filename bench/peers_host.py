#!/usr/bin/env python3
"""smalti's host products beside PyTorch and bitsandbytes, in turns within one run, as ratios.

    bench/peers_host.py BENCH_GEMM_HOST [--threads 1] [--size 4096]

BENCH_GEMM_HOST is the program built from bench/gemm_host.cpp. Times are the best of the turns: the machine may be shared.
"""
import argparse
import re
import subprocess
import time

import bitsandbytes.functional as bnb
import torch


def best(f, seconds=0.5):
    f()
    times, start = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        f()
        times.append(time.perf_counter() - before)
    return min(times) * 1e3


def ours(program, threads, size, m):
    text = subprocess.run([program, "--threads", str(threads), "--n", str(size), "--k", str(size), "--m", str(m)],
                          check=True, capture_output=True, text=True).stdout
    line = re.compile(r"^(nf4 nested|nf4|int8|bf16|f16|f32) +(\d+) +([\d.]+)", re.M)
    return {kind: float(ms) for kind, _, ms in line.findall(text)}


def peers(size, m):
    w, x = torch.randn(size, size) * 0.02, torch.randn(m, size)
    quantised, state = bnb.quantize_4bit(w, quant_type="nf4")
    w16, x16 = w.bfloat16(), x.bfloat16()
    return {
        "f32": ("PyTorch f32", best(lambda: x @ w.T)),
        "bf16": ("PyTorch bf16", best(lambda: x16 @ w16.T)),
        "nf4": ("bitsandbytes nf4, f32", best(lambda: x @ bnb.dequantize_4bit(quantised, state).T)),
    }


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("program")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--size", type=int, default=4096)
    o = options.parse_args()
    torch.set_num_threads(o.threads)
    print(f"({o.size}, {o.size}), {o.threads} threads, torch {torch.__version__}")
    for m in (1, 256):
        mine, theirs = {}, {}
        for _ in range(2):  # in turns
            for kind, ms in ours(o.program, o.threads, o.size, m).items():
                mine[kind] = min(ms, mine.get(kind, ms))
            for kind, (name, ms) in peers(o.size, m).items():
                theirs[kind] = (name, min(ms, theirs.get(kind, (name, ms))[1]))
        for kind, (name, ms) in theirs.items():
            print(f"M {m:3}  {kind:5} smalti {mine[kind]:9.3f} ms   {name:22} {ms:9.3f} ms   ratio {ms / mine[kind]:.2f}")


if __name__ == "__main__":
    main()
