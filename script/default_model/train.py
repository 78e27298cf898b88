#!/usr/bin/env python3
"""Trains the default model in one process on one GPU within ten minutes (with --toy: a few steps of a tiny one on the CPU).

    train.py --corpus corpus.jsonl.xz --tokenizer DIR --out DIR [--seconds 450] [--toy]

First the documentation text alone, then question–context–answer rows with some text; the schedule follows the clock, so that a faster
or slower machine still ends in time: warm-up, constant rate, linear decay, and NF4 rounding of the weights over the last part.
With --start and the spans a run is a part of that: it goes on from another's weights, with new moments and a warm-up.
Writes bf16 shards in the layout of transformers, log.jsonl, and the generations of evaluate.py.
"""
import argparse, json, math, pathlib, tempfile, time

import numpy as np
import safetensors.torch
import torch

import batches, evaluate, mix, nf4, samples
from model import Llama, create_block_mask, document_mask, rope_table, shape, toy
from optimiser import Optimiser

# The base sees text alone; the instructed model goes on from its weights.
shared = dict(rows=64, decay=0.05, text_share=0.1)
phases = dict(base=dict(rate=3e-3, warmup=100, decay_from=0.5, nf4_from=0.85, floor=0.05),
              instruct=dict(rate=2.5e-3, warmup=60, decay_from=0.4, nf4_from=0.85, floor=0.02))


def rate_at(plan, step, progress):
    fall = 1.0 if progress < plan["decay_from"] else plan["floor"] + (1 - plan["floor"]) * (1 - progress) / (1 - plan["decay_from"])
    return plan["rate"] * min(1.0, (step + 1) / plan["warmup"]) * max(fall, 0.0)


class Run:
    def __init__(self, options):
        self.options, self.device = options, "cpu" if options.toy else "cuda"
        self.hints = dict(synonyms=options.synonyms, near=options.near)
        self.log_file, self.start = open(options.out / "log.jsonl", "w"), time.time()

    def log(self, **values):
        line = json.dumps({"seconds": round(time.time() - self.start, 1), **values})
        print(line, flush=True)
        self.log_file.write(line + "\n"); self.log_file.flush()

    def batch(self, tokens, weight):
        """tokens [rows, 2049] and weights (hundredths) to the device: inputs, targets, weights, segments, each [rows, 2048]."""
        tokens = torch.from_numpy(tokens.astype(np.int32)).pin_memory() if self.device == "cuda" else torch.from_numpy(tokens.astype(np.int32))
        tokens = tokens.to(self.device, non_blocking=True).long()
        weight = torch.from_numpy(weight.astype(np.float32)).to(self.device) / 100
        x, y, w = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), weight[:, 1:].contiguous()
        # No token is asked to guess where the next document begins.
        w = w * (y != self.begin)
        return x, y, w, (x == self.begin).cumsum(1).int()

    def loss(self, batch):
        x, y, w, segment = batch
        return self.model(x, y, w, document_mask(segment, self.make_mask))

    @torch.no_grad()
    def validate(self, text, answers):
        """Mean loss per token of held-out text, and per answer token of held-out samples."""
        out = []
        for tokens, weight in (text, answers):
            total = count = 0.0
            for i in range(0, len(tokens) - self.rows + 1, self.rows):
                part = weight[i:i + self.rows]
                s, n = self.loss(self.batch(tokens[i:i + self.rows], np.where(part >= 100, 100, 0)))
                total += s.item(); count += n.item()
            out.append(total / max(count, 1))
        return out

    def compare(self, folders, text, packed):
        """The held-out losses of other checkpoints on the same rows."""
        mine = {k: v.clone() for k, v in self.model.state_dict().items()}
        for folder in folders:
            self.model.load_state_dict(nf4.read(folder))
            a, b = self.validate(text, packed)
            self.log(event="compared", model=str(folder), text_loss=a, answer_loss=b)
        self.model.load_state_dict(mine)

    def save(self):
        """bf16 weights in shards below 16 MB, so that any of them can be moved around."""
        shards, size = [{}], 0
        for name, tensor in self.optimiser.state().items():
            if size + tensor.nbytes > 15.9e6:
                shards.append({}); size = 0
            shards[-1][name] = tensor; size += tensor.nbytes
        index = {}
        for i, shard in enumerate(shards, 1):
            file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
            safetensors.torch.save_file(shard, self.options.out / file, metadata={"format": "pt"})
            index |= {name: file for name in shard}
        (self.options.out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))

    def save_base(self):
        """The base in its NF4 form: one file."""
        safetensors.torch.save_file(nf4.quantised(self.optimiser.state()), self.options.out / "base.safetensors", metadata={"format": "pt"})

    def held_out(self, tokenizer, corpus):
        """Rows of validation text, rows of validation samples, and 300 plain samples for generation; of text alone where no samples are trained on."""
        documents = list(samples.read(corpus, "valid"))
        stream = batches.text_stream(tokenizer, documents, 1)
        rows = min(self.rows * 4, (len(stream) - 1) // 2048)
        text = np.stack([stream[i * 2048:i * 2048 + 2049] for i in range(rows)])
        if not self.options.seconds:
            return (text, np.full(text.shape, 100, np.uint8)), (text[:0], text[:0]), [], None
        source = mix.Mix(documents, 77, **self.hints)
        made = [source.sample() for _ in range(60 if self.options.toy else 1000)]
        packed = batches.pack(batches.encode(tokenizer, made, samples.prompt), tokenizer.token_to_id("<|pad|>"))
        return (text, np.full(text.shape, 100, np.uint8)), packed, made[:20 if self.options.toy else 150], source.book

    def train(self):
        options, device = self.options, self.device
        from tokenizers import Tokenizer
        tokenizer_file = str(options.tokenizer / "tokenizer.json")
        tokenizer = Tokenizer.from_file(tokenizer_file)
        self.begin = tokenizer.token_to_id("<|begin_of_text|>")
        self.rows = 2 if options.toy else shared["rows"]
        folder = tempfile.mkdtemp()
        supply = batches.Supply((options.corpus, options.wide), tokenizer_file, self.hints, folder, options.workers, options.seed, samples=bool(options.seconds))
        torch.manual_seed(options.seed)
        torch.set_float32_matmul_precision("high")
        c = toy if options.toy else shape
        self.model = Llama(c).to(device)
        if options.start:
            self.model.load_state_dict(nf4.read(options.start))
        self.optimiser = Optimiser(self.model, shared["decay"])
        self.model.tables = rope_table(2048, c, device)
        self.make_mask = create_block_mask
        if options.toy:
            self.model.tables = [t.float() for t in self.model.tables]
        else:
            torch._dynamo.config.cache_size_limit = 64
            self.model.compile_parts()
            self.make_mask = torch.compile(create_block_mask)
        fake = np.random.default_rng(0).integers(5, 8000, (self.rows, batches.row)).astype(np.uint16)
        s, n = self.loss(self.batch(fake, np.full(fake.shape, 100)))
        s.backward()
        for p in self.model.parameters():
            p.grad = None
        parameters = sum(p.numel() for p in self.model.parameters())
        self.log(event="compiled", parameters=parameters)
        text, packed, self.examples, self.book = self.held_out(tokenizer, options.corpus)
        self.log(event="validation", text_rows=len(text[0]), sample_rows=len(packed[0]))
        self.compare(options.compare, text, packed)
        self.log(event="text", tokens=supply.load_text())
        for phase, seconds, span in (("base", options.base_seconds, options.base_span), ("instruct", options.seconds, options.span)):
            if not seconds:
                continue
            self.phase(phase, min(seconds, options.until - (time.time() - self.start)), span, supply, text, packed)
            figures = {}
            for name, quantised in (("bf16", False), ("nf4", True)):
                self.optimiser.quantised = quantised
                self.optimiser.publish()
                a, b = self.validate(text, packed)
                figures[name] = {"text_loss": a, "text_perplexity": math.exp(a), "answer_loss": b, "answer_perplexity": math.exp(b)}
            self.log(event="final", phase=phase, **figures)
            if phase == "base":
                self.save_base()
            self.save()
        supply.close()
        if not options.seconds or options.brief == 0:
            return
        # Weights that are still to be decayed have not met the rounding yet.
        self.optimiser.quantised = options.span[1] == 1
        self.optimiser.publish()
        weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        del self.optimiser
        evaluate.main_from_training(weights, c, options, self.examples, self.book, self.log)

    def phase(self, phase, seconds, span, supply, text, packed):
        """Trains for `seconds`: text rows alone (base), or answer rows and some text (instruct). span: the part of the schedule that they are."""
        options, plan = self.options, phases[phase]
        begin, step, tokens, running = time.time(), 0, 0, []
        while (done := (time.time() - begin) / seconds) < 1 and not (options.toy and step >= options.steps):
            progress = span[0] + (span[1] - span[0]) * (step / options.steps if options.toy else done)
            if phase == "base":
                rows = supply.text_rows(self.rows)
                weight = np.full(rows.shape, 100, np.uint8)
            else:
                count = max(1, round(self.rows * shared["text_share"]))
                more = supply.text_rows(count)
                rows, weight = supply.answer_rows(self.rows - count)
                rows = np.concatenate((rows, more))
                weight = np.concatenate((weight, np.full(more.shape, batches.weights["text"], np.uint8)))
            self.optimiser.quantised = progress >= plan["nf4_from"]
            s, n = self.loss(self.batch(rows, weight))
            s.backward()
            rate = rate_at(plan, step, progress)
            self.optimiser.step(rate, 1 / n)
            running.append((s.detach() / n))
            step += 1; tokens += rows.shape[0] * (batches.row - 1)
            if step % (5 if options.toy else 100) == 0:
                self.log(phase=phase, step=step, loss=round(torch.stack(running).mean().item(), 4), rate=round(rate, 6), tokens=tokens,
                         tokens_per_second=round(tokens / (time.time() - begin)), nf4=self.optimiser.quantised, epochs=supply.epochs,
                         answer_rows=supply.made, repeated=supply.repeated)
                running = []
                if not math.isfinite(s.item()):
                    raise SystemExit("the loss is not finite")
            if step % (20 if options.toy else 500) == 0:
                a, b = self.validate(text, packed)
                self.log(phase=phase, step=step, valid_text=round(a, 4), valid_answer=round(b, 4))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--synonyms", type=pathlib.Path, help="of synonyms.py; without it questions are reworded by the hand-made thesaurus alone")
    parser.add_argument("--near", type=pathlib.Path, help="of near.py, compressed by xz")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--handbook", type=pathlib.Path, default=pathlib.Path("examples/data/handbook"))
    parser.add_argument("--seconds", type=float, default=285, help="length of the instruction training")
    parser.add_argument("--base-seconds", type=float, default=175, help="length of the base's training before it")
    parser.add_argument("--start", type=pathlib.Path, help="a directory whose weights training goes on from")
    parser.add_argument("--base-span", type=float, nargs=2, default=(0, 1), help="the part of the base's schedule that this run is")
    parser.add_argument("--span", type=float, nargs=2, default=(0, 1), help="the part of the instruction training's schedule that this run is")
    parser.add_argument("--wide", type=pathlib.Path, help="more text for the base, of which no question is asked")
    parser.add_argument("--compare", type=pathlib.Path, nargs="*", default=(), help="directories whose held-out losses are printed, too")
    parser.add_argument("--until", type=float, default=1e9, help="seconds after which training has ended, start-up included")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brief", type=int, help="ask that many of the held-out questions at the end and nothing else; 0: none")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--steps", type=int, default=30, help="steps of a toy run")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    Run(options).train()


if __name__ == "__main__":
    main()
