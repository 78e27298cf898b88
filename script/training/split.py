"""Train and validation by template: no template has samples on both sides."""
import collections, hashlib

share = 0.05


def order(seed, name):
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def validation_templates(rows, seed):
    """Templates held out. Of finance, SQL and Python one whole kind, so that validation also shows an unseen task, and single wordings of the
    others; of general samples wordings only, in every kind, since there are few kinds."""
    held = set()
    for category in sorted({r["category"] for r in rows}):
        own = [r for r in rows if r["category"] == category]
        kinds = sorted({r["kind"] for r in own}, key=lambda k: order(seed, k))
        if category == "general":
            for kind in kinds:
                held |= chosen([r for r in own if r["kind"] == kind], share, seed)
            continue
        if len(kinds) > 20:
            held |= {r["template"] for r in own if r["kind"] == kinds[0]}
        left = share * len(own) - sum(r["template"] in held for r in own)
        held |= chosen([r for r in own if r["template"] not in held], left / max(len(own), 1), seed)
    return held


def chosen(rows, part, seed):
    """Templates in hash order as long as they fit into the part; at least one, or the kind would not be seen."""
    counts = collections.Counter(r["template"] for r in rows)
    held, total = set(), 0
    for template in sorted(counts, key=lambda t: order(seed, t)):
        if total + counts[template] <= part * len(rows) * 1.1:
            held.add(template)
            total += counts[template]
    if not held and len(counts) > 3 and part > 0:
        held.add(min(counts, key=lambda t: (counts[t], t)))
    return held
