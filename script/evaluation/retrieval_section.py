"""The part of docs/evaluation.md about retrieval alone: the manuals, sizes of passages, HNSW, when to decline. From
bench/results/documentation_retrieval.json and chunk_sweep.jsonl, which script/real_documents --sweep --keep makes."""
import json, pathlib, re, sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
import svg  # noqa: E402

RESULTS = ROOT / "bench/results"
PLOT = ROOT / "docs/plots/evaluation/passage_size.svg"
BAR, BAR_HNSW = 0.97, 0.005
METRICS = (("hit@1", "hit@1"), ("hit@5", "hit@5"), ("recall@5", "recall@5"), ("mrr", "MRR"), ("ndcg@10", "nDCG@10"))


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]) + "\n"


def value(line, ranking, metric, interval=False):
    m = line["rankings"][ranking][metric]
    return f"{m['value']:.3f}" + (f" [{m['low']:.2f}, {m['high']:.2f}]" if interval else "")


def size(line):
    return f"{line['chunk']}/{line['overlap']}"


def duration(seconds):
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"


def rankings(line):
    rows = [[name, *(value(line, name, m, m == "hit@5") for m, _ in METRICS), f"{line['milliseconds'][name]['search']:.2f}"] for name in ("bm25", "dense", "fused", "hnsw", "hnsw fused") if name in line["rankings"]]
    return table(["ranking", *(n for _, n in METRICS), "search, ms"], rows)


def swept(lines):
    names = [n for n in ("bm25", "dense", "fused") if n in lines[0]["rankings"]]
    rows = []
    for line in sorted(lines, key=lambda x: (x["chunk"], x["overlap"])):
        fresh = line["embedded"]["passages"]
        row = [size(line), line["passages"], f"{line['index_bytes'] / 1e6:.1f}"] + ([f"{duration(line['seconds']['embed'])} for {fresh}" if fresh else "–"] if "dense" in names else [])
        for name in names:
            row += [value(line, name, m) for m in ("hit@5", "recall@5", "mrr", "ndcg@10")]
        rows.append(row)
    return table(["words/overlap", "passages", "index, MB", *(["embedding"] if "dense" in names else []), *(f"{n} {m}" for n in names for m in ("hit@5", "recall@5", "MRR", "nDCG@10"))], rows)


def covered():
    """Documents of the handbook that a question of the 220 names, and all of them, by category."""
    named = {d for line in (ROOT / "examples/data/questions.jsonl").read_text().splitlines() for d in json.loads(line)["documents"]}
    have = {}
    for file in sorted((ROOT / "examples/data/handbook").glob("*/*.md")):
        ident = re.search(r"^id: (\S+)", file.read_text(), re.M).group(1)
        have.setdefault(file.parent.name, []).append(ident in named)
    return have


def thresholds(handbook, manuals):
    wrong = {t["below"]: t["wrongly"] for t in manuals["thresholds"]}
    rows = []
    for t in handbook["thresholds"]:
        if 0.2 <= t["below"] <= 0.5:
            share = (t["rightly"] / t["unanswerable"] + 1 - t["wrongly"] / t["answerable"]) / 2
            rows.append([f"{t['below']:.2f}", f"{t['rightly']} of {t['unanswerable']}", f"{t['wrongly']} of {t['answerable']}", f"{share:.3f}", f"{wrong[t['below']]} of {manuals['questions']}"])
    return table(["below", "declined rightly", "declined wrongly", "balanced accuracy", "wrongly, manuals"], rows)


def load():
    data = json.loads((RESULTS / "documentation_retrieval.json").read_text())
    sweep = [json.loads(line) for line in (RESULTS / "chunk_sweep.jsonl").read_text().splitlines()]
    groups = {}
    for line in sweep:
        groups.setdefault(line["name"], []).append(line)
    return data, groups


def plots():
    """{path: SVG}: recall@5 over the size of passages."""
    if not (RESULTS / "chunk_sweep.jsonl").is_file():
        return {}
    groups = []
    for name, lines in load()[1].items():
        if "words alone" not in name:
            for line in sorted(lines, key=lambda x: (x["chunk"], x["overlap"])):
                groups.append((f"{name[0]} {size(line)}", {n: line["rankings"][n]["recall@5"]["value"] for n in ("bm25", "dense", "fused")}))
    return {PLOT: svg.bars("recall@5 by size/overlap of passages in words (h: handbook, m: manuals)", "share", groups, ("bar of the handbook", BAR))}


def section():
    """Markdown, or nothing where the results are not there."""
    if not (RESULTS / "documentation_retrieval.json").is_file() or not (RESULTS / "chunk_sweep.jsonl").is_file():
        return ""
    data, groups = load()
    full, handbook = data["full"], next((x for x in groups["handbook"] if size(x) == size(data["full"])), groups["handbook"][0])
    have = covered()
    lost = max(full["rankings"][a][m]["value"] - full["rankings"][b][m]["value"] for a, b in (("dense", "hnsw"), ("fused", "hnsw fused")) for m in ("hit@5", "recall@5", "mrr"))
    met = lambda ok: "met" if ok else "**missed**"
    both = [handbook["rankings"]["fused"][m]["value"] for m in ("hit@5", "recall@5")]
    parts = ["## Retrieval on real documents\n",
             "The manuals of " + ", ".join(f"{m} ({c['package']} {data['packages'][c['package']]}, {c['pages']} pages, {c['bytes'] / 1e6:.1f} MB)" for m, c in data["manuals"].items()) +
             f", {full['words'] / 1e6:.2f} million words, fetched and indexed by `script/real_documents`: {full['passages']} passages of at most {full['chunk']} words, {full['overlap']} of them repeated, "
             f"{full['index_bytes'] / 1e6:.0f} MB. {full['questions']} questions (`examples/data/documentation_questions.jsonl`) name the pages that answer them, "
             "each with a phrase that the command looks for in the page. recall@5 is the share of all pages named, some of which answer the question only in passing; hit@5 asks for one.\n",
             rankings(full),
             f"Time on {full['threads']} core{'s' * (full['threads'] > 1)} that others used too: embedding {data['embedding']['passages']} passages {duration(data['embedding']['seconds'])} "
             f"({data['embedding']['passages'] / data['embedding']['seconds']:.0f} a second), cutting and indexing {duration(full['seconds']['index'] - full['seconds']['embed'])}, HNSW {duration(full['seconds']['hnsw'])}; the question itself takes "
             f"{full['milliseconds']['dense']['embed']:.0f} ms to embed.\n",
             f"- HNSW within {100 * BAR_HNSW:g} % of the exact index (hit@5, recall@5, MRR; dense and fused): at most {100 * lost:.2f} % below, {met(lost <= BAR_HNSW)}.",
             f"- Fused on the handbook's questions ≥ {BAR}: hit@5 {both[0]:.3f}, recall@5 {both[1]:.3f}, {met(min(both) >= BAR)}.\n",
             "By manual, fused: " + "; ".join(f"{c} hit@5 {x['hit@5']['value']:.3f}, recall@5 {x['recall@5']['value']:.3f}, MRR {x['mrr']['value']:.3f}" for c, x in full["rankings"]["fused"]["categories"].items()) + ".\n"]
    misses = full["rankings"]["fused"]["misses@5"]
    if misses:
        parts += [f"The {len(misses)} questions without a right page among the first five:\n",
                  table(["", "question", "wanted", "found"], [[x["id"].replace("documentation-", ""), x["question"], ", ".join(x["documents"]), ", ".join(x["found"])] for x in misses])]
    parts += ["### Size of passages\n",
              "Words of a passage at most, and words repeated of the one before. The encoder reads 256 tokens, about 150 words of these manuals: of longer passages it sees the beginning alone, BM25 all. "
              "Embedding: time for the passages that no size before had, – where the cache had all; one core, shared with other work, some of it standing still meanwhile.\n",
              f"![recall@5 over the size of passages]({PLOT.relative_to(ROOT / 'docs').as_posix()})\n"]
    for name, lines in groups.items():
        note = ""
        if lines[0]["distractors"] >= 0:
            note = f" ({lines[0]['documents']} pages, {lines[0]['words'] / 1e6:.2f} million words: those that answer a question and {lines[0]['distractors']} others drawn by a seed, since embedding all pages at every size takes hours)"
        parts += [f"{name[0].upper()}{name[1:]}{note}:\n", swept(lines)]
    gone = [f"{sum(not x for x in v)} of {len(v)} about {k}" for k, v in have.items()]
    parts += [f"Of the handbook's {sum(map(len, have.values()))} documents, {sum(map(sum, have.values()))} are named by a question of the 220; without one are {', '.join(gone)}. They are distractors alone.\n",
              "### When to decline\n",
              "The model is not asked where the best cosine of the passages is below a threshold. What it would decline of the 220 questions, and of the manuals' questions, all of which have an answer:\n",
              thresholds(handbook, full)]
    return "\n".join(parts)
