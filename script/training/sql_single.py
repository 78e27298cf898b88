"""SQL tasks over one table. A task returns (wordings, setup, query, expected rows); the rows are computed in Python, never by SQL."""
import datetime
from fractions import Fraction

from .sql_world import Scene, Unlucky, plural, rounded
from .template import registry

tasks, task = registry()


@task
def sum_by_group(d):
    s = Scene(d)
    return [f"What is the total {s.a} of each {s.g}? Sort by {s.g}.", f"List every {s.g} with the sum of {s.a}, in alphabetical order.",
            f"Add up {s.a} for each {s.g} in {s.t} and order the result by {s.g}."], s.setup, \
        f"SELECT {s.g}, SUM({s.a}) AS total\nFROM {s.t}\nGROUP BY {s.g}\nORDER BY {s.g};", [(g, sum(r[2] for r in rows)) for g, rows in s.groups.items()]


@task
def count_having(d):
    s, k = Scene(d, rows=d.whole(7, 9)), d.whole(2, 3)
    return [f"Which {plural(s.g)} occur at least {k} times in {s.t}? Show the {s.g} and the number of rows, sorted by {s.g}.", f"Count the rows of each {s.g} and keep the counts of {k} or more, ordered by {s.g}.",
            f"Show {plural(s.g)} with {k} or more entries together with how many they have; sort by name of the {s.g}."], s.setup, \
        f"SELECT {s.g}, COUNT(*) AS entries\nFROM {s.t}\nGROUP BY {s.g}\nHAVING COUNT(*) >= {k}\nORDER BY {s.g};", [(g, len(rows)) for g, rows in s.groups.items() if len(rows) >= k]


@task
def largest_rows(d):
    s, k = Scene(d, distinct=True), d.whole(2, 4)
    return [f"Show id and {s.a} of the {k} rows with the highest {s.a}, highest first.", f"Which {k} entries of {s.t} have the largest {s.a}? Return id and {s.a} in descending order.",
            f"Top {k} of {s.t} by {s.a}: id and {s.a}."], s.setup, f"SELECT id, {s.a}\nFROM {s.t}\nORDER BY {s.a} DESC\nLIMIT {k};", [(r[0], r[2]) for r in sorted(s.rows, key=lambda r: -r[2])[:k]]


@task
def running_total(d):
    s = Scene(d)
    total, out = 0, []
    for r in s.rows:
        total += r[2]
        out.append((r[3], total))
    return [f"Show each {s.day} with the {s.a} accumulated up to that day, in order of time.", f"Compute a cumulative sum of {s.a} along {s.day}; columns: {s.day} and the sum so far.",
            f"How does the total {s.a} in {s.t} build up day by day? Return {s.day} and the running sum."], s.setup, \
        f"SELECT {s.day}, SUM({s.a}) OVER (ORDER BY {s.day}) AS so_far\nFROM {s.t}\nORDER BY {s.day};", out


@task
def running_total_by_group(d):
    s = Scene(d)
    out = [(g, r[3], sum(x[2] for x in rows if x[3] <= r[3])) for g, rows in s.groups.items() for r in rows]
    return [f"Show {s.g}, {s.day} and the running total of {s.a} that starts again for each {s.g}; sort by {s.g} and {s.day}.", f"For each {s.g} separately, accumulate {s.a} along {s.day}. Order by {s.g}, then {s.day}.",
            f"Return {s.g}, {s.day} and the sum of {s.a} within the {s.g} so far, sorted by both."], s.setup, \
        f"SELECT {s.g}, {s.day},\n       SUM({s.a}) OVER (PARTITION BY {s.g} ORDER BY {s.day}) AS so_far\nFROM {s.t}\nORDER BY {s.g}, {s.day};", out


@task
def rank_rows(d):
    s = Scene(d)
    out = sorted(((1 + sum(x[2] > r[2] for x in s.rows), r[0]) for r in s.rows))
    return [f"Rank the rows of {s.t} by {s.a}, highest first, with gaps after ties. Show rank and id, sorted by both.", f"Give every entry its place by descending {s.a} (equal values share a place, the next one is skipped); columns place and id, in this order of sorting.",
            f"Return the competition rank of each row by {s.a} from high to low, and its id, ordered by rank and id."], s.setup, \
        f"SELECT RANK() OVER (ORDER BY {s.a} DESC) AS place, id\nFROM {s.t}\nORDER BY place, id;", out


@task
def change_from_previous(d):
    s = Scene(d)
    return [f"For each {s.day}, how much did {s.a} change against the entry before? NULL for the first; sort by {s.day}.", f"Return {s.day} and the difference of {s.a} to the previous row in time, oldest first.",
            f"Compare every {s.a} in {s.t} with its predecessor by {s.day}: show {s.day} and the change."], s.setup, \
        f"SELECT {s.day}, {s.a} - LAG({s.a}) OVER (ORDER BY {s.day}) AS change\nFROM {s.t}\nORDER BY {s.day};", [(r[3], None if k == 0 else r[2] - s.rows[k - 1][2]) for k, r in enumerate(s.rows)]


@task
def trailing_sum(d):
    s, k = Scene(d), d.whole(2, 4)
    return [f"For each {s.day}, sum {s.a} over that row and the {k - 1} before it (fewer at the start); sort by {s.day}.", f"Compute a sliding sum of {s.a} over {k} consecutive rows ending at the current one, in order of {s.day}.",
            f"Show {s.day} and the total {s.a} of the latest {k} entries up to it, oldest first."], s.setup, \
        f"SELECT {s.day},\n       SUM({s.a}) OVER (ORDER BY {s.day} ROWS BETWEEN {k - 1} PRECEDING AND CURRENT ROW) AS recent\nFROM {s.t}\nORDER BY {s.day};", \
        [(r[3], sum(x[2] for x in s.rows[max(0, i - k + 1):i + 1])) for i, r in enumerate(s.rows)]


@task
def share_within_group(d):
    s = Scene(d)
    if any(sum(r[2] for r in rows) == 0 for rows in s.groups.values()):
        raise Unlucky
    out = [(r[0], rounded(Fraction(100 * r[2], sum(x[2] for x in s.groups[r[1]])), 1)) for r in s.rows]
    return [f"What percentage of its {s.g}'s total {s.a} is each row? One decimal; show id and percentage by id.", f"Relate the {s.a} of every entry to the sum of its {s.g}, in percent with one decimal, ordered by id.",
            f"Return id and the share of {s.a} within the same {s.g} (0 to 100, rounded to one place), sorted by id."], s.setup, \
        f"SELECT id, ROUND(100.0 * {s.a} / SUM({s.a}) OVER (PARTITION BY {s.g}), 1) AS share\nFROM {s.t}\nORDER BY id;", out


@task
def above_average(d):
    s = Scene(d)
    m = Fraction(sum(r[2] for r in s.rows), len(s.rows))
    return [f"Which rows of {s.t} have a {s.a} above the average of all rows? Show id and {s.a}, by id.", f"List id and {s.a} where {s.a} exceeds the overall mean; sort by id.", f"Find the entries with more {s.a} than average: id and {s.a} in order of id."], s.setup, \
        f"SELECT id, {s.a}\nFROM {s.t}\nWHERE {s.a} > (SELECT AVG({s.a}) FROM {s.t})\nORDER BY id;", [(r[0], r[2]) for r in s.rows if r[2] > m]


@task
def above_group_average(d):
    s = Scene(d)
    out = [(r[0], r[1]) for r in s.rows if r[2] * len(s.groups[r[1]]) > sum(x[2] for x in s.groups[r[1]])]
    return [f"Which rows exceed the average {s.a} of their own {s.g}? Show id and {s.g}, by id.", f"Return id and {s.g} of entries whose {s.a} lies above the mean within the same {s.g}, ordered by id.",
            f"Use a correlated subquery: rows of {s.t} with more {s.a} than is usual for their {s.g}; columns id, {s.g}; sorted by id."], s.setup, \
        f"SELECT id, {s.g}\nFROM {s.t} AS o\nWHERE {s.a} > (SELECT AVG(i.{s.a}) FROM {s.t} AS i WHERE i.{s.g} = o.{s.g})\nORDER BY id;", out


@task
def between_days(d):
    s = Scene(d)
    a, b = s.rows[1][3], s.rows[-2][3]
    return [f"List id and {s.a} for {s.day} from {a} to {b}, both included, by id.", f"Which entries fall between {a} and {b} (inclusive)? Show id and {s.a}, sorted by id.", f"Filter {s.t} to the period {a} through {b} and return id, {s.a} in order of id."], s.setup, \
        f"SELECT id, {s.a}\nFROM {s.t}\nWHERE {s.day} BETWEEN '{a}' AND '{b}'\nORDER BY id;", [(r[0], r[2]) for r in s.rows if a <= r[3] <= b]


@task
def by_month(d):
    s = Scene(d)
    months = sorted({r[3][:7] for r in s.rows})
    return [f"Sum {s.a} by calendar month, written YYYY-MM, oldest first.", f"What is the monthly total of {s.a}? Show month and total in order of time.", f"Group {s.t} by the month of {s.day} and add up {s.a}; columns month, total; sorted."], s.setup, \
        f"SELECT strftime('%Y-%m', {s.day}) AS month, SUM({s.a}) AS total\nFROM {s.t}\nGROUP BY month\nORDER BY month;", [(m, sum(r[2] for r in s.rows if r[3][:7] == m)) for m in months]


@task
def zero_for_missing(d):
    s = Scene(d, nulls=2)
    return [f"Show id and {s.a} of all rows, 0 where {s.a} is missing, by id.", f"Replace NULL in {s.a} by 0 in the output; columns id and {s.a}; ordered by id.", f"List every entry of {s.t} with its {s.a}; treat unknown values as zero and sort by id."], s.setup, \
        f"SELECT id, COALESCE({s.a}, 0) AS {s.a}\nFROM {s.t}\nORDER BY id;", [(r[0], r[2] or 0) for r in s.rows]


@task
def count_missing(d):
    s = Scene(d, nulls=d.whole(2, 3))
    return [f"How many rows of each {s.g} lack a {s.a}? Sort by {s.g}.", f"Count the NULL values of {s.a} per {s.g}, zero included, ordered by {s.g}.", f"For every {s.g}, give the number of entries without {s.a}; alphabetical order."], s.setup, \
        f"SELECT {s.g}, SUM({s.a} IS NULL) AS missing\nFROM {s.t}\nGROUP BY {s.g}\nORDER BY {s.g};", [(g, sum(r[2] is None for r in rows)) for g, rows in s.groups.items()]


@task
def bands(d):
    s = Scene(d)
    sorted_numbers = sorted(r[2] for r in s.rows)
    a, b = sorted_numbers[len(s.rows) // 3], sorted_numbers[2 * len(s.rows) // 3]
    if a >= b:
        raise Unlucky
    band = lambda v: "low" if v < a else "middle" if v < b else "high"
    return [f"Label each row 'low' if {s.a} is below {a}, 'middle' if below {b}, otherwise 'high'; show id and label by id.", f"Classify {s.a} into low (< {a}), middle (< {b}) and high, and list id with the class, sorted by id.",
            f"Return id and a text: low under {a}, middle from {a} to under {b}, high from {b} of {s.a}. Order by id."], s.setup, \
        f"SELECT id,\n       CASE WHEN {s.a} < {a} THEN 'low'\n            WHEN {s.a} < {b} THEN 'middle'\n            ELSE 'high' END AS band\nFROM {s.t}\nORDER BY id;", [(r[0], band(r[2])) for r in s.rows]


@task
def conditional_sum(d):
    s = Scene(d)
    x, y = s.values[0], s.values[-1]
    cond = lambda v: sum(r[2] for r in s.groups[v])
    return [f"In one row, show the total {s.a} of '{x}' and that of '{y}'.", f"Put the sums of {s.a} for {s.g} '{x}' and {s.g} '{y}' side by side in two columns.", f"Pivot: one result row with two columns, the {s.a} of {x} and the {s.a} of {y}."], s.setup, \
        f"SELECT SUM(CASE WHEN {s.g} = '{x}' THEN {s.a} ELSE 0 END) AS first,\n       SUM(CASE WHEN {s.g} = '{y}' THEN {s.a} ELSE 0 END) AS second\nFROM {s.t};", [(cond(x), cond(y))]


@task
def largest_per_group(d):
    s = Scene(d, distinct=True)
    return [f"For each {s.g}, which row has the largest {s.a}? Show {s.g}, id and {s.a}, by {s.g}.", f"Pick the entry with the greatest {s.a} of every {s.g}: columns {s.g}, id, {s.a}; sorted by {s.g}.",
            f"Return one row per {s.g}, the one with the highest {s.a}, giving {s.g}, id and {s.a} alphabetically."], s.setup, \
        f"SELECT {s.g}, id, {s.a}\nFROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {s.g} ORDER BY {s.a} DESC) AS place FROM {s.t})\nWHERE place = 1\nORDER BY {s.g};", \
        [(g, *max(((r[0], r[2]) for r in rows), key=lambda p: p[1])) for g, rows in s.groups.items()]


@task
def first_day_per_group(d):
    s = Scene(d)
    return [f"When did each {s.g} appear first? Show {s.g} and the earliest {s.day}, by {s.g}.", f"Give the first and only the first {s.day} for every {s.g}, in alphabetical order.", f"List {s.g} with its minimum {s.day}; sort by {s.g}."], s.setup, \
        f"SELECT {s.g}, MIN({s.day}) AS first_day\nFROM {s.t}\nGROUP BY {s.g}\nORDER BY {s.g};", [(g, min(r[3] for r in rows)) for g, rows in s.groups.items()]


@task
def second_largest(d):
    s = Scene(d, distinct=True)
    return [f"What is the second highest {s.a} in {s.t}?", f"Find the runner-up value of {s.a}; a single number.", f"Return the {s.a} just below the maximum."], s.setup, \
        f"SELECT MAX({s.a})\nFROM {s.t}\nWHERE {s.a} < (SELECT MAX({s.a}) FROM {s.t});", [(sorted(r[2] for r in s.rows)[-2],)]


@task
def spread(d):
    s = Scene(d)
    return [f"How far apart are the smallest and the largest {s.a} of each {s.g}? Sort by {s.g}.", f"Show {s.g} and the range (maximum minus minimum) of {s.a}, alphabetically.", f"Compute the span of {s.a} within every {s.g}; order by {s.g}."], s.setup, \
        f"SELECT {s.g}, MAX({s.a}) - MIN({s.a}) AS spread\nFROM {s.t}\nGROUP BY {s.g}\nORDER BY {s.g};", [(g, max(r[2] for r in rows) - min(r[2] for r in rows)) for g, rows in s.groups.items()]


@task
def average_by_group(d):
    s, k = Scene(d), d.whole(1, 2)
    return [f"What is the mean {s.a} per {s.g}, rounded to {k} {'decimal' if k == 1 else 'decimals'}? Sort by {s.g}.", f"Average {s.a} for each {s.g} with {k} digits after the point, in alphabetical order.", f"List {s.g} and its average {s.a} ({k} decimal {'place' if k == 1 else 'places'}), by {s.g}."], s.setup, \
        f"SELECT {s.g}, ROUND(AVG({s.a}), {k}) AS mean\nFROM {s.t}\nGROUP BY {s.g}\nORDER BY {s.g};", [(g, rounded(Fraction(sum(r[2] for r in rows), len(rows)), k)) for g, rows in s.groups.items()]


@task
def one_page(d):
    s, size = Scene(d, rows=9), d.whole(2, 3)
    page = d.whole(2, 3)
    return [f"Rows of {s.t} are shown {size} per page, by id. Return id and {s.g} of page {page}.", f"Skip the first {size * (page - 1)} rows by id and return the next {size}: id and {s.g}.", f"Paginate {s.t} by id with {size} rows a page; give page number {page} (columns id, {s.g})."], s.setup, \
        f"SELECT id, {s.g}\nFROM {s.t}\nORDER BY id\nLIMIT {size} OFFSET {size * (page - 1)};", [(r[0], r[1]) for r in s.rows[size * (page - 1):size * page]]


@task
def days_since_previous(d):
    s = Scene(d)
    day = lambda r: datetime.date.fromisoformat(r[3])
    return [f"How many days lie between each entry and the one before? Show {s.day} and the number (NULL for the first), oldest first.", f"Return {s.day} and the whole days passed since the previous {s.day}, sorted by time.", f"Compute the pause in days before each row of {s.t}: {s.day}, days; in order of time."], s.setup, \
        f"SELECT {s.day},\n       CAST(julianday({s.day}) - julianday(LAG({s.day}) OVER (ORDER BY {s.day})) AS INTEGER) AS days\nFROM {s.t}\nORDER BY {s.day};", \
        [(r[3], None if k == 0 else (day(r) - day(s.rows[k - 1])).days) for k, r in enumerate(s.rows)]


@task
def halves(d):
    s = Scene(d, rows=d.pick(6, 8), distinct=True)
    order = sorted(s.rows, key=lambda r: r[2])
    return [f"Split the rows into two halves by {s.a}, 1 for the lower and 2 for the upper half; show id and half, by id.", f"Use NTILE to number the lower half of {s.a} 1 and the upper half 2; columns id, half; sorted by id.", f"Which rows are in the lower (1) and which in the upper half (2) by {s.a}? Order by id."], s.setup, \
        f"SELECT id, NTILE(2) OVER (ORDER BY {s.a}) AS half\nFROM {s.t}\nORDER BY id;", sorted((r[0], 1 + (k >= len(order) // 2)) for k, r in enumerate(order))


@task
def joined_text(d):
    s = Scene(d)
    mark = d.pick(":", " - ", "/", "#")
    return [f"Build one text per row from upper-case {s.g}, '{mark}' and id, ordered by id.", f"Concatenate {s.g} in capitals with '{mark}' and the id; one column, sorted by id.", f"Return labels such as '{s.rows[0][1].upper()}{mark}1' for all rows of {s.t}, by id."], s.setup, \
        f"SELECT UPPER({s.g}) || '{mark}' || id AS label\nFROM {s.t}\nORDER BY id;", [(f"{r[1].upper()}{mark}{r[0]}",) for r in s.rows]


@task
def not_in_list(d):
    s = Scene(d, groups=3)
    x, y = d.among(s.values, 2)
    return [f"Show id of the rows whose {s.g} is neither '{x}' nor '{y}', sorted.", f"Exclude the {plural(s.g)} {x} and {y}; list the remaining ids in order.", f"Which ids of {s.t} belong to any {s.g} other than {x} and {y}?"], s.setup, \
        f"SELECT id\nFROM {s.t}\nWHERE {s.g} NOT IN ('{x}', '{y}')\nORDER BY id;", [(r[0],) for r in s.rows if r[1] not in (x, y)]
