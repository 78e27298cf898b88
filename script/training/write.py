"""Reads and writes JSON lines, and the statistics of a set."""
import collections, hashlib, json, os, re

required = {"id": str, "category": str, "template": str, "kind": str, "instruction": str, "input": str, "output": str, "check": dict}
categories = ("general", "finance", "sql", "python")


def text_of(rows):
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


def replace(path, text):
    """Writes the whole file or leaves the old one; returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode("utf-8")
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
    return hashlib.sha256(data).hexdigest()


def read(path, check):
    """(rows, complaints): each malformed line is left out and reported with its number; check(row) returns a reason or None."""
    rows, complaints, seen = [], [], {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            reason = check(row) if isinstance(row, dict) else "not an object"
        except ValueError as error:
            row, reason = {}, f"not JSON: {error}"
        if not reason and row.get("id") in seen and row.get("id") is not None:
            reason = f"id {row['id']!r} was used on line {seen[row['id']]}"
        if reason:
            complaints.append(f"{path.name}:{number}: {reason}")
            continue
        seen[row.get("id")] = number
        rows.append(row)
    if not rows:
        complaints.append(f"{path.name}: no usable line")
    return rows, complaints


def sample_form(row):
    """What is wrong with the form of an instruction sample, or None."""
    for key, kind in required.items():
        if not isinstance(row.get(key), kind):
            return f"{key}: expected {kind.__name__}, found {type(row.get(key)).__name__}"
    extra = set(row) - set(required)
    if extra:
        return f"unknown keys {sorted(extra)}"
    if row["category"] not in categories:
        return f"unknown category {row['category']!r}"
    if not row["template"].startswith(f"{row['category']}.{row['kind']}."):
        return f"template {row['template']!r} is not of kind {row['kind']!r}"
    for key in ("instruction", "output"):
        if not row[key].strip():
            return f"{key} is empty"
    return None


def intent_form(row):
    for key, kind in (("text", str), ("label", int), ("intent", str), ("template", str)):
        if not isinstance(row.get(key), kind):
            return f"{key}: expected {kind.__name__}, found {type(row.get(key)).__name__}"
    return None if row["text"].strip() and 0 <= row["label"] < 77 else "empty text or label out of 0..76"


def spread(numbers):
    ordered = sorted(numbers)
    at = lambda q: ordered[min(len(ordered) - 1, int(q * len(ordered)))]
    return {"mean": round(sum(ordered) / len(ordered), 1), "median": at(0.5), "p95": at(0.95), "max": ordered[-1]} if ordered else {}


def statistics(train, validation):
    both = train + validation
    words = lambda t: re.findall(r"\w+", t.lower())
    count = lambda key: dict(sorted(collections.Counter(r[key] for r in both).items()))
    vocabulary = {c: len({w for r in both if r["category"] == c for k in ("instruction", "input", "output") for w in words(r[k])}) for c in categories}
    return {
        "samples": {"train": len(train), "validation": len(validation), **count("category")},
        "kinds": {c: dict(sorted(collections.Counter(r["kind"] for r in both if r["category"] == c).items())) for c in categories},
        "templates": {"train": len({r["template"] for r in train}), "validation": len({r["template"] for r in validation}),
                      **{c: len({r["template"] for r in both if r["category"] == c}) for c in categories}},
        "words": {c: {k: spread([len(words(r[k])) for r in both if r["category"] == c]) for k in ("instruction", "input", "output")} for c in categories},
        "vocabulary": vocabulary | {"all": len({w for r in both for k in ("instruction", "input", "output") for w in words(r[k])})},
        "sources": dict(sorted(collections.Counter(r["check"]["source"] for r in both if r["category"] == "general").items())),
    }
