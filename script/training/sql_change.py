"""SQL tasks that change data or structure and then show it, and queries without a table; the form is that of sql_single.py."""
from .sql_world import Pair, Scene, Unlucky, literal, plural, table, towns
from .draw import people
from .template import registry

tasks, task = registry()


def shown(s, rows):
    return f"SELECT id, {s.a} FROM {s.t} ORDER BY id;", [(r[0], r[2]) for r in rows]


@task
def raise_group(d):
    s, k = Scene(d), d.whole(2, 90)
    g = d.pick(*s.values)
    query, rows = shown(s, [(r[0], r[1], r[2] + k * (r[1] == g)) for r in s.rows])
    return [f"Add {k} to {s.a} of all rows with {s.g} '{g}', then show id and {s.a} by id.", f"Increase {s.a} by {k} for the {s.g} {g}; afterwards list id and {s.a}, sorted by id.", f"Update {s.t}: {g} gets {k} more {s.a} in each row. Show id, {s.a} at the end, in order of id."], s.setup, \
        f"UPDATE {s.t}\nSET {s.a} = {s.a} + {k}\nWHERE {s.g} = '{g}';\n{query}", rows


@task
def cap_values(d):
    s = Scene(d)
    k = sorted(r[2] for r in s.rows)[len(s.rows) // 2]
    query, rows = shown(s, [(r[0], r[1], min(r[2], k)) for r in s.rows])
    return [f"Limit {s.a} to at most {k} in the table, then show id and {s.a} by id.", f"Set every {s.a} above {k} to {k} and list id and {s.a}, sorted by id.", f"No {s.a} may exceed {k}: correct the rows of {s.t}, then return id, {s.a} in order of id."], s.setup, \
        f"UPDATE {s.t}\nSET {s.a} = {k}\nWHERE {s.a} > {k};\n{query}", rows


@task
def delete_small(d):
    s = Scene(d)
    k = sorted(r[2] for r in s.rows)[len(s.rows) // 3]
    query, rows = shown(s, [r for r in s.rows if r[2] >= k])
    return [f"Delete the rows with {s.a} under {k}, then show id and {s.a} of the rest by id.", f"Remove entries whose {s.a} is less than {k} from {s.t} and list what remains (id, {s.a}), sorted by id.", f"Clean {s.t}: drop rows below {k} {s.a}. Return id and {s.a} of the others in order of id."], s.setup, \
        f"DELETE FROM {s.t}\nWHERE {s.a} < {k};\n{query}", rows


@task
def archive_rows(d):
    s = Scene(d)
    day = s.rows[len(s.rows) // 2][3]
    name = d.pick("archive", "history", "old_" + s.t, "closed")
    return [f"Copy the rows before {day} into a new table {name}, then show its ids in order.", f"Create {name} from the entries of {s.t} with {s.day} earlier than {day}; list its ids, sorted.", f"Make a table {name} that holds everything from {s.t} dated before {day} and return id from it, ascending."], s.setup, \
        f"CREATE TABLE {name} AS\nSELECT * FROM {s.t} WHERE {s.day} < '{day}';\nSELECT id FROM {name} ORDER BY id;", [(r[0],) for r in s.rows if r[3] < day]


@task
def add_column(d):
    s, k = Scene(d), d.whole(2, 9)
    name = d.pick("points", "bonus", "weighted", "score")
    return [f"Add a column {name} to {s.t}, fill it with {k} times {s.a}, and show id and {name} by id.", f"Extend {s.t} by an integer column {name} equal to {k} * {s.a}; then list id, {name} in order of id.", f"{s.t} needs a stored {name} of {k} times the {s.a}. Alter and update the table, then return id and {name}, sorted."], s.setup, \
        f"ALTER TABLE {s.t} ADD COLUMN {name} INTEGER;\nUPDATE {s.t} SET {name} = {k} * {s.a};\nSELECT id, {name} FROM {s.t} ORDER BY id;", [(r[0], k * r[2]) for r in s.rows]


@task
def view_of_totals(d):
    s = Scene(d)
    name = d.pick("totals", "summary", f"{s.g}_total", "overview")
    return [f"Create a view {name} with the sum of {s.a} per {s.g} and read it, sorted by {s.g}.", f"Define {name} as a view of {s.g} and total {s.a}; then select everything from it by {s.g}.", f"Put the grouped sum of {s.a} into a view named {name} and show its rows alphabetically."], s.setup, \
        f"CREATE VIEW {name} AS\nSELECT {s.g}, SUM({s.a}) AS total FROM {s.t} GROUP BY {s.g};\nSELECT {s.g}, total FROM {name} ORDER BY {s.g};", [(g, sum(r[2] for r in rows)) for g, rows in s.groups.items()]


@task
def insert_rows(d):
    s = Scene(d)
    new = [(len(s.rows) + 1 + i, d.pick(*s.values), d.whole(1, 90), s.rows[-1][3]) for i in range(2)]
    text = " and ".join(f"({', '.join(map(str, r))})" for r in new)
    rows = s.rows + new
    return [f"Insert {text} as (id, {s.g}, {s.a}, {s.day}), then count the rows per {s.g}, sorted by {s.g}.", f"Add two rows to {s.t}, {text}; afterwards show {s.g} and its number of rows in alphabetical order.", f"Put the entries {text} into {s.t} (columns in the order of the table) and return how many rows each {s.g} has, by {s.g}."], s.setup, \
        f"INSERT INTO {s.t} (id, {s.g}, {s.a}, {s.day}) VALUES\n  " + ",\n  ".join("(" + ", ".join(map(literal, r)) + ")" for r in new) + \
        f";\nSELECT {s.g}, COUNT(*) FROM {s.t} GROUP BY {s.g} ORDER BY {s.g};", [(g, sum(r[1] == g for r in rows)) for g in s.values]


@task
def ignore_duplicates(d):
    names = d.among(people, 5)
    have, extra = names[:3], [names[d.whole(0, 2)], *names[3:]]
    t = d.pick("subscriber", "guest", "player", "reader", "voter", "tester", "runner", "singer")
    setup = table(t, ["name TEXT PRIMARY KEY"], [(x,) for x in have])
    text = ", ".join(extra[:-1]) + " and " + extra[-1]
    return [f"Insert {text} into {t}, ignoring names that exist already, and list all names in order.", f"Add {text} to {t} without an error for known names; then show the names alphabetically.", f"{text} sign up as {t}; some are registered before. Insert the new ones only and return the sorted names."], setup, \
        f"INSERT OR IGNORE INTO {t} (name) VALUES " + ", ".join(f"('{x}')" for x in extra) + f";\nSELECT name FROM {t} ORDER BY name;", sorted((x,) for x in set(names) if x in have or x in extra)


@task
def remove_orphans(d):
    w = Pair(d, childless=0)
    gone = d.whole(1, len(w.parents))
    setup = w.setup.replace(f"({gone}, '{w.name[gone]}', '{w.parents[gone - 1][2]}'),\n  ", "").replace(f",\n  ({gone}, '{w.name[gone]}', '{w.parents[gone - 1][2]}');", ";", 1)
    return [f"Delete the {plural(w.c)} whose {w.key} matches no {w.p}, then show the remaining ids of {w.c}, sorted.", f"Clean {w.c} from rows that point to a missing {w.p} and list the ids that stay.", f"Some rows of {w.c} refer to a {w.p} that is gone. Remove them; return the other ids in order."], setup, \
        f"DELETE FROM {w.c}\nWHERE {w.key} NOT IN (SELECT id FROM {w.p});\nSELECT id FROM {w.c} ORDER BY id;", [(r[0],) for r in w.children if r[1] != gone]


@task
def update_from_other(d):
    w = Pair(d)
    k = d.whole(2, 40)
    city = d.pick(*w.towns)
    rows = [(r[0], r[2] + k * (w.parents[r[1] - 1][2] == city)) for r in w.children]
    return [f"Raise {w.a} by {k} for all {plural(w.c)} of {plural(w.p)} from {city}; then show id and {w.a} by id.", f"Every {w.c} whose {w.p} lives in {city} gets {k} more {w.a}. Update, then list id, {w.a} in order.", f"Add {k} to {w.a} where the {w.p}'s city is {city}, and return id and {w.a} of {w.c}, sorted by id."], w.setup, \
        f"UPDATE {w.c}\nSET {w.a} = {w.a} + {k}\nWHERE {w.key} IN (SELECT id FROM {w.p} WHERE city = '{city}');\nSELECT id, {w.a} FROM {w.c} ORDER BY id;", rows


@task
def reject_by_check(d):
    t, a = d.pick("account", "tank", "shelf", "ticket", "budget", "battery", "queue", "basket"), d.pick("level", "stock", "balance", "charge")
    low = d.whole(0, 20, 5)
    good, bad = sorted(d.rng.sample(range(low + 1, low + 90), 2)), low - d.whole(1, 15)
    return [f"Create table {t} with id and an integer {a} that must not fall below {low}. Try to insert {good[0]}, {bad} and {good[1]} with ids 1 to 3, skipping what violates the rule, and show the table by id.",
            f"Define {t}(id, {a}) so that {a} is at least {low}; insert (1, {good[0]}), (2, {bad}), (3, {good[1]}) with OR IGNORE and list the rows.",
            f"Protect {t}.{a} by a constraint (minimum {low}). Insert {good[0]}, {bad}, {good[1]} as rows 1, 2, 3, ignoring failures, then select all by id."], "", \
        f"CREATE TABLE {t} (id INTEGER PRIMARY KEY, {a} INTEGER CHECK ({a} >= {low}));\nINSERT OR IGNORE INTO {t} VALUES (1, {good[0]}), (2, {bad}), (3, {good[1]});\nSELECT id, {a} FROM {t} ORDER BY id;", [(1, good[0]), (3, good[1])]


@task
def multiples(d):
    k, n, s = d.whole(2, 25), d.whole(4, 9), d.whole(0, 30)
    return [f"Produce the numbers {s + k}, {s + 2 * k}, … in steps of {k}, {n} rows, with a recursive query.", f"Without any table, return {n} rows that start at {s + k} and grow by {k}.", f"Use WITH RECURSIVE for an arithmetic series: first value {s + k}, difference {k}, {n} values."], "", \
        f"WITH RECURSIVE series(value) AS (\n  SELECT {s + k}\n  UNION ALL\n  SELECT value + {k} FROM series WHERE value < {s + n * k}\n)\nSELECT value FROM series;", [(s + k * i,) for i in range(1, n + 1)]


@task
def missing_numbers(d):
    t, low, high = d.pick("invoice", "cheque", "receipt", "parcel", "locker", "badge", "ticket", "voucher"), d.whole(1, 400), d.whole(7, 10)
    have = sorted(d.rng.sample(range(low, low + high), high - d.whole(2, 3)))
    out = [(k,) for k in range(have[0], have[-1]) if k not in have]
    if not out:
        raise Unlucky
    return [f"Which numbers between the smallest and the largest are missing from {t}? Sort them.", f"Find the gaps in {t}.number; one missing number per row, ascending.", f"List every number that {t} skips between its minimum and its maximum, in order."], table(t, ["number INTEGER PRIMARY KEY"], [(k,) for k in have]), \
        f"WITH RECURSIVE every(number) AS (\n  SELECT MIN(number) FROM {t}\n  UNION ALL\n  SELECT number + 1 FROM every WHERE number < (SELECT MAX(number) FROM {t})\n)\nSELECT number FROM every\nWHERE number NOT IN (SELECT number FROM {t})\nORDER BY number;", out


@task
def log_trigger(d):
    s, k = Scene(d), d.whole(3, 60)
    row = d.pick(*s.rows)
    name = d.pick("log", "audit", "journal", "change")
    return [f"Create a table {name}(id, before, after) and a trigger that records each update of {s.a}; then set {s.a} of row {row[0]} to {k} and show {name}.", f"Changes of {s.a} in {s.t} are to be written to {name}(id, before, after) by a trigger. Build it, change row {row[0]} to {k}, return {name}.",
            f"Log the old and the new {s.a} on every UPDATE into {name}(id, before, after). Test it by setting {s.a} = {k} for id {row[0]} and select from {name}."], s.setup, \
        f"CREATE TABLE {name} (id INTEGER, before INTEGER, after INTEGER);\nCREATE TRIGGER on_{s.a} AFTER UPDATE OF {s.a} ON {s.t}\nBEGIN\n  INSERT INTO {name} VALUES (OLD.id, OLD.{s.a}, NEW.{s.a});\nEND;\nUPDATE {s.t} SET {s.a} = {k} WHERE id = {row[0]};\nSELECT id, before, after FROM {name};", [(row[0], row[2], k)]


@task
def roll_back(d):
    s, k = Scene(d), d.whole(2, 9)
    query, rows = shown(s, s.rows)
    return [f"Inside a transaction multiply {s.a} by {k}, then take it back; show id and {s.a} by id.", f"Begin a transaction, set {s.a} to {k} times its value in all rows, roll back, and list id, {s.a} in order.", f"Show that a rollback restores {s.t}: multiply {s.a} by {k}, undo, return id and {s.a} sorted by id."], s.setup, \
        f"BEGIN;\nUPDATE {s.t} SET {s.a} = {s.a} * {k};\nROLLBACK;\n{query}", rows


@task
def values_list(d):
    rows = [(x, d.whole(1, 99)) for x in d.among(towns, d.whole(3, 5))]
    name, a = d.pick("place", "stop", "depot", "office"), d.pick("rank", "size", "score", "weight")
    return [f"Without creating a table, turn {', '.join(f'{x} {y}' for x, y in rows)} into rows of (name, {a}) and sort them by {a} downwards, then name.", f"Use a VALUES list named {name} for the pairs {', '.join(f'({x}, {y})' for x, y in rows)}; return both columns, highest {a} first, ties by name.",
            f"Query constants: {'; '.join(f'{x} has {a} {y}' for x, y in rows)}. Show name and {a} from high to low, then by name."], "", \
        f"WITH {name}(name, {a}) AS (VALUES " + ", ".join(f"('{x}', {y})" for x, y in rows) + f")\nSELECT name, {a} FROM {name}\nORDER BY {a} DESC, name;", sorted(rows, key=lambda r: (-r[1], r[0]))
