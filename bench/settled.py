"""Times on a board that limits its power, and the file that keeps them.

A short burst runs near the highest clock and flatters everybody; after some 300 ms of the same work the clock has settled where the
power limit holds it. Every time taken here comes right after that much of the same work.
"""
import datetime
import json
import os
import statistics

import torch

SETTLE_MS, TIMED_MS, LAUNCHES = 300, 80, 21


def timed(f, launches):
    """Milliseconds of each launch; the queue never runs dry between them."""
    at = [(torch.cuda.Event(True), torch.cuda.Event(True)) for _ in range(launches)]
    for begin, end in at:
        begin.record(), f(), end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in at]


def settled(f):
    """Median milliseconds of a launch at the settled clock."""
    f(), torch.cuda.synchronize()
    spent, launches = 0.0, 1
    while spent < SETTLE_MS:
        spent += (last := sum(timed(f, launches)))
        each, launches = last / launches, max(1, min(2000, int(launches * 20 / last)))  # about 20 ms a turn
    return statistics.median(timed(f, max(5, min(LAUNCHES, int(TIMED_MS / each)))))


def alternating(functions, rounds, once=()):
    """{name: f} → {name: milliseconds}: the median of `rounds` turns, each in the reverse order of the one before, so that a drift of
    the board meets everybody alike. Those named in `once`, far behind, take the first turn only."""
    times = {name: [] for name in functions}
    for turn in range(rounds):
        for name in list(functions)[:: -1 if turn % 2 else 1]:
            if turn == 0 or name not in once:
                times[name].append(settled(functions[name]))
    return {name: statistics.median(t) for name, t in times.items()}


def graphed(calls):
    """A function that replays all of `calls` from one CUDA graph: device time, without what a launch costs the host."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for f in calls:
            f()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for f in calls:
            f()
    return graph.replay


def from_idle(f, calls=101):
    """Milliseconds of one call from an idle board, the median: what a caller in Python waits for."""
    times = []
    for _ in range(calls):
        times += timed(f, 1)
    return statistics.median(times)


def gemm_rate(n=8192, eight_bits=False):
    """TFLOP/s of cuBLAS in bf16, or in e4m3, at the settled clock: what the power limit leaves the tensor cores."""
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    if eight_bits:
        a8, b8, one = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t(), torch.ones((), device="cuda")
        return 2 * n**3 / settled(lambda: torch._scaled_mm(a8, b8, one, one, out_dtype=torch.bfloat16, use_fast_accum=True)) / 1e9
    return 2 * n**3 / settled(lambda: a @ b) / 1e9


def memory_rate():
    """GB/s of the fastest of a copy (read and written), a sum and a maximum (read), over 4 GiB: what the memory gives."""
    x = torch.randn(2**30, device="cuda")
    y = torch.empty_like(x)
    return max(2 * x.nbytes / settled(lambda: y.copy_(x)), x.nbytes / settled(x.sum), x.nbytes / settled(x.max)) / 1e6


def digits(x):
    return None if x is None else float(f"{x:.4g}")


class Results:
    """Result lines. A line replaces the one of the same bench, case and peer; the rest of the file stays."""

    def __init__(self, path, commit, toolkit, command):
        self.path, self.lines = path, {}
        self.about = {"board": torch.cuda.get_device_name(), "toolkit": toolkit, "commit": commit,
                      "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(), "command": command}
        if path and os.path.exists(path):
            with open(path) as file:
                for line in map(json.loads, file):
                    self.lines[self.key(line)] = line

    @staticmethod
    def key(line):
        return json.dumps([line["bench"], line["case"], line["peer"].split(" ")[0]], sort_keys=True)

    def add(self, bench, case, unit, ours, peer, value, limit):
        """unit: a rate (…/s) or a time; the ratio is above 1 where ours is faster in either."""
        ratio = ours / value if unit.endswith("/s") else value / ours
        line = {"bench": bench, "case": case, "unit": unit, "ours": digits(ours), "peer": peer, "peer_value": digits(value), "ratio": digits(ratio),
                "limit": digits(limit), **self.about}
        self.lines[self.key(line)] = line
        if self.path:  # replaced in one step: a run that is cut short leaves whole lines
            with open(self.path + ".new", "w") as file:
                file.writelines(json.dumps(one) + "\n" for one in self.lines.values())
            os.replace(self.path + ".new", self.path)
        return ratio
