"""The section of docs/performance.md on the five variants, and its plots, from the lines of bench/variants.cpp."""
import json
import statistics

import svg

ABOUT = """One model run in five ways: eager attention (scores, softmax and weighted values as three passes over a matrix; `decoder/eager.hpp`, plainly written) and fused
attention over 16-bit weights, INT8 rows, NF4 with double quantisation, and NF4 with fused attention; INT8 and NF4 alone have eager attention. `prefill`: a prompt in one
pass; `decode`: a greedy step behind it (on a device one CUDA graph); medians of five turns, on the host of three rounds through all variants. `memory`: on the host the most that the process held, on a device what loading, prefill and
decode took of it. The 23 M model is the one that comes with the repository, whose file holds NF4: its 16-bit and INT8 variants are made from those values. Perplexity:
every twelfth file of the handbook, on which that model was trained, in windows of 1024 tokens moved by 512. On the host activations are fp32. 8B: Llama 3.1's shape with weights made in place;
its dense products of many rows are cuBLAS's where the machine has it. `script/variants` makes all of it.
"""
MEASURES = ("prefill", "decode", "memory", "perplexity")


def number(x):
    return f"{x:.4g}" if x < 9999.5 else f"{x:.0f}"


def unique(items):
    return list(dict.fromkeys(items))


def run_of(line):
    return line["case"]["device"], line["case"]["model"]


def medians(lines):
    """One line for each case: rounds of a run become their median."""
    rounds = {}
    for line in lines:
        rounds.setdefault(json.dumps([line["bench"], line["case"]]), []).append(line)
    return [{**of[0], "ours": statistics.median(line["ours"] for line in of)} for of in rounds.values()]


def merged(old, new):
    """The lines of a file after a run: the runs of `new` replace theirs."""
    fresh = {run_of(line) for line in new}
    return [line for line in old if run_of(line) not in fresh] + new


def summary(lines):
    """Table of variants by measures, and {variant: {measure: value}}."""
    of = {}
    units = {}
    for line in lines:
        case = line["case"]
        of.setdefault(case["variant"], {})[case["measure"]] = line["ours"]
        units[case["measure"]] = (line["unit"], case["tokens"])
    shown = [m for m in MEASURES if m in units]

    def head(m):
        unit, tokens = units[m]
        return {"prefill": f"prefill of {tokens} tokens, {unit}", "decode": f"decode behind them, {unit}", "memory": f"memory, {unit}", "perplexity": f"perplexity of {tokens} tokens"}[m]
    first = next(iter(of.values()))
    text = "| variant | " + " | ".join(head(m) + ("" if m == "perplexity" else " (of eager's)") for m in shown) + " |\n" + "|---" * (len(shown) + 1) + "|\n"
    for name, values in of.items():
        cells = [f"{values[m]:.5g}" if m == "perplexity" else f"{number(values[m])} ({values[m] / first[m]:.2f})" for m in shown]
        text += f"| {name} | " + " | ".join(cells) + " |\n"
    return text, of


def operations(lines, which):
    """Table of operations by variants of one kind of pass, and the groups of its plot."""
    chosen = [line for line in lines if line["case"]["pass"] == which]
    at = {(line["case"]["operation"], line["case"]["variant"]): line for line in chosen}
    names, variants = unique(o for o, _ in at), unique(v for _, v in at)
    total = {v: sum(line["ours"] for (_, of), line in at.items() if of == v) for v in variants}
    names.sort(key=lambda o: -max(at[o, v]["ours"] for v in variants if (o, v) in at))

    def cell(o, v):
        line = at.get((o, v))
        return "–" if not line else number(line["ours"]) + (f" ({100 * line['limit'] / line['ours']:.0f} %)" if line["limit"] else "")
    text = f"| {which}, us a pass" + (" (of the limit)" if any(line["limit"] for line in chosen) else "") + " | " + " | ".join(variants) + " |\n" + "|---" * (len(variants) + 1) + "|\n"
    for o in names:
        text += f"| {o} | " + " | ".join(cell(o, v) for v in variants) + " |\n"
    text += "| together | " + " | ".join(number(total[v]) for v in variants) + " |\n"
    large = [o for o in names if max(at[o, v]["ours"] / total[v] for v in variants if (o, v) in at) >= 0.02]
    return text, [(o, {v: at[o, v]["ours"] for v in variants if (o, v) in at}) for o in large]


def section(lines, provenance):
    """Text and {file name: SVG}; nothing without lines."""
    if not lines:
        return "", {}
    text, images = f"\n## Five variants side by side\n\n{ABOUT}", {}
    for device, model in unique(run_of(line) for line in lines):
        of = [line for line in lines if run_of(line) == (device, model)]
        table, values = summary([line for line in of if line["bench"] == "variants"])
        text += f"\n### {model}, {'on the host' if device == 'cpu' else 'on a device'}\n\n{table}\n"
        first = next(iter(values.values()))
        shown = [m for m in MEASURES[:3] if m in first]
        made = {f"variants_{device}_{model}.svg": svg.bars(f"{model}, {device}: of eager attention over 16-bit weights", "ratio", [(m, {v: x[m] / first[m] for v, x in values.items()}) for m in shown])}
        for which in ("prefill", "decode"):
            table, groups = operations([line for line in of if line["bench"] == "variants_profile"], which)
            text += table + "\n"
            made[f"variants_{device}_{model}_{which}.svg"] = svg.bars(f"{model}, {device}: operations of a {which} pass", "us", groups)
        text += provenance(of) + "".join(f"\n![{name[:-4].replace('_', ' ')}](plots/{name})\n" for name in made)
        images.update(made)
    return text, images
