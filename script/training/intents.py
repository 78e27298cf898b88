"""Intents of a bank's help desk: phrasings are expanded from intents/*.txt; those of the test split, and its frames, never occur in train."""
import collections, hashlib, pathlib, random, re

from . import dedup, write
from .draw import cities

folder = pathlib.Path(__file__).resolve().parent / "intents"
per_intent = {"train": 130, "test": 39}
slots = {
    "card": ["card", "card", "debit card", "bank card", "credit card"], "app": ["app", "app", "banking app", "mobile app"], "account": ["account", "account", "current account"],
    "transfer": ["transfer", "transfer", "bank transfer", "money transfer"], "city": cities, "country": "Norway Brazil Japan Kenya Poland Canada Turkey Mexico India Greece Vietnam Morocco Spain Chile".split(),
    "currency": ["dollars", "yen", "zloty", "Swiss francs", "pounds", "Danish crowns", "rupees", "pesos", "lira", "Czech crowns"],
    "days": ["two days", "three days", "five days", "a week", "ten days", "two weeks", "12 days", "a month"],
}
# (before, after); "after" only follows statements. Test phrasings have frames of their own too.
frames = {
    "train": (["", "", "", "", "Hi, ", "Hello, ", "Good morning, ", "Please help: ", "Hi there, ", "Sorry, ", "Hello team, "], ["", "", "", " What should I do?", " Can you help me?", " Please help.", " Thank you.", " What now?", " Please advise."]),
    "test": (["", "", "", "Hey, ", "Excuse me, ", "Quick question: ", "Good evening, ", "Dear support, ", "Morning! "], ["", "", "", " Any ideas?", " Could somebody look into this?", " I need assistance.", " Cheers.", " How do we solve this?"]),
}


def read():
    """[(name, description, {"train": patterns, "test": patterns})] in the order of the files; malformed lines are refused with their number."""
    intents = []
    for file in sorted(folder.glob("*.txt")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            head = re.fullmatch(r"\[(\w+)\] (.+)", line)
            if head:
                intents.append((head[1], head[2], {"usual": [], "unusual": []}))
                continue
            unknown = [s for s in re.findall(r"<(\w+)>", line) if s not in slots and s != "amount"]
            if not intents or line.count("(") != line.count(")") or unknown or re.search(r"\([^)]*\(", line):
                raise SystemExit(f"{file.name}:{number}: not a phrasing: {line!r}" + f", unknown slots {unknown}" * bool(unknown))
            intents[-1][2]["unusual" if line.startswith("= ") else "usual"].append(line.removeprefix("= "))
    names = [n for n, _, _ in intents]
    if len(set(names)) != len(names):
        raise SystemExit(f"intents: a name occurs twice: {[n for n, c in collections.Counter(names).items() if c > 1]}")
    return sorted((name, text, held_out(p)) for name, text, p in intents)


def held_out(phrasings):
    """Two usual and one unusual phrasing go to the test split, whatever the seed, so that train sees some of the unusual words too."""
    split = {"train": [], "test": []}
    for kind, count in (("usual", 2), ("unusual", 1)):
        ordered = sorted(phrasings[kind], key=lambda p: hashlib.sha256(p.encode()).digest())
        split["test"] += ordered[:count]
        split["train"] += ordered[count:]
    return split


def expand(pattern, rng):
    text = re.sub(r"\(([^()]*)\)", lambda m: rng.choice(m[1].split("|")), pattern)
    money = lambda: rng.choice(["{} euros", "€{}", "{} EUR", "${}", "£{}", "{} dollars"]).format(rng.choice([5, 12, 20, 35, 40, 50, 75, 80, 100, 120, 150, 180, 200, 250, 300, 450, 600, 900, 1200]))
    text = re.sub(r"<(\w+)>", lambda m: money() if m[1] == "amount" else rng.choice(slots[m[1]]), text)
    text = re.sub(r"\s+([?,.!])", r"\1", re.sub(r"\s+", " ", text)).replace("an current", "a current").strip(" ")
    return re.sub(r",\?", "?", text)


def phrase(pattern, split, rng):
    text = expand(pattern, rng)
    before, after = (rng.choice(f) for f in frames[split])
    if not text.endswith(("?", "!", ".")):
        text += "." + after
    text = before + text if before else text[0].upper() + text[1:]
    draw = rng.random()   # as people type
    if draw < 0.14:
        text = text.lower()
    elif draw < 0.24:
        text = text.rstrip("?.!")
    elif draw < 0.29:
        at = rng.randrange(1, len(text) - 2)
        if text[at].isalpha() and text[at + 1].isalpha():
            text = text[:at] + text[at + 1] + text[at] + text[at + 2:]
    return text


def generate(seed):
    """(train, test): lines {text, label, intent, template}. Labels are the places in the alphabetical order of the names."""
    rows, out = {}, {}
    seen = set()
    for split in ("train", "test"):
        rows[split] = []
        for label, (name, _, patterns) in enumerate(read()):
            rng, got, tries = random.Random(f"{seed}/intents/{split}/{name}"), [], 0
            own = {p: 0 for p in patterns[split]}
            # More than is needed: near duplicates go below.
            while len(got) < per_intent[split] * 1.7 and tries < 30_000:
                tries += 1
                pattern = min(own, key=lambda p: (own[p], rng.random()))   # evenly over the phrasings
                own[pattern] += 1
                text = phrase(pattern, split, rng)
                key = " ".join(dedup.words(text))
                if key not in seen:
                    seen.add(key)
                    got.append({"text": text, "label": label, "intent": name, "template": f"{name}.{split}.{patterns[split].index(pattern) + 1}"})
            rows[split] += got
    both = rows["train"] + rows["test"]
    keep, _, _ = dedup.unique([r["text"] for r in both])
    count = collections.Counter()
    for index in keep:
        row, split = both[index], "train" if index < len(rows["train"]) else "test"
        if count[split, row["label"]] < per_intent[split]:
            count[split, row["label"]] += 1
            out.setdefault(split, []).append(row)
    for split in out:
        random.Random(f"{seed}/intents/{split}").shuffle(out[split])
    return out["train"], out["test"]


def statistics(train, test):
    words = lambda rows: {w for r in rows for w in dedup.words(r["text"])}
    per = [collections.Counter(r["label"] for r in rows) for rows in (train, test)]
    return {"intents": {name: text for name, text, _ in read()}, "lines": {"train": len(train), "test": len(test)},
            "lines of an intent": {s: [min(c.values()), max(c.values())] for s, c in zip(("train", "test"), per)},
            "templates": {s: len({r["template"] for r in rows}) for s, rows in (("train", train), ("test", test))},
            "words": {s: write.spread([len(dedup.words(r["text"])) for r in rows]) for s, rows in (("train", train), ("test", test))},
            "vocabulary": {"train": len(words(train)), "test": len(words(test)), "test words not in train": len(words(test) - words(train))}}
