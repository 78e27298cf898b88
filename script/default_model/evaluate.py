#!/usr/bin/env python3
"""Answers held-out samples and handbook questions with a checkpoint in transformers and scores them.

    evaluate.py --model DIR [--count 100] [--out FILE]      the hand-written questions that training holds out

Exact: the answer is the reference, word for word, citation aside. F1: SQuAD token F1. Cited: the citation is the reference's.
"""
import argparse, collections, json, pathlib, random, re, time

import torch

import samples

# (article, question, what a right answer holds)
handbook_questions = [
    ("finance/npv", "How is NPV calculated?", r"CF_t / \(1 \+ r\)|sum of all cash flows"),
    ("finance/npv", "What is net present value?", r"sum of all cash flows"),
    ("finance/irr", "What is the internal rate of return?", r"exactly zero"),
    ("finance/payback-period", "How long does a solar installation need to pay back?", r"2\.71"),
    ("finance/gross-margin", "What is the formula for gross margin?", r"\(revenue - cost of goods sold\)"),
    ("finance/beta", "What does a beta above 1 mean?", r"rises and falls more"),
    ("finance/quick-ratio", "Why does the quick ratio leave out inventory?", r"must first be sold"),
    ("finance/current-ratio", "What is the current ratio of the furniture maker?", r"1\.6"),
    ("finance/wacc", "Why is the cost of debt multiplied by one minus the tax rate?", r"reduces taxable profit"),
    ("sql/left-join", "What does a left join do?", r"keeps every row of the left table"),
    ("sql/union", "What is the difference between UNION and UNION ALL?", r"keeps duplicates"),
    ("sql/upsert", "What is an upsert?", r"inserts a row, or updates"),
    ("sql/null-handling", "How do I test for a missing value?", r"IS NULL"),
    ("sql/transactions", "What happens on ROLLBACK?", r"undone"),
    ("sql/index-basics", "How do I create an index?", r"CREATE INDEX"),
    ("python/decorators", "What is a decorator?", r"takes another function"),
    ("python/generators", "What is the advantage of a generator?", r"memory"),
    ("python/binary-search", "How many comparisons does binary search need?", r"log2|20"),
    ("python/virtual-environments", "Which command creates a virtual environment?", r"python -m venv"),
    ("python/context-managers", "When is the exception swallowed by a context manager?", r"true value"),
]


def handbook_samples(folder, seed=5):
    """The right article with two others of its category, each cut at about 220 words: (context, question, pattern, right number)."""
    rng, out = random.Random(seed), []
    articles = {}
    for file in sorted(folder.glob("*/*.md")):
        head, body = file.read_text().split("---\n", 2)[1:]
        title = re.search(r"^title: (.*)$", head, re.M)[1]
        words, kept = 0, []
        for block in body.strip().split("\n\n"):
            if words and words + len(block.split()) > 220:
                break
            kept.append(block); words += len(block.split())
        articles[str(file.relative_to(folder))[:-3]] = (title, "\n\n".join(kept))
    for name, question, pattern in handbook_questions:
        if name not in articles or not re.search(pattern, articles[name][1]):
            continue
        others = [k for k in articles if k != name and k.split("/")[0] == name.split("/")[0]]
        chosen = rng.sample(others, 2) + [name]
        rng.shuffle(chosen)
        out.append(([articles[k] for k in chosen], question, pattern, chosen.index(name) + 1))
    return out


def bare(answer):
    return " ".join(re.sub(r"\[\d+\]", "", answer).split())


def f1(answer, reference):
    norm = lambda t: re.sub(r"\b(a|an|the)\b", " ", re.sub(r"[^\w\s]", "", bare(t).lower())).split()
    a, r = norm(answer), norm(reference)
    same = sum((collections.Counter(a) & collections.Counter(r)).values())
    return 2 * same / (len(a) + len(r)) if same else float(a == r)


@torch.no_grad()
def generate(model, tokenizer, prompts, limit=140, rows=240):
    """Greedy answers, in batches of prompts of similar length, padded on the left."""
    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|pad|>")
    ids = [tokenizer.encode(p).ids for p in prompts]
    order, answers = sorted(range(len(ids)), key=lambda i: len(ids[i])), [""] * len(ids)
    for start in range(0, len(order), rows):
        part = order[start:start + rows]
        width = max(len(ids[i]) for i in part)
        x = torch.tensor([[pad] * (width - len(ids[i])) + ids[i] for i in part], device=model.device)
        y = model.generate(input_ids=x, attention_mask=(x != pad).long(), max_new_tokens=limit, do_sample=False, eos_token_id=end, pad_token_id=pad)
        for i, row in zip(part, y[:, width:].tolist()):
            row = row[:row.index(end)] if end in row else row
            answers[i] = tokenizer.decode(row, skip_special_tokens=False).strip()
    return answers


def phrases(model, tokenizer, tests):
    """Held-out questions with near passages and with those of the right document, scored as the benchmark's text questions are: the best F1 over the accepted texts."""
    figures, records = {}, []
    answers = generate(model, tokenizer, [samples.prompt(c, q) for c, q, _, _ in tests])
    for name, part in (("near", slice(0, None, 2)), ("oracle", slice(1, None, 2))):
        rows = []
        for (context, question, accepted, number), answer in zip(tests[part], answers[part]):
            declined = answer.lower().startswith(("the passages do not", "i do not know"))
            best = 0.0 if declined else max(f1(answer, a) for a in accepted)
            inside = not declined and (bare(answer) in bare(accepted[-1]) or bare(accepted[-1])[:48] in bare(answer))
            rows.append((best, inside, declined, f"[{number}]" in answer))
            records.append({"set": name, "question": question, "accepted": accepted, "answer": answer, "f1": round(best, 3)})
        mean = lambda i: round(sum(r[i] for r in rows) / max(len(rows), 1), 4)
        figures[name] = {"count": len(rows), "f1": mean(0), "sentence": mean(1), "declined": mean(2), "cited": mean(3)}
    without = generate(model, tokenizer, [samples.prompt([], q) for _, q, _, _ in tests[::8]])
    figures["without"] = {"count": len(without), "f1": round(sum(max(f1(a, r) for r in t[2]) * (not a.lower().startswith(("the passages do not", "i do not know")))
                                                               for a, t in zip(without, tests[::8])) / max(len(without), 1), 4),
                          "declined": sum(a.lower().startswith(("the passages do not", "i do not know")) for a in without)}
    return figures, records


def score(model, tokenizer, examples, handbook, development=()):
    """Figures and generations of both sets."""
    answers = generate(model, tokenizer, [samples.prompt(c, t[0][0]) for c, t, _ in examples])
    kinds = collections.defaultdict(list)
    records = []
    for (context, [(question, reference)], kind), answer in zip(examples, answers):
        row = (bare(answer) == bare(reference), f1(answer, reference), re.findall(r"\[\d+\]", answer)[-1:] == re.findall(r"\[\d+\]", reference)[-1:])
        kinds[kind].append(row); kinds["all"].append(row)
        records.append({"kind": kind, "question": question, "reference": reference, "answer": answer})
    figures = {k: {"count": len(v), "exact": round(sum(r[0] for r in v) / len(v), 4), "f1": round(sum(r[1] for r in v) / len(v), 4),
                   "cited": round(sum(r[2] for r in v) / len(v), 4)} for k, v in sorted(kinds.items())}
    book = []
    for name, tests in (("handbook", handbook), ("development", development)):
        right = cited = 0
        for (context, question, pattern, number), answer in zip(tests, generate(model, tokenizer, [samples.prompt(c, q) for c, q, _, _ in tests])):
            good = bool(re.search(pattern, answer)); right += good; cited += f"[{number}]" in answer
            book.append({"set": name, "question": question, "answer": answer, "wanted": pattern, "right": good, "cited": f"[{number}]" in answer,
                         "passages": "\n".join(t for _, t in context)})
        figures[name] = {"count": len(tests), "right": right, "cited": cited, "verbatim": sum(bare(b["answer"]) in b["passages"] for b in book if b["set"] == name),
                         "declined": sum(b["answer"].startswith(samples.refusal) for b in book if b["set"] == name)}
    for b in book:
        del b["passages"]
    return figures, records, book


def build(weights, c):
    from transformers import LlamaConfig, LlamaForCausalLM
    config = {k: v for k, v in c.items() if k != "rope_theta"}
    model = LlamaForCausalLM(LlamaConfig(**config, rope_parameters={"rope_type": "default", "rope_theta": c["rope_theta"]}, tie_word_embeddings=True))
    model.load_state_dict(weights, strict=False)
    model.tie_weights()
    return model


def main_from_training(weights, c, options, examples, book, log):
    """Scores the NF4-rounded weights at the end of a training run and writes generations.json."""
    from tokenizers import Tokenizer
    begin = time.time()
    tokenizer = Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))
    model = build({k: v.float().cpu() for k, v in weights.items()}, c)
    model = model.to("cpu" if options.toy else "cuda", torch.float32 if options.toy else torch.bfloat16).eval()
    tests = book.phrase_tests(random.Random(3))[:8 if options.toy else options.brief]
    held_out, phrase_records = phrases(model, tokenizer, tests)
    log(event="held-out questions", weights="nf4", took=round(time.time() - begin, 1), **held_out)
    figures, records, book = {}, [], []
    if options.brief is None:
        figures, records, book = score(model, tokenizer, [(c, t[:1], k) for c, t, k in examples], handbook_samples(options.handbook)[:2 if options.toy else None])
        log(event="answers", weights="nf4", took=round(time.time() - begin, 1), **figures)
    (options.out / "generations.json").write_text(json.dumps({"figures": figures | held_out, "handbook": book, "samples": records, "held out": phrase_records}, indent=1, ensure_ascii=False))
    for r in book + phrase_records[:60]:
        print(f"{'+' if r.get('right', r.get('f1', 0) > 0.5) else '-'} {r['question']} -> {r['answer']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=pathlib.Path, required=True, help="a directory that quantise.py or train.py has written")
    parser.add_argument("--tokenizer", type=pathlib.Path, help="default: the model's directory")
    parser.add_argument("--count", type=int, help="only that many of the questions")
    parser.add_argument("--bf16", action="store_true", help="the weights as they are, not rounded to NF4")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    from tokenizers import Tokenizer
    import handbook, nf4
    from model import shape
    tokenizer = Tokenizer.from_file(str((options.tokenizer or options.model) / "tokenizer.json"))
    weights = {k: nf4.round_trip(v[None])[0] if v.dim() == 2 and "embed" not in k and not options.bf16 else v for k, v in nf4.read(options.model).items()}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build(weights, shape).to(device, torch.bfloat16 if device == "cuda" else torch.float32).eval()
    tests = handbook.Handbook(random.Random(3)).phrase_tests(random.Random(3))[:options.count]
    figures, records = phrases(model, tokenizer, tests)
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.write_text(json.dumps({"figures": figures, "held out": records}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
