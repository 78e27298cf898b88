#!/usr/bin/env python3
"""What nvcc takes for a file with one call of the library, for sm_90a: seconds of processor time, lines of JSON.

usage: compile_cost.py [--date DAY] [--commit HASH]

A case is compiled twice, and the smaller time counts. Quote it from a machine that does nothing else.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
PRODUCT = "#include <smalti/gemm/cuda.cuh>\nusing namespace smalti;\nstatus call(on_cuda const& where, view<bf16, 2> y, nf4_terms<0> const& sum) {{ return gemm{}(where, y, sum); }}\n"
ATTENTION = ("#include <smalti/attention.cuh>\nusing namespace smalti;\nstatus call(on_cuda const& where, attention_problem<bf16> const& p) {{ return attention_sm90<{0}, {0}, tuned_sm90>(where, p, causal{{}}); }}\n")
CASES = {
    "NF4 product, bf16": PRODUCT.format(""),
    "NF4 product, bf16: gemm<nf4_kernels{.plain = false}>": PRODUCT.format("<nf4_kernels{.plain = false}>"),
    "NF4 product, bf16: gemm<nf4_kernels{.wide = false, .plain = false}>": PRODUCT.format("<nf4_kernels{.wide = false, .plain = false}>"),
    "gemm/cuda.cuh alone": "#include <smalti/gemm/cuda.cuh>\n",
    "attention, bf16, D 64, causal": ATTENTION.format(64),
    "attention, bf16, D 128, causal": ATTENTION.format(128),
    "attention, bf16, D 256, causal": ATTENTION.format(256),
    "attention.cuh alone": "#include <smalti/attention.cuh>\n",
}


def seconds(text, folder):
    unit = pathlib.Path(folder) / "unit.cu"
    unit.write_text(text)
    child = subprocess.Popen(["nvcc", "-std=c++20", "-O3", "-gencode=arch=compute_90a,code=sm_90a", "-diag-suppress=1675", f"-I{ROOT / 'include'}", "-c", str(unit), "-o", "/dev/null"])
    _, code, usage = os.wait4(child.pid, 0)
    child.returncode = code
    if code:
        raise SystemExit(f"does not compile:\n{text}")
    return usage.ru_utime + usage.ru_stime


def main():
    if "--help" in sys.argv:
        return print(__doc__)
    option = {name: sys.argv[sys.argv.index(name) + 1] for name in ("--date", "--commit") if name in sys.argv}
    toolkit = "CUDA " + re.search(r"release (\d+\.\d+)", subprocess.run(["nvcc", "--version"], capture_output=True, text=True).stdout)[1]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in CASES.items():
            print(json.dumps({"bench": "compile_cost", "case": {"file": name}, "unit": "s", "ours": round(min(seconds(text, folder) for _ in range(2)), 1), "peer": None, "peer_value": None, "ratio": None, "limit": None,
                              "board": f"{os.cpu_count()} cores", "toolkit": toolkit, "commit": option.get("--commit", ""), "date": option.get("--date", ""), "command": "bench/compile_cost.py"}), flush=True)


main()
