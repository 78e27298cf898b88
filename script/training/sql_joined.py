"""SQL tasks over two tables; the form is that of sql_single.py."""
from fractions import Fraction

from .sql_world import Pair, Unlucky, plural, rounded, table
from .template import registry

tasks, task = registry()


def by_name(w, rows):
    """Rows of (parent's id, …) with the id replaced by the name, sorted by name."""
    return sorted((w.name[k], *rest) for k, *rest in rows)


def join(w):
    return f"FROM {w.p}\nJOIN {w.c} ON {w.c}.{w.key} = {w.p}.id"


@task
def names_with_values(d):
    w = Pair(d)
    return [f"List the name of the {w.p} and the {w.a} for every {w.c}, ordered by the id of the {w.c}.", f"Show each {w.c}'s {w.a} beside the name of its {w.p}; sort by {w.c} id.", f"Join {w.p} and {w.c}: name, {w.a}, in order of {w.c}.id."], w.setup, \
        f"SELECT {w.p}.name, {w.c}.{w.a}\n{join(w)}\nORDER BY {w.c}.id;", [(w.name[r[1]], r[2]) for r in w.children]


@task
def count_children(d):
    w = Pair(d)
    return [f"How many {plural(w.c)} does each {w.p} have? Include those with none; show name and count by name.", f"Count the {plural(w.c)} of every {w.p}, zero included, sorted by name.", f"Return name and number of {plural(w.c)} for all {plural(w.p)}, also when there are no {plural(w.c)}; alphabetical."], w.setup, \
        f"SELECT {w.p}.name, COUNT({w.c}.id) AS entries\nFROM {w.p}\nLEFT JOIN {w.c} ON {w.c}.{w.key} = {w.p}.id\nGROUP BY {w.p}.id\nORDER BY {w.p}.name;", by_name(w, [(k, len(v)) for k, v in w.of.items()])


@task
def without_large(d):
    w = Pair(d, childless=1)
    limit = sorted(r[2] for r in w.children)[len(w.children) // 2]
    return [f"Which {plural(w.p)} have no {w.c} with {w.a} above {limit}? Names in alphabetical order.", f"Return the names of {plural(w.p)} for which no {w.c} exceeds {limit} in {w.a}, sorted.", f"List every {w.p} that lacks a {w.c} with more than {limit} {w.a}; sort by name."], w.setup, \
        f"SELECT name\nFROM {w.p}\nWHERE NOT EXISTS (SELECT 1 FROM {w.c} WHERE {w.c}.{w.key} = {w.p}.id AND {w.c}.{w.a} > {limit})\nORDER BY name;", by_name(w, [(k,) for k, v in w.of.items() if all(r[2] <= limit for r in v)])


@task
def with_large(d):
    w = Pair(d)
    limit = sorted(r[2] for r in w.children)[len(w.children) // 2]
    return [f"Which {plural(w.p)} have at least one {w.c} with {w.a} of {limit} or more? Each name once, sorted.", f"List the names of {plural(w.p)} that own a {w.c} whose {w.a} reaches {limit}; no duplicates, by name.", f"Use EXISTS to find {plural(w.p)} with a {w.c} of {w.a} >= {limit}; names sorted."], w.setup, \
        f"SELECT name\nFROM {w.p}\nWHERE EXISTS (SELECT 1 FROM {w.c} WHERE {w.c}.{w.key} = {w.p}.id AND {w.c}.{w.a} >= {limit})\nORDER BY name;", by_name(w, [(k,) for k, v in w.of.items() if any(r[2] >= limit for r in v)])


@task
def totals_having(d):
    w = Pair(d)
    sums = {k: sum(r[2] for r in v) for k, v in w.of.items()}
    limit = sorted(sums.values())[len(sums) // 2]
    return [f"Show {plural(w.p)} whose {plural(w.c)} sum to at least {limit} {w.a}: name and sum, by name.", f"Which {plural(w.p)} reach a total {w.a} of {limit}? Return name and total, sorted by name.", f"Name and total {w.a} of each {w.p} with {limit} or more altogether; alphabetical."], w.setup, \
        f"SELECT {w.p}.name, SUM({w.c}.{w.a}) AS total\n{join(w)}\nGROUP BY {w.p}.id\nHAVING total >= {limit}\nORDER BY {w.p}.name;", by_name(w, [(k, x) for k, x in sums.items() if x >= limit])


@task
def top_parent(d):
    w = Pair(d)
    sums = sorted(((sum(r[2] for r in v), w.name[k]) for k, v in w.of.items()), reverse=True)
    if sums[0][0] == sums[1][0]:
        raise Unlucky
    return [f"Which {w.p} has the highest total {w.a}? Name and total.", f"Find the {w.p} with the largest sum of {w.a} over all {plural(w.c)}; return name and sum.", f"Who leads by {w.a} summed over {plural(w.c)}? Show the name and the sum of that {w.p} only."], w.setup, \
        f"SELECT {w.p}.name, SUM({w.c}.{w.a}) AS total\n{join(w)}\nGROUP BY {w.p}.id\nORDER BY total DESC\nLIMIT 1;", [(sums[0][1], sums[0][0])]


@task
def average_per_parent(d):
    w = Pair(d)
    return [f"What is the average {w.a} per {w.p}, rounded to one decimal? Only {plural(w.p)} with a {w.c}; name and average, by name.", f"Mean {w.a} of the {plural(w.c)} of each {w.p} (one decimal), sorted by name; leave out those without any.", f"For {plural(w.p)} with {plural(w.c)}, show name and ROUNDed average {w.a} with one digit, by name."], w.setup, \
        f"SELECT {w.p}.name, ROUND(AVG({w.c}.{w.a}), 1) AS mean\n{join(w)}\nGROUP BY {w.p}.id\nORDER BY {w.p}.name;", by_name(w, [(k, rounded(Fraction(sum(r[2] for r in v), len(v)), 1)) for k, v in w.of.items() if v])


@task
def latest_child(d):
    w = Pair(d)
    return [f"For each {w.p} with {plural(w.c)}, show name, {w.day} and {w.a} of the latest one, by name.", f"What was the most recent {w.c} of every {w.p}? Columns name, {w.day}, {w.a}; sorted by name.", f"Return the newest {w.c} per {w.p} (name, {w.day}, {w.a}) in order of name."], w.setup, \
        f"SELECT {w.p}.name, {w.c}.{w.day}, {w.c}.{w.a}\n{join(w)}\nWHERE {w.c}.{w.day} = (SELECT MAX(l.{w.day}) FROM {w.c} AS l WHERE l.{w.key} = {w.p}.id)\nORDER BY {w.p}.name;", \
        by_name(w, [(k, *max((r[3], r[2]) for r in v)) for k, v in w.of.items() if v])


@task
def by_city(d):
    w = Pair(d, childless=0)
    out = [(t, sum(r[2] for r in w.children if w.parents[r[1] - 1][2] == t)) for t in w.towns]
    return [f"Sum {w.a} by the city of the {w.p}, sorted by city.", f"How much {w.a} comes from {plural(w.p)} of each city? City and total, alphabetical.", f"Group the {plural(w.c)} by {w.p}.city and add up {w.a}; order by city."], w.setup, \
        f"SELECT {w.p}.city, SUM({w.c}.{w.a}) AS total\n{join(w)}\nGROUP BY {w.p}.city\nORDER BY {w.p}.city;", out


@task
def same_city(d):
    w = Pair(d)
    out = sorted((a[1], b[1]) for a in w.parents for b in w.parents if a[0] < b[0] and a[2] == b[2])
    if not out:
        raise Unlucky
    return [f"Which two {plural(w.p)} live in the same city? Show pairs of names, the smaller id first, sorted by both names.", f"Self join: list pairs of {plural(w.p)} from one city (lower id on the left), in order of the names.", f"Return all pairs of {plural(w.p)} that share a city; left name has the lower id; sort by left, then right name."], w.setup, \
        f"SELECT a.name, b.name\nFROM {w.p} AS a\nJOIN {w.p} AS b ON a.city = b.city AND a.id < b.id\nORDER BY a.name, b.name;", out


@task
def counts_by_condition(d):
    w = Pair(d)
    k = sorted(r[2] for r in w.children)[len(w.children) // 2]
    return [f"For each {w.p}, count the {plural(w.c)} below {k} {w.a} and those of {k} or more, zero included; by name.", f"Show name, the number of small ({w.a} < {k}) and of large {plural(w.c)} for all {plural(w.p)}, sorted by name.", f"Two counts per {w.p}: {plural(w.c)} under {k} and the others; keep {plural(w.p)} without {plural(w.c)}; alphabetical."], w.setup, \
        f"SELECT {w.p}.name,\n       COUNT(CASE WHEN {w.c}.{w.a} < {k} THEN 1 END) AS small,\n       COUNT(CASE WHEN {w.c}.{w.a} >= {k} THEN 1 END) AS large\nFROM {w.p}\nLEFT JOIN {w.c} ON {w.c}.{w.key} = {w.p}.id\nGROUP BY {w.p}.id\nORDER BY {w.p}.name;", \
        by_name(w, [(i, sum(r[2] < k for r in v), sum(r[2] >= k for r in v)) for i, v in w.of.items()])


@task
def largest_with_name(d):
    w = Pair(d, distinct=True)
    r = max(w.children, key=lambda r: r[2])
    return [f"Which {w.c} has the largest {w.a}, and who is its {w.p}? Show name and {w.a}.", f"Return the name of the {w.p} behind the biggest {w.c} by {w.a}, with that {w.a}.", f"Find the maximum {w.a} together with the name of the {w.p}; one row."], w.setup, \
        f"SELECT {w.p}.name, {w.c}.{w.a}\n{join(w)}\nORDER BY {w.c}.{w.a} DESC\nLIMIT 1;", [(w.name[r[1]], r[2])]


@task
def number_within_parent(d):
    w = Pair(d)
    out = sorted((w.name[k], n, r[3]) for k, v in w.of.items() for n, r in enumerate(v, 1))
    return [f"Number the {plural(w.c)} of each {w.p} by {w.day}, starting at 1; show name, number, {w.day}, sorted by name and number.", f"Return name, the position of the {w.c} among those of the same {w.p} in time, and {w.day}; order by name, then position.", f"Use ROW_NUMBER per {w.p} along {w.day}: name, number, {w.day}; sort by the first two."], w.setup, \
        f"SELECT {w.p}.name,\n       ROW_NUMBER() OVER (PARTITION BY {w.p}.id ORDER BY {w.c}.{w.day}) AS number,\n       {w.c}.{w.day}\n{join(w)}\nORDER BY {w.p}.name, number;", out


@task
def above_own_total_share(d):
    w = Pair(d)
    whole = sum(r[2] for r in w.children)
    out = by_name(w, [(k, rounded(Fraction(100 * sum(r[2] for r in v), whole), 1)) for k, v in w.of.items() if v])
    return [f"How many percent of all {w.a} belong to each {w.p}? One decimal, only {plural(w.p)} with a {w.c}, by name.", f"Show name and percentage of the overall {w.a} (one decimal) for every {w.p} that has {plural(w.c)}, sorted by name.", f"Express the sum of {w.a} per {w.p} as a percentage of the grand total, rounded to one place; order by name; no empty ones."], w.setup, \
        f"SELECT {w.p}.name,\n       ROUND(100.0 * SUM({w.c}.{w.a}) / (SELECT SUM({w.a}) FROM {w.c}), 1) AS percent\n{join(w)}\nGROUP BY {w.p}.id\nORDER BY {w.p}.name;", out


@task
def average_of_totals(d):
    w = Pair(d)
    sums = [sum(r[2] for r in v) for v in w.of.values() if v]
    return [f"Sum {w.a} per {w.key}, then take the average of these sums, rounded to two decimals.", f"With a CTE, compute each {w.key}'s total {w.a} and return the mean total (two decimals).", f"What is the average total {w.a} of the {plural(w.p)} that occur in {w.c}? Two decimals."], w.setup, \
        f"WITH total AS (SELECT {w.key}, SUM({w.a}) AS amount FROM {w.c} GROUP BY {w.key})\nSELECT ROUND(AVG(amount), 2)\nFROM total;", [(rounded(Fraction(sum(sums), len(sums)), 2),)]


@task
def band_lookup(d):
    w = Pair(d)
    numbers = sorted(r[2] for r in w.children)
    a, b = numbers[len(numbers) // 3], numbers[2 * len(numbers) // 3]
    if a == b:
        raise Unlucky
    labels = d.pick(["bronze", "silver", "gold"], ["A", "B", "C"], ["small", "medium", "big"], ["green", "amber", "red"])
    rows = [(labels[0], 0, a), (labels[1], a, b), (labels[2], b, 100000)]
    setup = w.setup + "\n" + table("band", ["label TEXT", "low INTEGER", "high INTEGER"], rows)
    out = [(r[0], next(l for l, x, y in rows if x <= r[2] < y)) for r in w.children]
    return [f"Find the label in band for the {w.a} of every {w.c} (low included, high not); id and label by id.", f"Join {w.c} with band on the range that contains {w.a}, high excluded; columns id, label; by id.", f"Which band does each {w.c} fall into by {w.a}? The interval is low <= {w.a} < high. Sort by id."], setup, \
        f"SELECT {w.c}.id, band.label\nFROM {w.c}\nJOIN band ON {w.c}.{w.a} >= band.low AND {w.c}.{w.a} < band.high\nORDER BY {w.c}.id;", out


@task
def set_operation(d):
    w = Pair(d)
    others = d.among(sorted({n for n in w.name.values()} | {"Ute", "Vito", "Wim", "Xaver"}), 4)
    setup = table(w.p, ["id INTEGER PRIMARY KEY", "name TEXT", "city TEXT"], w.parents) + "\n" + table("newsletter", ["name TEXT"], [(n,) for n in others])
    mine = set(w.name.values())
    word, text, out = d.pick(("UNION", "in either list, each once", mine | set(others)), ("INTERSECT", "in both lists", mine & set(others)), ("EXCEPT", f"in {w.p} but not in newsletter", mine - set(others)))
    if not out:
        raise Unlucky
    return [f"Which names are {text}? The lists are {w.p} and newsletter; sort by name.", f"Combine {w.p} and newsletter and return the names {text}, in alphabetical order.", f"Use a set operation on the names of {w.p} and newsletter: names {text}, sorted."], setup, \
        f"SELECT name FROM {w.p}\n{word}\nSELECT name FROM newsletter\nORDER BY name;", sorted((n,) for n in out)
