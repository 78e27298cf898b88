#!/usr/bin/env python3
"""Questions in other words: sentences of the documentation, and of the handbook, with questions of other documents that they answer.

    near.py --corpus corpus.jsonl.xz --more wide.jsonl.xz --encoder all-MiniLM-L6-v2 --out FOLDER

The questions are those that stand in the documentation, and those that rules write from a sentence near in meaning whose words differ. One is kept
for a sentence where the encoder ranks that sentence first in its document, by a margin: what the encoder knows about wording, the reader is to learn.
Writes near.jsonl.xz: {"a": sentence, "q": questions}, for the handbook's with "d", the document.
"""
import argparse, collections, concurrent.futures, functools, json, lzma, pathlib, random, re, time

import numpy as np
import torch

import handbook, language, passages, questions, samples


def sentences(job):
    """(sentence, title) of some documents."""
    documents, seed = job
    rng, out = random.Random(seed), []
    for document in documents:
        for p in passages.split(document, rng):
            out += [(s, p.title) for s in p.sentences if 6 <= len(s.split()) <= 40 and s.split()[0].lower() not in questions.pronouns]
    return out


# Strings of keywords say too little to be another sentence's question.
vague = re.compile(r"What is the role of .* for|How do .* relate|What is said about|What about|Which statement concerns|What does the text say about|"
                   r"How is .* connected with|What should I know about|How does \S+ affect|Name an? |[a-z]|"
                   r"(?:Why|How|When|Where) (?!(?:is|are|do|does|did|can|could|should|must|may|will|was|were|would|to|many|much|long|often|large)\b)")


def asked(job):
    """Up to four questions of each sentence."""
    rows, seed = job
    rng, out = random.Random(seed), []
    for s in rows:
        made = {q for _ in range(8) if (q := questions.from_sentence(s, "", rng, s)) and len(q.split()) > 3 and not vague.match(q)}
        out.append(list(made)[:4])
    return out


asking = re.compile(r"(?:How|What|Why|When|Where|Which|Who|Can|Could|Is|Are|Does|Do|Should|Must|May|Will)\b[^.!?\n|]{12,160}\?")


def gerund(verb):
    """run → running, make → making, tie → tying"""
    if re.search(r"[^aeiou][aeiou][bdgmnprt]$", verb) and len(verb) < 5:
        return verb + verb[-1] + "ing"
    return verb[:-2] + "ying" if verb.endswith("ie") else verb[:-1] + "ing" if re.search(r"[^eo]e$", verb) else verb + "ing"


gerunds = {gerund(v): v for v in language.verbs}


def standing(documents):
    """The questions that people have written in the text, and what its headings answer."""
    out = [q for d in documents for q in asking.findall(d["text"]) if 4 <= len(q.split()) <= 26]
    for d in documents:
        for number, heading in enumerate(re.findall(r"(?m)^#+ ([A-Z][A-Za-z' -]{5,60})$", d["text"])):
            first, _, rest = heading.partition(" ")
            if first.lower() in gerunds and rest:
                ask = ("How do I {} {}?", "How can I {} {}?", "What must I do to {} {}?", "I want to {} {}. How?")[number % 4]
                out.append(ask.format(gerunds[first.lower()], questions.lower_first(rest)))
    return out


@functools.cache
def guard():
    return handbook.overlap.Guard.read(handbook.root / "examples/data")


def allowed(asks):
    """Which of the questions are none of the evaluation's, nor close to one."""
    return [not guard().shared(q, guard().short) and not guard().close(q) for q in asks]


def overlap(a, b):
    """Share of the shorter one's stems that the other has."""
    a, b = language.stems(a), language.stems(b)
    return len(a & b) / max(1, min(len(a), len(b)))


class Encoder:
    """Mean-pooled, normalised sentence vectors, fp16."""

    def __init__(self, folder, device):
        import safetensors.torch
        from tokenizers import Tokenizer
        from transformers import BertConfig, BertModel
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding(); self.tokenizer.enable_truncation(96)
        self.model, self.device = BertModel(BertConfig.from_json_file(folder / "config.json"), add_pooling_layer=False), device
        weights = {k: v for f in folder.glob("*.safetensors") for k, v in safetensors.torch.load_file(f).items()}
        missing = self.model.load_state_dict({k: v.float() for k, v in weights.items() if v.is_floating_point()}, strict=False).missing_keys
        assert all("position_ids" in m or "token_type_ids" in m for m in missing), missing
        self.model = self.model.eval().to(device, torch.float16 if device == "cuda" else torch.float32)

    @torch.inference_mode()
    def __call__(self, texts, rows=2048):
        """texts → [n, 384] on the device."""
        ids = [e.ids for e in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        out = torch.empty(len(ids), 384, device=self.device, dtype=self.model.dtype)
        for start in range(0, len(order), rows):
            part = order[start:start + rows]
            width = max(len(ids[i]) for i in part)
            x = np.zeros((len(part), width), np.int64)
            for r, i in enumerate(part):
                x[r, :len(ids[i])] = ids[i]
            x = torch.from_numpy(x).to(self.device)
            mask = (x != 0).long()
            y = self.model(input_ids=x, attention_mask=mask).last_hidden_state.float()
            y = (y * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            out[torch.tensor(part, device=self.device)] = torch.nn.functional.normalize(y, dim=-1).to(out.dtype)
        return out


def nearest(vectors, queries, count, rows=2048):
    """Indices and cosines of the `count` nearest vectors of every query, on the host."""
    found = [torch.topk(queries[i:i + rows] @ vectors.T, count, dim=1) for i in range(0, len(queries), rows)]
    return torch.cat([f.indices for f in found]).cpu().numpy(), torch.cat([f.values for f in found]).float().cpu().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--more", type=pathlib.Path, help="text of which only the questions are taken")
    parser.add_argument("--encoder", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--most", type=int, default=1000000, help="sentences of documentation")
    parser.add_argument("--least", type=float, default=0.6, help="cosine from which two sentences make a pair")
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    begin, device = time.time(), "cuda" if torch.cuda.is_available() else "cpu"
    say = lambda *words: print(f"{time.time() - begin:.0f} s:", *words, flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    documents = [d for d in samples.read(options.corpus, "train") if d["source"] != "wordnet-base"]
    pool = concurrent.futures.ProcessPoolExecutor(options.workers)
    jobs = [(documents[i:i + 50], i) for i in range(0, len(documents), 50)]
    text, home, known = [], [], set()
    for job, found in zip(jobs, pool.map(sentences, jobs)):
        for s, t in found:
            if s not in known and len(text) < options.most:
                known.add(s); text.append(s); home.append(t.split(":")[0])
    more = list(samples.read(options.more, "train")) if options.more else []
    parts = [(documents + more)[i:i + 200] for i in range(0, len(documents + more), 200)]
    natural = sorted({q for out in pool.map(standing, parts) for q in out})
    del more, parts
    say(len(text), "sentences of documentation,", len(natural), "questions in it")
    encode = Encoder(options.encoder, device)
    # The handbook's sentences follow the documentation's; each document is a room of its own.
    book = handbook.Handbook(random.Random(1))
    count = len(text)
    for d, (_, _, body) in book.documents.items():
        for _, _, u in handbook.units(body):
            if passages.usable(u) and not u.startswith(("#", "```")):
                text.append(u); home.append(("handbook", d))
    vectors = encode(text)
    say("encoded", len(text) - count, "sentences of the handbook, too")
    index, cosine = nearest(vectors[:count], vectors, 32)
    say("compared")
    partners, uses = collections.defaultdict(list), collections.Counter()
    for a in random.Random(1).sample(range(len(text)), len(text)):
        if a >= count and book.gives_away(home[a][1], text[a]):
            continue
        most, again = (24, 12) if a >= count else (2, 3)
        for b, c in zip(index[a].tolist(), cosine[a].tolist()):
            if b != a and options.least <= c < 0.96 and home[a] != home[b] and uses[b] < again and len(partners[a]) < most and overlap(text[a], text[b]) < 0.75:
                partners[a].append(b); uses[b] += 1
    sources = sorted(uses)
    say(sum(map(len, partners.values())), "pairs,", len(sources), "sentences to ask from")
    jobs = [([text[i] for i in sources[k:k + 2000]], k) for k in range(0, len(sources), 2000)]
    made = dict(zip(sources, (q for out in pool.map(asked, jobs) for q in out)))
    flat, of, wants = [], collections.defaultdict(list), collections.defaultdict(list)
    for b in sources:
        for q in made[b]:
            of[b].append(len(flat)); flat.append(q)
    for a, bs in partners.items():
        wants[a] += [i for b in bs for i in of[b]]
    written = len(flat)
    flat += natural
    free = [f for out in pool.map(allowed, [flat[i:i + 2000] for i in range(0, len(flat), 2000)]) for f in out]
    wanted = encode(flat)
    index, cosine = nearest(vectors, wanted[written:], 24)
    for i, (js, cs) in enumerate(zip(index.tolist(), cosine.tolist()), written):
        for j, c in zip(js, cs):
            if c > 0.5 and not (j >= count and book.gives_away(home[j][1], text[j])):
                wants[j].append(i)
    own = nearest(wanted[written:], vectors[count:], 12)
    for j, (js, cs) in enumerate(zip(*(o.tolist() for o in own)), count):
        if not book.gives_away(home[j][1], text[j]):
            wants[j] += [written + i for i, c in zip(js, cs) if c > 0.45]
    say(len(flat), "questions")
    people = set(natural)
    rooms, kept = collections.defaultdict(list), collections.Counter()
    for i, h in enumerate(home):
        rooms[h].append(i)
    with lzma.open(options.out / "near.jsonl.xz", "wt") as out:
        for h, members in rooms.items():
            asks = [(a, i) for a in members for i in dict.fromkeys(wants.get(a, ()))]
            if not asks or len(members) < 3:
                continue
            place = {m: k for k, m in enumerate(members)}
            score = (wanted[torch.tensor([i for _, i in asks], device=device)] @ vectors[torch.tensor(members, device=device)].T).float()
            at = torch.tensor([place[a] for a, _ in asks], device=device)[:, None]
            own, rest = score.gather(1, at)[:, 0], score.scatter(1, at, -1.0).amax(1)
            good = collections.defaultdict(list)
            for (a, i), s, r in zip(asks, own.tolist(), rest.tolist()):
                if s > 0.6 and s > r + 0.05 and free[i]:
                    good[a].append(flat[i])
            for a, qs in good.items():
                qs = random.Random(a).sample(qs, min(len(qs), 14 if isinstance(h, tuple) else 4))
                row = {"d": h[1]} if isinstance(h, tuple) else {}
                out.write(json.dumps(row | {"a": text[a], "q": qs}, ensure_ascii=False) + "\n")
                kept["handbook" if row else "documentation"] += len(qs)
                kept["of them by people, " + ("handbook" if row else "documentation")] += sum(q in people for q in qs)
    say(dict(kept), "questions kept")


if __name__ == "__main__":
    main()
