"""The command script/training_data."""
import argparse, json, pathlib, random, subprocess, sys, time

from . import build, documentation, intents, write

root = pathlib.Path(__file__).resolve().parents[2]


def stratified(rows, count, key):
    """`count` rows, spread evenly over the values of key(row), then in the order of the rows."""
    groups = {}
    for index, row in enumerate(rows):
        groups.setdefault(key(row), []).append(index)
    chosen, depth = [], 0
    while len(chosen) < min(count, len(rows)):
        for name in sorted(groups):
            if depth < len(groups[name]) and len(chosen) < count:
                chosen.append(groups[name][depth])
        depth += 1
    return [rows[i] for i in sorted(chosen)]


def committed_sample(rows, count):
    """As many rows of each category as its share of the whole, over all kinds; short ones, so that the file stays readable."""
    shares = {c: count * n // sum(build.totals.values()) for c, n in build.totals.items()}
    shares["general"] += count - sum(shares.values())
    out = []
    for category in write.categories:
        own = [r for r in rows if r["category"] == category and sum(len(r[k]) for k in ("instruction", "input", "output")) < 1000]
        # Nothing of the packages' texts is committed.
        own = [r for r in own if r["check"].get("source", "handbook") == "handbook"]
        out += stratified(own, shares[category], lambda r: r["kind"])
    return out


def arguments():
    parser = argparse.ArgumentParser(prog="script/training_data", description="Generates the instruction samples and the intents; the same seed gives the same bytes.")
    parser.add_argument("--out", type=pathlib.Path, default=root / ".cache" / "training")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=sum(build.totals.values()), help="instruction samples; fewer keep the proportions")
    parser.add_argument("--only", choices=["all", "instructions", "intents"], default="all")
    parser.add_argument("--debs", type=pathlib.Path, default=root / ".cache" / "debs", help="folder with the .deb files of packages that are not installed")
    parser.add_argument("--download", action="store_true", help="fetch the .deb files into that folder first (apt-get download)")
    parser.add_argument("--no-packages", action="store_true", help="leave out the samples over documentation packages")
    parser.add_argument("--commit-samples", action="store_true", help="also rewrite the samples and statistics in examples/data/training")
    parser.add_argument("--progress", action="store_true")
    options = parser.parse_args()
    if options.count < 40:
        parser.error("--count: at least 40")
    return options


def download(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in documentation.packages:
        if not list(folder.glob(name + "_*.deb")):
            subprocess.run(["apt-get", "download", "-q", name], cwd=folder, check=False)


def main():
    options, started = arguments(), time.time()
    if options.download:
        download(options.debs)
    files, statistics, samples = {}, {}, {}
    if options.only != "intents":
        maker = build.Maker(root, options.seed, options.debs, options.progress, not options.no_packages)
        train, validation = maker.instructions(options.count)
        files |= {"train.jsonl": write.text_of(train), "validation.jsonl": write.text_of(validation)}
        statistics["instructions"] = write.statistics(train, validation) | {"dropped": dict(sorted(maker.dropped.items())), "equations evaluated": maker.equations, "notes": maker.notes}
        samples["sample.jsonl"] = write.text_of(committed_sample(train + validation, 200))
    if options.only != "instructions":
        train, test = intents.generate(options.seed)
        files |= {"intents_train.jsonl": write.text_of(train), "intents_test.jsonl": write.text_of(test)}
        statistics["intents"] = intents.statistics(train, test)
        samples["intents_sample.jsonl"] = write.text_of(stratified(train, 77, lambda r: r["label"]) + stratified(test, 77, lambda r: r["label"]))
    sums = {name: write.replace(options.out / name, text) for name, text in files.items()}
    statistics = {"seed": options.seed, **statistics, "sha256": sums}
    write.replace(options.out / "statistics.json", json.dumps(statistics, indent=1, ensure_ascii=False) + "\n")
    if options.commit_samples:
        folder = root / "examples" / "data" / "training"
        for name, text in samples.items():
            write.replace(folder / name, text)
        write.replace(folder / "statistics.json", json.dumps(statistics, indent=1, ensure_ascii=False) + "\n")
    for name, digest in sums.items():
        print(f"{digest}  {options.out / name}  {files[name].count(chr(10))} lines")
    if options.progress:
        print(f"{time.time() - started:.0f} s", file=sys.stderr)
    return 0
