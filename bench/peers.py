#!/usr/bin/env python3
"""The device attention beside PyTorch's in one process, in turns, at the settled clock.

  python3 bench/peers.py BUILD/bench/libsmalti_attention.so [--only REGEX] [--out bench/results/attention_cuda.jsonl]

Peers: FlashAttention-2, cuDNN and the memory-efficient kernel behind scaled_dot_product_attention. Before anything of a case is timed,
our output is compared with fp32 mathematics: its error (rms, and the largest) may be at most twice that of the best peer. In e4m3 the
peers compute in bf16 what ours computes from 8 bits; ours is compared with the mathematics of the quantised operands, and its weights, which
have 3 bits of mantissa, may cost 3.5 % (rms). A case that our
engine has no code for is shown as skipped and not written. --only sees names such as "forward bf16 128 causal 4096 sm_90a", "small bf16 64 full 512 sm_90a" and "decode 16 8192".
"""
import argparse
import os
import re
import sys
import time
import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from c_abi.attention import LAUNCHES, Library
from settled import Results, alternating, from_idle, gemm_rate, graphed, memory_rate

VERSION = f"PyTorch {torch.__version__.split('+')[0]}"
CUDNN = ".".join(str(torch.backends.cudnn.version() // by % 100) for by in (10000, 100, 1))
PEERS = {"FA2": (SDPBackend.FLASH_ATTENTION, f"FA2 ({VERSION})"), "cuDNN": (SDPBackend.CUDNN_ATTENTION, f"cuDNN {CUDNN} ({VERSION})"),
         "efficient": (SDPBackend.EFFICIENT_ATTENTION, f"efficient ({VERSION})")}
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "e4m3": torch.bfloat16}  # of the peers
GRAPH_CALLS = 20
START = time.monotonic()


@dataclass
class Case:
    dtype: str
    head_dim: int
    mask: str
    seq: int
    batch: int
    heads: int

    def flops(self):  # two products; half of them under a causal mask
        return 4 * self.batch * self.heads * self.seq**2 * self.head_dim * (0.5 if self.mask == "causal" else 1)

    def tensors(self):
        """q, k, v as views (B, H, S, D) of arrays (B, S, H, D), the layout of a model's projections."""
        shape = (self.batch, self.seq, self.heads, self.head_dim)
        return [torch.randn(shape, device="cuda", dtype=DTYPES[self.dtype]).transpose(1, 2) for _ in range(3)]


def cases():
    """B·S = 16384 and H·D = 2048 throughout."""
    table = [("bf16", d, mask, s) for d in (64, 128, 256) for mask in ("full", "causal") for s in (1024, 4096, 16384)]
    table += [("f16", d, mask, 4096) for d in (64, 128, 256) for mask in ("full", "causal")]
    table += [("e4m3", d, mask, s) for d, lengths in ((128, (1024, 4096, 16384)), (64, (4096,))) for mask in ("full", "causal") for s in lengths]
    return [Case(dtype, d, mask, s, 16384 // s, 2048 // d) for dtype, d, mask, s in table]


def peer_call(backend, q, k, v, mask, gqa=False):
    def attend():
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, is_causal=mask == "causal", enable_gqa=gqa)
    return attend


def mathematics(q, k, v, mask):
    """softmax(q kᵀ/√D) v in fp32, some heads at a time; k, v: (B, H, M, D).  (B, H, S, D)"""
    B, H, S, D = q.shape
    M = k.shape[2]
    out, step = torch.empty(B * H, S, D, device="cuda"), max(1, 2**29 // (S * M))
    above = torch.ones(S, M, dtype=torch.bool, device="cuda").triu(1) if mask == "causal" else None
    flat = [x.reshape(B * H, -1, D) for x in (q, k, v)]
    for h in range(0, B * H, step):
        qh, kh, vh = (x[h:h + step].float() for x in flat)
        scores = qh @ kh.transpose(1, 2) * D**-0.5
        if above is not None:
            scores.masked_fill_(above, -torch.inf)
        out[h:h + step] = torch.softmax(scores, -1) @ vh
    return out.view(B, H, S, D)


def errors(got, want):
    d = got.float() - want
    return d.square().mean().sqrt().item(), d.abs().max().item()


def check(name, call, o, want, allowed):
    """Three runs over a poisoned output, which must also be the same bits each time."""
    first = None
    for _ in range(3):
        o.fill_(torch.nan), call(), torch.cuda.synchronize()
        first = o.clone() if first is None else first
        if not torch.equal(first, o):
            raise SystemExit(f"{name}: two runs differ, or the output holds NaN")
    rms, largest = errors(o, want)
    ulp = torch.finfo(o.dtype).eps * want.abs().max().item()
    if not (rms <= 2 * allowed[0] and largest <= 2 * allowed[1] + ulp):
        raise SystemExit(f"{name}: error rms {rms:.2e}, largest {largest:.2e}; the best peer has {allowed[0]:.2e}, {allowed[1]:.2e}")
    return rms / allowed[0]


def prepare(library, case, only):
    """The callables of one case whose outputs have been found right: {engine: call}, {peer: call}; error of each engine beside the peers'."""
    q, k, v = case.tensors()
    want, peers, error = mathematics(q, k, v, case.mask), {}, []
    for name, (backend, _) in PEERS.items():
        call = peer_call(backend, q, k, v, case.mask)
        try:
            error.append(errors(call(), want))
            peers[name] = call
        except RuntimeError as refusal:
            print(f"  {name} refuses: {str(refusal).splitlines()[0][:120]}")
    allowed = tuple(min(e) for e in zip(*error))
    engines, beside = {}, {}
    if case.dtype == "e4m3":
        peers = {n: call for n, call in peers.items() if n == "cuDNN"}
        o = torch.empty_like(q)
        problem, plain = library.eight_bits(q, k, v, o, case.mask)
        want = mathematics(*plain, case.mask)
        peers["smalti"] = library.call(library.problem(q, k, v, torch.empty_like(q), case.mask, "sm_90a"))
        engines["sm_90a"] = library.call(problem)
        check(f"e4m3 {case.head_dim} {case.mask} {case.seq}", engines["sm_90a"], o, want, (want.square().mean().sqrt().item() * 0.035 / 2, torch.inf))
        beside["sm_90a"] = errors(o, want)[0] / want.square().mean().sqrt().item()  # here: of the result
        return engines, peers, beside
    for engine in ("sm_90a", "sm_80"):
        label = f"{case.dtype} {case.head_dim} {case.mask} {case.seq} {engine}"
        if not re.search(only, f"forward {label}") and not re.search(only, f"small {label}"):
            continue
        o = torch.empty_like(q)
        problem = library.problem(q, k, v, o, case.mask, engine)
        if library.engine(problem) != engine:
            print(f"  {label}: skipped, that engine has no code for it")
            continue
        engines[engine] = library.call(problem)
        beside[engine] = check(label, engines[engine], o, want, allowed)
    return engines, peers, beside


def show(name, unit, values, ratios):
    print(f"{time.monotonic() - START:4.0f} s  {name:34} {unit:8}" + "".join(f"  {n} {v:.4g}" for n, v in values.items()) + "   ratio" + "".join(f"  {n} {r:.3f}" for n, r in ratios.items()), flush=True)


def described(case, **more):
    return {"dtype": case.dtype, "head_dim": case.head_dim, "mask": case.mask, "seq": case.seq, "batch": case.batch, "heads": case.heads, **more}


def forward(library, results, only, rounds):
    chosen = [c for c in cases() if any(re.search(only, f"forward {c.dtype} {c.head_dim} {c.mask} {c.seq} {engine}") for engine in ("sm_90a", "sm_80"))]
    if not chosen:
        return
    rates = {eight: gemm_rate(eight_bits=eight) for eight in sorted({c.dtype == "e4m3" for c in chosen})}
    print("cuBLAS 8192³ at the settled clock: " + ", ".join(f"{'e4m3' if eight else 'bf16'} {rate:.0f}" for eight, rate in rates.items()) + " TFLOP/s")
    for case in chosen:
        name = f"forward {case.dtype} {case.head_dim} {case.mask} {case.seq}"
        engines, peers, beside = prepare(library, case, only)
        if not engines:
            continue
        rate = {n: case.flops() / ms / 1e9 for n, ms in alternating({**engines, **peers}, rounds, once=("efficient",)).items()}
        for engine in engines:
            against = ("cuDNN", "FA2", "efficient", "smalti") if engine == "sm_90a" else ("FA2", "efficient")
            limit, called = rates[case.dtype == "e4m3"], {p: PEERS[p][1] if p in PEERS else p for p in against}
            if case.dtype == "e4m3":
                called = {p: f"{name} in bf16" for p, name in called.items()}
            ratio = {p: results.add("attention_forward", described(case, engine=engine), "TFLOP/s", rate[engine], called[p], rate[p], limit) for p in against if p in rate}
            show(f"{name} {engine}", "TFLOP/s", {n: rate[n] for n in (engine, *ratio)}, {**ratio, "error": beside[engine], "gemm": rate[engine] / limit})


def small(library, results, only, rounds):
    """B 2, H 8, S 512, D 64: launch-bound from Python; in a graph, the device's own time."""
    for mask in ("full", "causal"):
        case = Case("bf16", 64, mask, 512, 2, 8)
        if not re.search(only, f"small bf16 64 {mask} 512 sm_90a"):
            continue
        engines, peers, _ = prepare(library, case, only)
        if "sm_90a" not in engines:
            continue
        calls = {"sm_90a": engines["sm_90a"], **peers}
        replays = {n: graphed([call] * GRAPH_CALLS) for n, call in calls.items()}
        graph = {n: ms * 1e3 / GRAPH_CALLS for n, ms in alternating(replays, rounds).items()}
        python = {n: from_idle(call) * 1e3 for n, call in calls.items()}
        for timing, us in (("graph", graph), ("python", python)):
            ratio = {p: results.add("attention_small", described(case, engine="sm_90a", timing=timing), "us", us["sm_90a"], PEERS[p][1], us[p], None) for p in peers}
            show(f"small {mask} {timing}", "us", us, ratio)


def decode(library, results, only, rounds):
    """One query token, 32 heads on 8 KV heads, D 128, in a graph over buffers that together exceed the cache; GB/s of keys and values."""
    table = [(b, keys) for b in (1, 16, 64) for keys in (1024, 8192, 32768) if b * keys <= 2**20 and re.search(only, f"decode {b} {keys}")]
    limit = memory_rate() if table else None
    for b, keys in table:
        size = 2 * b * 8 * keys * 128 * 2
        count = max(2, min(64, -(-2**28 // size)))
        buffers = [[torch.randn(b, heads, rows, 128, device="cuda", dtype=torch.bfloat16) for heads, rows in ((32, 1), (8, keys), (8, keys))] for _ in range(count)]
        order = [i % count for i in range(max(count, 8))]
        calls, error, want = {}, [], [mathematics(q, *(x.repeat_interleave(4, 1) for x in (k, v)), "full") for q, k, v in buffers[:2]]
        for name in ("FA2", "cuDNN"):  # the efficient kernel knows no shared key heads
            backend = PEERS[name][0]
            each = [peer_call(backend, *buffer, "full", True) for buffer in buffers]
            error.append(errors(each[0](), want[0]))
            calls[name] = [each[i] for i in order]
        allowed = tuple(min(e) for e in zip(*error))
        for launch in LAUNCHES:
            outs = [torch.empty_like(q) for q, _, _ in buffers]
            each = [library.call(library.decode(*buffer, o, launch)) for buffer, o in zip(buffers, outs)]
            for i in (0, 1):
                check(f"decode {b} {keys} {launch}", each[i], outs[i], want[i], allowed)
            calls[launch] = [each[i] for i in order]
        rate = {n: size * len(order) / ms / 1e6 for n, ms in alternating({n: graphed(c) for n, c in calls.items()}, rounds).items()}
        for launch in LAUNCHES:
            case = {"dtype": "bf16", "batch": b, "keys": keys, "queries": 1, "heads": 32, "heads_kv": 8, "head_dim": 128, "launch": launch}
            ratio = {p: results.add("attention_decode", case, "GB/s", rate[launch], PEERS[p][1], rate[p], limit) for p in PEERS if p in rate}
            show(f"decode B {b} KV {keys} {launch}", "GB/s", {n: rate[n] for n in (launch, *ratio)}, {**ratio, "memory": rate[launch] / limit})
        del buffers, calls


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("library", help="built by the target smalti_attention_c")
    a.add_argument("--only", default="", metavar="REGEX"), a.add_argument("--out", metavar="FILE"), a.add_argument("--rounds", type=int, default=2)
    a = a.parse_args()
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", category=UserWarning)  # PyTorch explains every refusal of a backend at length
    library = Library(os.path.abspath(a.library))
    command = "python3 bench/peers.py BUILD/bench/libsmalti_attention.so" + (f" --only '{a.only}'" if a.only else "") + (f" --rounds {a.rounds}" if a.rounds != 2 else "")
    results = Results(a.out, library.commit, library.toolkit, command)
    print(f"smalti {library.commit}, {library.toolkit}; {VERSION}, cuDNN {CUDNN}; {torch.cuda.get_device_name()}")
    small(library, results, a.only, a.rounds)
    forward(library, results, a.only, a.rounds)
    decode(library, results, a.only, a.rounds)


if __name__ == "__main__":
    sys.exit(main())
