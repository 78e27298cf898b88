#!/usr/bin/env python3
"""Climbs the CUDA ladder (examples/ladder/cuda_*.cu): runs every rung, each checked and timed by itself at the settled clock, and cuDNN on the
same problem in the same run.

  python3 bench/ladder.py BUILD/examples/ladder [--commit NAME] [--toolkit NAME] [--out bench/results/ladder_cuda.jsonl]

The problem: causal attention, B 1, H 32, S 4096, D 64, bf16. Exit code 1: a rung is wrong.
"""
import argparse
import pathlib
import re
import subprocess
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from settled import Results, settled

HEADS, SEQ, HEAD_DIM = 32, 4096, 64
FLOPS = 2 * HEADS * SEQ * (SEQ + 1) * HEAD_DIM
LINE = re.compile(r"^(\d+ .*?)\s+([\d.]+) TFLOP/s +max error (\S+) (ok|WRONG)$")


def cudnn():
    q, k, v = (torch.randn(1, HEADS, SEQ, HEAD_DIM, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return FLOPS / settled(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)) / 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path), parser.add_argument("--out"), parser.add_argument("--commit", default="unknown")
    parser.add_argument("--toolkit", default=f"CUDA {torch.version.cuda}")
    options = parser.parse_args()
    peer, peer_name = cudnn(), f"cuDNN (PyTorch {torch.__version__.split('+')[0]})"
    results = Results(options.out, options.commit, options.toolkit, "python3 bench/ladder.py BUILD/examples/ladder")
    previous = wrong = 0
    for program in sorted(options.folder.glob("cuda_*")):
        if program.suffix:
            continue
        run = subprocess.run([program], capture_output=True, text=True)
        found = LINE.match(run.stdout.strip())
        if run.returncode == 77 or not found:
            print(run.stdout.strip() + run.stderr, file=sys.stderr)
            wrong += run.returncode != 77
            continue
        rung, rate, error, verdict = found.groups()
        rate, wrong = float(rate), wrong + (verdict != "ok")
        print(f"{rung:60} {rate:7.2f} TFLOP/s" + (f"  {rate / previous:5.2f} x the rung before" if previous else " " * 26) + f"  {rate / peer:5.3f} x cuDNN  {verdict}")
        if verdict == "ok":
            case = {"rung": rung}
            if previous:
                results.add("ladder_cuda", case, "TFLOP/s", rate, "previous rung", previous, None)
            results.add("ladder_cuda", case, "TFLOP/s", rate, peer_name, peer, None)
        previous = rate
    return 1 if wrong else 0


sys.exit(main())
