"""Plots as SVG text, from the standard library alone: grouped bars and heat maps. Equal data gives equal bytes."""
from xml.sax.saxutils import escape

COLOURS = ["#c8641b", "#e3a86f", "#3f6f9f", "#7f9f7a", "#b5b5b5", "#8a6fa0"]
FONT = 'font-family="sans-serif" font-size="12" fill="#222"'


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} {more}>{escape(str(words))}</text>'


def rectangle(x, y, w, h, fill):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{fill}"/>'


def document(w, h, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.0f} {h:.0f}" width="{w:.0f}" height="{h:.0f}">'
    return "\n".join([head, rectangle(0, 0, w, h, "#ffffff"), *parts, "</svg>"]) + "\n"


def round_up(x):
    """The next of 1, 2, 2.5, 5 · 10^n: where an axis ends."""
    power = 10.0 ** (len(str(int(x))) - 1)
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if x <= step * power)


def bars(title, unit, groups, limit=None):
    """groups: [(label, {series: value})], values ≥ 0; limit: (label, value), a dashed line."""
    series = list(dict.fromkeys(name for _, values in groups for name in values))
    left, top, height, bar, gap = 60, 60, 240, 18, 26
    width = bar * len(series) + gap
    top_value = round_up(max([v for _, values in groups for v in values.values()] + ([limit[1]] if limit else [])))
    scale, w = height / top_value, left + width * len(groups) + 20
    parts, x = [text(left, 20, title, "start", 'font-weight="bold"')], left
    for i, name in enumerate(series):
        parts += [rectangle(x, 32, 10, 10, COLOURS[i % len(COLOURS)]), text(x + 14, 42, name, "start")]
        x += 30 + 7 * len(name)
    w = max(w, x)
    for i in range(6):
        y = top + height - i * height / 5
        parts += [f'<line x1="{left}" y1="{y:.1f}" x2="{w - 20:.1f}" y2="{y:.1f}" stroke="#ddd"/>', text(left - 6, y + 4, f"{top_value * i / 5:g}", "end")]
    for g, (label, values) in enumerate(groups):
        at = left + g * width + gap / 2
        for i, name in enumerate(series):
            if name in values:
                h = values[name] * scale
                parts.append(rectangle(at + i * bar, top + height - h, bar - 2, h, COLOURS[i % len(COLOURS)]))
        parts.append(text(at + bar * len(series) / 2, top + height + 18, label))
    if limit:
        y = top + height - limit[1] * scale
        parts += [f'<line x1="{left}" y1="{y:.1f}" x2="{w - 20:.1f}" y2="{y:.1f}" stroke="#a00" stroke-dasharray="6 4"/>', text(w - 22, y - 5, limit[0], "end")]
    parts.append(text(12, top + height / 2, unit, more=f'transform="rotate(-90 12 {top + height / 2:.1f})"'))
    return document(w, top + height + 34, parts)


def heat_map(title, unit, rows, columns, values):
    """values: {(row, column): number}; a cell without one stays empty. The best is marked."""
    cell_w, cell_h, top = 78, 30, 62
    left = 20 + 7 * max(len(str(r)) for r in rows)
    low, high = min(values.values()), max(values.values())
    best = max(values, key=values.get)
    parts = [text(8, 20, title, "start", 'font-weight="bold"'), text(8, 38, unit, "start")]
    for c, column in enumerate(columns):
        parts.append(text(left + (c + 0.5) * cell_w, top - 6, column))
    for r, row in enumerate(rows):
        y = top + r * cell_h
        parts.append(text(left - 6, y + 19, row, "end"))
        for c, column in enumerate(columns):
            if (row, column) not in values:
                continue
            value = values[row, column]
            share = (value - low) / (high - low) if high > low else 1.0
            shade = tuple(round(a + (b - a) * share) for a, b in zip((246, 240, 232), (200, 100, 27)))  # pale → the first colour
            parts.append(rectangle(left + c * cell_w, y, cell_w - 2, cell_h - 2, "#%02x%02x%02x" % shade))
            parts.append(text(left + (c + 0.5) * cell_w - 1, y + 19, f"{value:.4g}", more='font-weight="bold"' if (row, column) == best else ""))
    return document(max(left + cell_w * len(columns) + 10, 24 + 7.2 * len(title)), top + cell_h * len(rows) + 10, parts)
