"""Small invented tables for SQL tasks, with the rows as Python tuples too, so that expectations need no database."""
import datetime, re
from fractions import Fraction

from .draw import people
from .template import Unlucky

# (table, group column, its values, number column, its range, day column)
scenes = [
    ("shipment", "carrier", ["Nordair", "Railex", "Vanline", "Seaway"], "weight", (5, 900), "sent_on"),
    ("claim", "branch", ["Oslo", "Lisbon", "Prague", "Vienna"], "payout", (100, 9000), "filed_on"),
    ("trip", "driver", ["Ada", "Bo", "Cem", "Dag"], "km", (3, 700), "driven_on"),
    ("repair", "workshop", ["North", "South", "Harbour", "Airport"], "minutes", (10, 480), "done_on"),
    ("donation", "campaign", ["spring", "school", "river", "winter"], "amount", (5, 2000), "given_on"),
    ("harvest", "field", ["Hilltop", "Meadow", "Brook", "Orchard"], "tonnes", (1, 90), "picked_on"),
    ("booking", "hotel", ["Astoria", "Belmont", "Carlton", "Domus"], "nights", (1, 21), "booked_on"),
    ("call", "agent", ["Ines", "Jon", "Kim", "Lou"], "seconds", (20, 1800), "called_on"),
    ("refund", "channel", ["web", "shop", "phone", "app"], "amount", (3, 800), "paid_on"),
    ("reading", "meter", ["M1", "M2", "M3", "M4"], "kwh", (2, 300), "read_on"),
    ("transfer", "account", ["A-10", "A-20", "B-10", "B-20"], "amount", (10, 5000), "booked_on"),
    ("visit", "clinic", ["Elm", "Oak", "Pine", "Birch"], "duration", (5, 120), "visited_on"),
    ("match", "team", ["Reds", "Blues", "Greens", "Whites"], "goals", (0, 9), "played_on"),
    ("expense", "department", ["sales", "legal", "design", "support"], "cost", (20, 4000), "spent_on"),
    ("rental", "station", ["Central", "Park", "Museum", "Quay"], "fee", (2, 95), "rented_on"),
    ("lesson", "teacher", ["Mara", "Nils", "Olga", "Pia"], "pupils", (1, 32), "held_on"),
]
# (parent table, child table, number column, its range, day column)
pairs = [
    ("supplier", "delivery", "units", (5, 500), "arrived_on"), ("author", "book", "pages", (60, 900), "published_on"),
    ("tenant", "rent", "amount", (300, 2500), "due_on"), ("patient", "treatment", "price", (20, 900), "given_on"),
    ("member", "loan", "days", (1, 60), "lent_on"), ("dealer", "sale", "price", (100, 9000), "sold_on"),
    ("farmer", "crate", "weight", (5, 80), "packed_on"), ("student", "exam", "points", (10, 100), "taken_on"),
    ("broker", "policy", "premium", (50, 3000), "signed_on"), ("pilot", "flight", "minutes", (30, 700), "flown_on"),
    ("donor", "gift", "amount", (5, 1500), "given_on"), ("client", "project", "hours", (4, 400), "started_on"),
]
towns = ["Graz", "Lund", "Bari", "Metz", "Cork", "Brno"]


def literal(value):
    return "NULL" if value is None else str(value) if isinstance(value, (int, float)) else "'" + value.replace("'", "''") + "'"


def table(name, columns, rows):
    """CREATE and INSERT of one table; columns: 'name TYPE' texts."""
    values = ",\n  ".join("(" + ", ".join(map(literal, r)) + ")" for r in rows)
    return f"CREATE TABLE {name} ({', '.join(columns)});\n" + (f"INSERT INTO {name} VALUES\n  {values};" if rows else "")


def days(d, count):
    """Increasing distinct days as ISO texts."""
    first = datetime.date(d.whole(2019, 2025), d.whole(1, 6), 1)
    chosen = sorted(d.rng.sample(range(150), count))
    return [(first + datetime.timedelta(k)).isoformat() for k in chosen]


class Scene:
    """One table: id, group g, number a, day."""

    def __init__(self, d, rows=None, nulls=0, distinct=False, groups=None):
        self.t, self.g, values, self.a, (low, high), self.day = d.pick(*scenes)
        count = rows or d.whole(6, 9)
        values = d.among(values, groups or d.whole(2, 3))
        if distinct and high - low < 2 * count:
            raise Unlucky
        numbers = d.among(range(low, high + 1), count) if distinct else [d.rng.randint(low, high) for _ in range(count)]
        for k in d.among(range(count), nulls):
            numbers[k] = None
        of = [d.rng.choice(values) for _ in range(count)]
        of[:len(values)] = values
        d.rng.shuffle(of)
        self.values = sorted(values)
        self.rows = list(zip(range(1, count + 1), of, numbers, days(d, count)))
        self.setup = table(self.t, ["id INTEGER PRIMARY KEY", f"{self.g} TEXT", f"{self.a} INTEGER", f"{self.day} TEXT"], self.rows)
        self.groups = {v: [r for r in self.rows if r[1] == v] for v in self.values}


class Pair:
    """A parent table (id, name, city) and a child table (id, parent_id, number a, day); some parents may have no child."""

    def __init__(self, d, childless=1, children=None, distinct=False):
        self.p, self.c, self.a, (low, high), self.day = d.pick(*pairs)
        self.key = self.p + "_id"
        count = d.whole(3, 4) + childless
        where = d.among(towns, 2)
        names = d.among(people, count)
        self.parents = [(k, names[k - 1], d.rng.choice(where)) for k in range(1, count + 1)]
        having = d.among(range(1, count + 1), count - childless)
        total = children or d.whole(len(having) + 2, 9)
        owner = having + [d.rng.choice(having) for _ in range(total - len(having))]
        d.rng.shuffle(owner)
        numbers = d.among(range(low, high + 1), total) if distinct else [d.rng.randint(low, high) for _ in range(total)]
        self.children = list(zip(range(1, total + 1), owner, numbers, days(d, total)))
        self.setup = (table(self.p, ["id INTEGER PRIMARY KEY", "name TEXT", "city TEXT"], self.parents) + "\n" +
                      table(self.c, ["id INTEGER PRIMARY KEY", f"{self.key} INTEGER", f"{self.a} INTEGER", f"{self.day} TEXT"], self.children))
        self.towns = sorted({x[2] for x in self.parents})
        self.of = {k: [r for r in self.children if r[1] == k] for k, _, _ in self.parents}
        self.name = {k: n for k, n, _ in self.parents}


def rounded(value, places):
    """Half away from zero on the exact fraction; a tie is refused, since binary fractions fall on either side of it."""
    scaled = Fraction(value) * 10 ** places
    if (scaled * 2).denominator == 1 and scaled.denominator != 1:
        raise Unlucky
    return float(Fraction(round(scaled), 10 ** places))


def plural(word):
    word = word.replace("_", " ")
    return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + ("es" if re.search(r"(s|x|ch|sh)$", word) else "s")
