"""Makes the instruction samples: draws, checks, removes duplicates and what the evaluation asks, and splits by template."""
import collections, os, random, sys, time

from . import dedup, documentation, finance, general, passage, python_tasks, sql, split, verify
from .overlap import Guard

totals = {"general": 10_000, "finance": 5_000, "sql": 1_500, "python": 1_500}
# Without documentation packages only the handbook's part of the general samples is made.
handbook_share = 0.2


class Maker:
    def __init__(self, root, seed, debs=None, progress=False, use_packages=True):
        self.seed, self.progress, self.started = seed, progress, time.time()
        self.guard = Guard.read(root / "examples" / "data")
        self.dropped, self.equations, self.notes = collections.Counter(), 0, []
        documents = documentation.read_handbook(root / "examples" / "data" / "handbook")
        self.complete = use_packages
        if use_packages:
            missing = []
            for name in documentation.packages:
                found, where = documentation.read_package(name, debs)
                self.say(f"{name}: {len(found)} documents ({where})")
                documents += found
                missing += [name] * (not found)
            if missing:
                self.note(f"documentation packages not found: {', '.join(missing)} (install them, or put their .deb files into {os.path.relpath(debs, root)})")
            self.complete = len(missing) < len(documentation.packages)
        if not self.complete:
            self.note("general samples over documentation are left out; those over the handbook are made")
        self.source = general.Source(passage.cut(documents, seed))
        self.say(f"{len(self.source.passages)} passages")

    def say(self, text):
        if self.progress:
            print(f"{time.time() - self.started:6.1f} s  {text}", file=sys.stderr, flush=True)

    def note(self, text):
        self.notes.append(text)
        print(f"training_data: {text}", file=sys.stderr)

    def draw(self, category, kind, serial):
        if category == "general":
            return general.sample(self.source, self.seed, kind, serial)
        return {"finance": finance, "sql": sql, "python": python_tasks}[category].sample(self.seed, kind, serial)

    def wanted(self, category, count):
        """Kind → number of samples."""
        if category == "general":
            return {k: max(1, round(s * count)) for k, s in general.shares.items()}
        kinds = list({"finance": finance, "sql": sql, "python": python_tasks}[category].families)
        return {k: count // len(kinds) + (i < count % len(kinds)) for i, k in enumerate(kinds)}

    def category(self, category, count):
        """`count` checked samples. Draws in rounds, since a round loses some to checks and duplicates; what a kind cannot give, others do."""
        wanted, kept, serial, dry = self.wanted(category, count), [], collections.Counter(), set()
        for _ in range(14):
            have = collections.Counter(r["kind"] for r in kept)
            lacking = {k: n - have[k] for k, n in wanted.items() if n > have[k] and k not in dry}
            # At the end, kinds that still can fill the gap: extractive answers first.
            if not lacking and len(kept) < count:
                open_kinds = [k for k in wanted if k not in dry]
                if not open_kinds:
                    break
                if category == "general":
                    open_kinds = open_kinds[:2]
                for i, kind in enumerate(open_kinds):
                    wanted[kind] += -(-(count - len(kept)) // len(open_kinds))
                continue
            if not lacking:
                break
            drawn = []
            for kind, missing in lacking.items():
                got, tries = 0, 0
                while got < missing * 1.15 + 2 and tries < missing * 40 + 60:
                    row = self.draw(category, kind, serial[kind])
                    serial[kind] += 1
                    tries += 1
                    if row:
                        drawn.append(row)
                        got += 1
                if got < missing / 2:
                    dry.add(kind)
            kept = self.clean(kept, drawn, category, wanted)
            after = collections.Counter(r["kind"] for r in kept)
            dry |= {k for k, n in lacking.items() if after[k] - have[k] < 0.1 * n}
            self.say(f"{category}: {len(kept)} of {count}")
        if len(kept) < count:
            self.note(f"{category}: only {len(kept)} of {count} samples could be made")
        return self.thin(kept, count)

    def clean(self, kept, drawn, category, wanted):
        good = []
        for row in drawn:
            if self.guard.finds(row):
                self.dropped["overlap with questions"] += 1
            else:
                good.append(row)
        results, equations = verify.errors_of(good)
        self.equations += equations
        # A finance, SQL or Python sample that fails its check is a fault of this program, not bad luck.
        for row, errors in zip(good, results):
            if errors and category != "general":
                raise SystemExit(f"training_data: {row['template']}: {errors[0]}\n{row['instruction']}\n{row['input']}\n{row['output']}")
        self.dropped["failed check"] += sum(map(bool, results))
        good = kept + [r for r, errors in zip(good, results) if not errors]
        keep, exact, near = dedup.unique([dedup.identity(r) for r in good])
        self.dropped["exact duplicates"] += exact
        self.dropped["near duplicates"] += near
        out, have = [], collections.Counter()
        for index in keep:
            row = good[index]
            if have[row["kind"]] < wanted[row["kind"]]:
                have[row["kind"]] += 1
                out.append(row)
        return out

    @staticmethod
    def thin(rows, count):
        """Rounding up may give a few too many: the last of the largest kinds go."""
        have = collections.Counter(r["kind"] for r in rows)
        for _ in range(len(rows) - count):
            kind = max(have, key=lambda k: (have[k], k))
            index = max(i for i, r in enumerate(rows) if r["kind"] == kind)
            have[kind] -= 1
            rows.pop(index)
        return rows

    def instructions(self, count):
        """(train, validation) with about `count` samples in the proportions of the whole set."""
        rows = []
        for category, total in totals.items():
            goal = round(count * total / sum(totals.values()))
            if category == "general" and not self.complete:
                goal = round(goal * handbook_share)
            made = self.category(category, goal)
            rows += [{"id": f"{category}-{i:05d}", **r} for i, r in enumerate(made, 1)]
        held = split.validation_templates(rows, self.seed)
        random.Random(f"{self.seed}/order").shuffle(rows)
        return [r for r in rows if r["template"] not in held], [r for r in rows if r["template"] in held]
