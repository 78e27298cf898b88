"""Worker processes that turn the corpus into packed rows: text once, then question–context–answer samples without end."""
import multiprocessing, os, pathlib, queue, random, time

import numpy as np

turns = 7                      # most questions about one set of passages
handbook_copies = 3            # in an epoch of text
row = 2049                     # one token more than the context: inputs are [:-1], targets [1:]
weights = {"text": 10, "prompt": 3, "answer": 100}      # loss weights in hundredths for the second stage


def markdown(document):
    return f"# {document['title']}\n\n{document['text']}" if document["title"] != "Dictionary" else document["text"]


def text_stream(tokenizer, documents, seed):
    """All documents as one array of token ids [n], uint16, in random order: begin, text, end."""
    documents = list(documents)
    random.Random(seed).shuffle(documents)
    end = tokenizer.token_to_id("<|endoftext|>")
    pieces = []
    for start in range(0, len(documents), 200):
        for e in tokenizer.encode_batch([markdown(d) for d in documents[start:start + 200]]):
            pieces.append(np.array(e.ids + [end], dtype=np.uint16))
    return np.concatenate(pieces)


def encode(tokenizer, made, prompt):
    """Token ids and loss weights of samples; answers count most. Further turns follow the first as in a chat."""
    pieces, roles = [], []
    for number, (context, turns, _) in enumerate(made):
        for turn, (q, a) in enumerate(turns):
            pieces.append(prompt(context, q) if turn == 0 else f"\n<|im_start|>user\nQuestion: {q}<|im_end|>\n<|im_start|>assistant\n")
            pieces.append(a + "<|im_end|>")
            roles += [(number, turn == 0, "prompt"), (number, False, "answer")]
    begin, samples = tokenizer.token_to_id("<|begin_of_text|>"), [([], []) for _ in made]
    for (number, first, role), e in zip(roles, tokenizer.encode_batch(pieces, add_special_tokens=False)):
        ids = ([begin] if first else []) + e.ids
        samples[number][0].extend(ids)
        samples[number][1].extend([weights[role]] * len(ids))
    return samples


def pack(samples, pad):
    """Greedy best fit of samples into rows; returns tokens and weights, both [rows, 2049]."""
    rows = []
    for ids, weight in sorted(samples, key=lambda s: -len(s[0])):
        if len(ids) > row:
            continue
        best = min((r for r in rows if r[0] >= len(ids)), key=lambda r: r[0], default=None)
        if best is None:
            best = [row, [], []]
            rows.append(best)
        best[0] -= len(ids); best[1].extend(ids); best[2].extend(weight)
    rows = [r for r in rows if r[0] < row // 4]
    tokens, weight = np.full((len(rows), row), pad, np.uint16), np.zeros((len(rows), row), np.uint8)
    for i, (_, ids, w) in enumerate(rows):
        tokens[i, :len(ids)], weight[i, :len(w)] = ids, w
    return tokens, weight


def worker(part, parts, corpora, tokenizer_file, hints, folder, seed, asked, text_ready, rows_ready, stop):
    """corpora: the corpus that questions are asked of, and more text or None; asked: whether samples are wanted."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.nice(10)      # the compiler goes first
    from tokenizers import Tokenizer
    import handbook, mix, samples
    tokenizer = Tokenizer.from_file(tokenizer_file)
    documents = list(samples.read(corpora[0], "train", part, parts))
    wide = list(samples.read(corpora[1], "train", part, parts)) if corpora[1] else []
    source, number = mix.Mix(documents, seed * 1000 + part, **hints), 0
    path = pathlib.Path(folder) / f"text-{part}.npy"
    # Every worker's share of the text holds its share of the handbook, some times over.
    book = [{"title": title, "text": text} for n, (title, _, text) in enumerate(source.book.documents.values()) if n % parts == part]
    np.save(path, text_stream(tokenizer, documents + wide + book * handbook_copies, seed + part))
    text_ready.put(str(path))
    pad = tokenizer.token_to_id("<|pad|>")
    while asked and not stop.is_set():
        tokens, weight = pack(encode(tokenizer, [source.sample(turns) for _ in range(400)], samples.prompt), pad)
        path = pathlib.Path(folder) / f"rows-{part}-{number}.npz"
        np.savez(path, tokens=tokens, weight=weight)
        rows_ready.put(str(path))
        number += 1


class Supply:
    """Starts the workers and hands out rows: text rows in epochs, answer rows fresh while there are any, else seen ones."""

    def __init__(self, corpora, tokenizer_file, hints, folder, workers, seed, samples=True):
        context = multiprocessing.get_context("spawn")
        self.text_ready, self.rows_ready, self.stop = context.Queue(), context.Queue(), context.Event()
        self.random, self.workers = np.random.default_rng(seed), workers
        self.text, self.order, self.at, self.epochs = None, None, 0, 0
        self.fresh, self.seen, self.made, self.repeated = [], [], 0, 0
        self.processes = [context.Process(target=worker, daemon=True, args=(i, workers, corpora, tokenizer_file, hints, folder, seed, samples,
                                                                            self.text_ready, self.rows_ready, self.stop)) for i in range(workers)]
        for p in self.processes:
            p.start()

    def load_text(self):
        streams = [np.load(self.text_ready.get(timeout=300)) for _ in range(self.workers)]
        self.stream = np.concatenate(streams)
        return len(self.stream)

    def text_rows(self, count):
        if self.order is None or self.at + count > len(self.order):
            # Each epoch cuts the stream at a new offset.
            offset = int(self.random.integers(row - 1))
            rows = (len(self.stream) - offset - 1) // (row - 1)
            self.order = offset + self.random.permutation(rows) * (row - 1)
            self.at, self.epochs = 0, self.epochs + 1
        starts = self.order[self.at:self.at + count]
        self.at += count
        return np.stack([self.stream[s:s + row] for s in starts])

    def collect(self):
        while True:
            try:
                data = np.load(self.rows_ready.get_nowait())
            except queue.Empty:
                return
            tokens, weight = data["tokens"], data["weight"]
            self.fresh += [(tokens[i], weight[i]) for i in range(len(tokens))]
            self.made += len(tokens)

    def answer_rows(self, count):
        if len(self.fresh) < 4000:
            self.collect()
        while not self.fresh and not self.seen:
            time.sleep(0.2)
            self.collect()
        picked = []
        for _ in range(count):
            if self.fresh:
                i = int(self.random.integers(len(self.fresh)))
                self.fresh[i], self.fresh[-1] = self.fresh[-1], self.fresh[i]
                self.seen.append(self.fresh.pop())
                picked.append(self.seen[-1])
            else:
                self.repeated += 1
                picked.append(self.seen[int(self.random.integers(len(self.seen)))])
        return np.stack([t for t, _ in picked]), np.stack([w for _, w in picked])

    def close(self):
        self.stop.set()
        for p in self.processes:
            p.terminate()
