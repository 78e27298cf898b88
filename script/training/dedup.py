"""Removes exact and near duplicates: Jaccard similarity of word 5-grams, exact, with prefix filtering.

Two sets with Jaccard >= t share one of the (1 - t)|x| + 1 rarest members of each (Bayardo, Ma and Srikant, "Scaling up all pairs similarity
search", 2007), so only sets that meet in an index of rare members are compared.
"""
import collections, math, re

threshold = 0.8
length = 5


def words(text):
    return re.findall(r"\w+", text.lower())


def grams(text):
    w = words(text)
    return {tuple(w[i:i + length]) for i in range(len(w) - length + 1)} or {tuple(w)}


def identity(row):
    """What makes a sample the same as another: contexts are shared by many questions and do not count."""
    if row["category"] == "general":
        return " ".join((row["instruction"], row["input"].partition("\n\nQuestion: ")[2], row["output"]))
    return " ".join((row["instruction"], row["input"], row["output"]))


def unique(texts):
    """(indices to keep, exact duplicates, near duplicates); of similar texts the first stays."""
    sets = [grams(t) for t in texts]
    frequency = collections.Counter(g for s in sets for g in s)
    index, kept, seen, exact, near = collections.defaultdict(list), [], set(), 0, 0
    for i, s in enumerate(sets):
        key = " ".join(words(texts[i]))
        if key in seen:
            exact += 1
            continue
        seen.add(key)
        prefix = sorted(s, key=lambda g: (frequency[g], g))[:len(s) - math.ceil(threshold * len(s)) + 1]
        candidates = {j for g in prefix for j in index[g] if threshold * len(s) <= len(sets[j]) <= len(s) / threshold}
        if any(len(s & sets[j]) >= threshold * len(s | sets[j]) for j in candidates):
            near += 1
            continue
        kept.append(i)
        for g in prefix:
            index[g].append(i)
    return kept, exact, near
