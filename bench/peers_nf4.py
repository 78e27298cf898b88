#!/usr/bin/env python3
"""NF4 and INT8 products of one linear layer beside bitsandbytes and cuBLAS (PyTorch, bf16), in one run.

usage: peers_nf4.py LIBRARY [--out FILE] [--only REGEX] [--rounds N] [--settle MS]

LIBRARY is built from bench/c_abi/products.cu. First what both libraries hold: bitsandbytes' arrays dequantised by ours give its values bit
for bit, plain and double-quantised, in fp32 and bf16; and what ours quantises is compared with what it does. Then times: calls in a CUDA
graph over weights that together exceed the cache, settled, in turns; each product was compared with fp32 before.
"""
import argparse
import os
import re
import sys
import warnings

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "c_abi"))
import bitsandbytes
import bitsandbytes.functional as bnb
import settled
from products import Library
from settled import Results, alternating, graphed

SHAPES = [(28672, 4096), (4096, 14336), (6144, 4096), (4096, 4096)]
ROWS = [1, 16, 64, 256, 1024]
ROTATE = 256 << 20  # bytes of weights that a graph's calls go through
NF4, INT8 = f"bitsandbytes {bitsandbytes.__version__}", f"bitsandbytes {bitsandbytes.__version__} LLM.int8"
TORCH = f"cuBLAS bf16 (PyTorch {torch.__version__.split('+')[0]})"


def bits(a, b):
    """How many elements differ in their bits."""
    view = {4: torch.int32, 2: torch.int16, 1: torch.uint8}[a.element_size()]
    return int((a.contiguous().view(view) != b.contiguous().view(view)).sum())


def same_values(library, n, k):
    """The arrays of bitsandbytes through ours: its values, every bit."""
    wrong = 0
    w = torch.randn(n, k, device="cuda", dtype=torch.bfloat16) * 0.02
    w[0, :64] = 0  # a block without a largest value
    w[1, 0] = 30.0  # and one with an outlier
    for nested in (False, True):
        codes, state = bnb.quantize_4bit(w, quant_type="nf4", blocksize=64, compress_statistics=nested)
        more = {"absmax": state.absmax} if not nested else {"absmax_code": state.absmax, "nested_absmax": state.state2.absmax, "nested_map": state.state2.code,
                                                            "nested_offset": float(state.offset)}
        theirs = library.nf4_of(n, k, codes, **more)
        for dtype in (torch.float32, torch.bfloat16):
            state.dtype = dtype
            off = bits(bnb.dequantize_4bit(codes, state), library.dequantised(theirs, dtype))
            wrong += off
            print(f"({n}, {k}) {'double-quantised' if nested else 'plain'}, {str(dtype)[6:]}: {off} of {n * k} dequantised values differ", flush=True)
        arrays, offset = library.file(library.nf4(w, nested))
        beside = {"code": codes.flatten(), "absmax" if not nested else "absmax_code": state.absmax, **({"nested_absmax": state.state2.absmax} if nested else {})}
        if not torch.equal(codes.flatten()[:32], arrays["code"][:32]):
            print("  (the codes of the block of zeros differ: any are right)")
            arrays["code"][:32] = codes.flatten()[:32]
        print("  quantised anew: " + ", ".join(f"{name} {bits(t.contiguous().view(torch.uint8), arrays[name])} bytes differ" for name, t in beside.items())
              + (f"; offset {offset:.9g} and {float(state.offset):.9g}" if nested else ""), flush=True)
    return wrong


class Weights:
    """One random weight (n, k) in every form, copied until the calls of a graph exceed the cache."""

    def __init__(self, library, n, k):
        def copies(size):
            return max(2, min(32, -(-ROTATE // size)))
        w = torch.randn(n, k, device="cuda", dtype=torch.bfloat16) * 0.02
        codes, self.state = bnb.quantize_4bit(w, quant_type="nf4", blocksize=64, compress_statistics=True)
        self.codes = [codes.clone() for _ in range(copies(n * k // 2))]
        self.nf4 = [library.nf4(w) for _ in self.codes]
        rows, self.row_scale, _ = bnb.int8_vectorwise_quant(w.half())
        self.rows = [rows.clone() for _ in range(copies(n * k))]
        self.int8 = [library.int8(w) for _ in self.rows]
        self.dense = [w.clone() for _ in range(copies(n * k * 2))]
        self.nf4_values, self.int8_values = library.dequantised(self.nf4[0], torch.float32), library.dequantised(self.int8[0], torch.float32)

    def eight_bits(self, x, rows):
        """What MatMul8bitLt does forwards without outliers: x by rows to INT8, an integer product, both scales."""
        codes, scale, _ = bnb.int8_vectorwise_quant(x)
        return torch.ops.bitsandbytes.int8_scaled_mm.default(codes, rows, scale, self.row_scale, bias=None, dtype=torch.float16)

    def calls(self, library, x, y):
        """{name: (calls of a graph, what each should give)}"""
        half, wanted = x.half(), {kind: x.float() @ v.t() for kind, v in (("nf4", self.nf4_values), ("int8", self.int8_values))}
        return {"nf4": ([library.product(q, x, y) for q in self.nf4], wanted["nf4"]),
                NF4: ([lambda q=q: bitsandbytes.matmul_4bit(x, q, quant_state=self.state) for q in self.codes], wanted["nf4"]),
                TORCH: ([lambda q=q: torch.mm(x, q.t(), out=y) for q in self.dense], x.float() @ self.dense[0].float().t()),
                "int8": ([library.product(q, x, y) for q in self.int8], wanted["int8"]),
                INT8: ([lambda q=q: self.eight_bits(half, q) for q in self.rows], wanted["int8"])}


def error(call, y, want):
    y.fill_(float("nan"))
    got = call()
    torch.cuda.synchronize()
    return float(((y if got is None else got).float() - want).norm() / want.norm())


def graph_of(name, calls):
    try:
        return graphed(calls)
    except RuntimeError as refusal:  # what may not be captured is timed call by call
        print(f"  {name}: not captured ({str(refusal).splitlines()[0]})", flush=True)
        torch.cuda.synchronize()
        return lambda: [f() for f in calls]


def measure(library, results, only, rounds):
    for n, k in SHAPES:
        chosen = [m for m in ROWS if re.search(only, f"{n} {k} {m}")]
        weights = Weights(library, n, k) if chosen else None
        for m in chosen:
            x, y = torch.randn(m, k, device="cuda", dtype=torch.bfloat16), torch.empty(m, n, device="cuda", dtype=torch.bfloat16)
            calls = weights.calls(library, x, y)
            found = {name: error(of[0], y, want) for name, (of, want) in calls.items()}
            assert found["nf4"] < 4e-3 and found["int8"] < 4e-3, f"{n} {k} {m}: {found}"  # y is rounded to bf16: 1.1e-3
            ms = alternating({name: graph_of(name, of) for name, (of, _) in calls.items()}, rounds)
            us = {name: 1e3 * ms[name] / len(of) for name, (of, _) in calls.items()}
            for kind, peers in (("nf4", (NF4, TORCH)), ("int8", (INT8, TORCH))):
                for peer in peers:
                    results.add("quantised_peers", {"weights": kind, "n": n, "k": k, "m": m}, "us", us[kind], peer, us[peer], None)
            print(f"{n} x {k}, M {m}: " + ", ".join(f"{name} {t:.2f} us ({found[name]:.1e})" for name, t in us.items()), flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("library"), a.add_argument("--out", metavar="FILE"), a.add_argument("--only", default="", metavar="REGEX")
    a.add_argument("--rounds", type=int, default=3), a.add_argument("--settle", type=int, default=settled.SETTLE_MS, metavar="MS")
    a = a.parse_args()
    settled.SETTLE_MS = a.settle
    torch.manual_seed(0)
    warnings.filterwarnings("ignore")
    library = Library(os.path.abspath(a.library))
    command = "python3 bench/peers_nf4.py BUILD/bench/libsmalti_products.so" + (f" --rounds {a.rounds}" if a.rounds != 3 else "") + (f" --settle {a.settle}" if a.settle != 300 else "")
    results = Results(a.out, library.commit, library.toolkit, command)
    print(f"smalti {library.commit}, {library.toolkit}; {NF4}; {TORCH}; {torch.cuda.get_device_name()}", flush=True)
    wrong = sum(same_values(library, n, k) for n, k in [(4096, 4096), (4096, 14336), (49155, 4096)])
    with torch.inference_mode():
        measure(library, results, a.only, a.rounds)
    if wrong:
        sys.exit(f"{wrong} values differ from bitsandbytes'")


if __name__ == "__main__":
    main()
