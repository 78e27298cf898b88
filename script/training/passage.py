"""Passages of documents and what the generator of the default model knows about sentences; imported from script/default_model."""
import pathlib, random, re, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "default_model"))
import language, passages, questions, samples   # noqa: E402  (found through the line above)

refusal, system = samples.refusal, samples.system
noise = re.compile(r"^(?:Prev|Next|Home|Up|Download|Source code|See\b|Note|Warning|Changed in version|New in version|Deprecated since)\b|→|\( \)|https?://|::")


def clean(text):
    """Single blanks; the text of an inline element that was an image is gone."""
    return re.sub(r"\s+([,.;:)])", r"\1", re.sub(r"\s+", " ", text)).strip()


def prose(passage):
    """The sentences of a passage that can stand alone, in order."""
    return [clean(s) for s in passage.sentences if not noise.search(s) and len(s) < 300]


def cut(documents, seed):
    """Passages of every document, each cut with a random source of its own, so that one document does not shift the next."""
    out = []
    for document in documents:
        rng = random.Random(f"{seed}/{document['source']}/{document['title']}")
        for passage in passages.split(document, rng):
            lines = prose(passage)
            if len(lines) >= 2:
                passage.text = "\n\n".join(b for b in passage.text.split("\n\n") if not (noise.match(b) and len(b) < 120))
                passage.source = document["source"]
                # Marks around plain capitals read like code where there is none.
                passage.text = re.sub(r"`([A-Z]+)`", r"\1", passage.text)
                passage.lines = [re.sub(r"`([A-Z]+)`", r"\1", s) for s in lines]
                out.append(passage)
    return out
