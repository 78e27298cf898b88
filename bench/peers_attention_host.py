#!/usr/bin/env python3
"""Host attention against PyTorch's scaled_dot_product_attention, in turns within one run, printed as ratios.

  python bench/peers_attention_host.py BUILD/bench/bench_attention_host [--rounds 3] [--filter decode] [--write FILE]

Needs torch. Each turn takes the median over about half a second; a line shows the median turn of both and their ratio
(above 1: smalti is faster). Turns alternate because a shared machine's clock and memory drift between minutes.
"""
import argparse, datetime, json, platform, statistics, subprocess, time

import torch
import torch.nn.functional as F

CASES = {  # name: heads, key heads, queries, keys, head dimension, causal
    "decode": (32, 8, 1, 4096, 128, True), "speculative": (32, 8, 4, 4096, 128, True), "chunk": (32, 8, 512, 4096, 128, True),
    "prefill": (32, 8, 2048, 2048, 128, True), "prefill_d64": (32, 8, 2048, 2048, 64, True), "small": (12, 12, 128, 128, 32, False)}


def peer(name, dtype, threads):
    h, g, n, m, d, causal = CASES[name]
    torch.set_num_threads(threads)
    q, k, v = torch.randn(1, h, n, d).to(dtype), torch.randn(1, g, m, d).to(dtype), torch.randn(1, g, m, d).to(dtype)
    mask = torch.ones(n, m, dtype=torch.bool).tril(m - n) if causal and 1 < n < m else None  # its is_causal aligns top-left
    def call():
        F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal and n == m, enable_gqa=h != g)
    call()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < 0.5:
        t = time.perf_counter()
        call()
        times.append(time.perf_counter() - t)
    return statistics.median(times)


def ours(program, name, dtype, threads):
    command = [program, f"--benchmark_filter=^{name}/{dtype}/{threads}/", "--benchmark_min_time=0.1", "--benchmark_repetitions=5", "--benchmark_format=json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return next(b["real_time"] for b in report["benchmarks"] if b.get("aggregate_name") == "median") * 1e-6


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("program"), a.add_argument("--rounds", type=int, default=3), a.add_argument("--filter", default="")
    a.add_argument("--write"), a.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    a = a.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    for name, (h, g, n, m, d, causal) in CASES.items():
        if a.filter not in name:
            continue
        flops = 4 * h * n * m * d * (0.5 if causal and n == m else 1)
        for dtype, torch_dtype, size in (("f32", torch.float32, 4), ("bf16", torch.bfloat16, 2)):
            for threads in a.threads:
                turns = [(ours(a.program, name, dtype, threads), peer(name, torch_dtype, threads)) for _ in range(a.rounds)]
                mine, theirs = (statistics.median(t) for t in zip(*turns))
                kv = 2 * g * m * d * size
                print(f"{name:12} {dtype:4} {threads} thread{'s' if threads > 1 else ' '}  {mine * 1e3:9.3f} ms  {flops / mine * 1e-9:6.1f} GFLOP/s {kv / mine * 1e-9:6.2f} GB/s"
                      f"   torch {torch.__version__} {theirs * 1e3:9.3f} ms   {theirs / mine:5.2f}x", flush=True)
                if a.write:
                    with open(a.write, "a") as out:
                        out.write(json.dumps({
                            "bench": "attention_host", "case": {"name": name, "heads": h, "heads_kv": g, "queries": n, "keys": m, "d": d, "causal": causal, "dtype": dtype, "threads": threads},
                            "unit": "s", "ours": mine, "peer": f"torch {torch.__version__} scaled_dot_product_attention", "peer_value": theirs, "ratio": theirs / mine, "limit": None,
                            "board": f"{platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}", "toolkit": "g++ -O2", "commit": commit,
                            "date": datetime.date.today().isoformat(), "command": "python bench/peers_attention_host.py"}) + "\n")


if __name__ == "__main__":
    main()
