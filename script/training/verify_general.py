"""Checks of general samples that need nothing but the sample: answers stand in the text, summaries shorten, rewrites keep what they must."""
import re

refusal = "The passages do not say."
short_forms = re.compile(r"\b(?:\w+n't|(?:it|that|there|what|here|he|she|let)'s|\w+'(?:re|ve|ll|m))\b", re.I)
hard_words = re.compile(r"\b(?:in order to|utili[sz]e|prior to|subsequent to|furthermore|moreover|consequently|numerous|in the event that|due to the fact that|commence)\b", re.I)


def words(text):
    return re.findall(r"[\w'%.-]*\w", text.lower())


def subsequence(small, large):
    rest = iter(large)
    return all(w in rest for w in small)


def squeezed(text):
    return re.sub(r"\s+", " ", text)


def errors_of(row):
    kind, text, out = row["kind"], row["input"], row["output"]
    flat = squeezed(text)
    # Words left out at a sentence's start move its capital, so the comparison is without case.
    if kind in ("extract", "cite"):
        cited = re.search(r" \[(\d)\]$", out) if kind == "cite" else None
        answer = out[:cited.start()] if cited else out
        if kind == "cite":
            if not cited:
                return ["no citation"]
            parts = re.split(r"(?m)^\[(\d)\] ", text.split("\n\nQuestion: ")[0])
            numbered = dict(zip(parts[1::2], parts[2::2]))
            flat = squeezed(numbered.get(cited[1], ""))
        return [] if squeezed(answer) in re.sub(r"\s+([,.;:)])", r"\1", flat) else [f"the answer is not in the text: {answer[:80]!r}"]
    if kind == "abstain":
        found = [t for t in row["check"]["absent"] if t.lower() in flat.split(" Question: ")[0].lower()]
        return ([] if out == refusal else ["does not abstain"]) + [f"the text holds {t!r}" for t in found]
    if kind in ("summary_one", "summary_two", "key_points"):
        lines = [l[2:] for l in out.split("\n")] if kind == "key_points" else [out]
        errors = [] if len(out) < 0.65 * len(text) else ["not shorter"]
        if kind == "key_points" and (len(lines) != 3 or not all(l.startswith("- ") for l in out.split("\n"))):
            errors.append("not three points")
        if not (all(l in flat for l in lines) if kind == "key_points" else subsequence(words(out), words(text))):
            errors.append("not taken from the text")
        return errors
    if kind in ("bullets", "numbered"):
        marks = [re.match(r"- |(\d+)\. ", l) for l in out.split("\n")]
        if not all(marks) or kind == "numbered" and [int(m[1]) for m in marks] != list(range(1, len(marks) + 1)):
            return ["marks are missing"]
        return [] if " ".join(l[m.end():] for l, m in zip(out.split("\n"), marks)) == text else ["the sentences are not those of the text"]
    if kind == "title":
        own = [w for w in words(out) if len(w) > 3]
        return [] if "\n" not in out and len(out.split()) <= 8 and sum(w[:5] in text.lower() for w in own) >= 0.5 * len(own) else ["not a title of the text"]
    if kind == "shorter":
        return [] if len(out.split()) < len(text.split()) and subsequence(words(out), words(text)) else ["not a shortened form of the text"]
    if kind == "simpler":
        kept = [w for w in words(out) if re.search(r"\d|_", w)]
        return ([f"still says {hard_words.search(out)[0]!r}"] if hard_words.search(out) else []) + ([] if kept == [w for w in words(text) if re.search(r"\d|_", w)] and out != text else ["figures or names changed, or nothing did"])
    if kind == "formal":
        errors = [f"short form {m[0]!r}" for m in short_forms.finditer(out)] + ["exclamation mark"] * ("!" in out)
        same = [w for w in words(text) if "'" not in w]
        return errors + ([] if subsequence(same, words(out)) and out != text else ["other words changed, or nothing did"])
    return [f"unknown kind {kind!r}"]
