"""Lines of a sweep (bench/sweep/attention.cu): what they say of a tile, and their heat maps."""
import json
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import svg

FIELDS = ("q", "kv", "stages", "warps")


def load(paths):
    return [json.loads(line) for path in paths for line in pathlib.Path(path).read_text().splitlines()]


def tile(line):
    return tuple(line["case"]["tile"][f] for f in FIELDS)


def target(line):
    """What a row of a table is chosen for."""
    return line["case"]["engine"], line["case"]["head_dim"]


def shape(line):
    return line["case"]["mask"], line["case"]["seq"]


def text(t):
    return f"{t[0]} × {t[1]}, {t[2]} stages, {t[3]} warps"


def ranked(lines):
    """[(mean, tile)], best first, over the lines of one target. mean: geometric, of a tile's share of the best rate at each shape, so that no shape
    counts more for being faster. A tile that did not run at every shape is left out."""
    best = {}
    for line in lines:
        best[shape(line)] = max(best.get(shape(line), 0), line["ours"])
    shares = {}
    for line in lines:
        shares.setdefault(tile(line), []).append(line["ours"] / best[shape(line)])
    return sorted(((math.prod(s) ** (1 / len(s)), t) for t, s in shares.items() if len(s) == len(best)), reverse=True)


def heat_maps(lines):
    """{file name: SVG}, one for each target and shape: query rows and the rest down, key rows across."""
    maps = {}
    groups = {}
    for line in lines:
        groups.setdefault((*target(line), *shape(line)), {})[tile(line)] = line["ours"]
    for (engine, head_dim, mask, seq), rates in groups.items():
        def row(t):
            return f"{t[0]} rows, {t[2]} stages"
        rows = list(dict.fromkeys(row(t) for t in sorted(rates, key=lambda t: (t[0], t[2]))))
        name = f"sweep_{engine}_{head_dim}_{mask}_{seq}.svg"
        maps[name] = svg.heat_map(f"{engine}, D {head_dim}, {mask}, S {seq}: query rows × key rows of a tile", "TFLOP/s", rows, sorted({t[1] for t in rates}),
                                  {(row(t), t[1]): v for t, v in rates.items()})
    return maps
