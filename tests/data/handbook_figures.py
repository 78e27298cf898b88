"""Every worked figure of the finance documents, recomputed.

FIGURES maps a document id to (value computed here, the exact string in the text).
The check rounds the value to the decimals of the string; percentages are given in percent.
"""

from math import exp, sqrt


def npv(rate, flows):
    """Present value of flows[t] at the end of year t, flows[0] today."""
    return sum(flow / (1 + rate) ** year for year, flow in enumerate(flows))


def irr(flows, low=-0.9, high=10.0):
    """Rate at which npv is zero, by bisection; npv must fall from low to high."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if npv(middle, flows) > 0 else (low, middle)
    return low


MACHINE = [-100000, 30000, 40000, 50000, 20000]
VAN = [-50000, 20000, 22000, 18000]

FIGURES = {
    "finance-npv": [
        (30000 / 1.1, "$27,272.73"),
        (40000 / 1.1**2, "$33,057.85"),
        (50000 / 1.1**3, "$37,565.74"),
        (20000 / 1.1**4, "$13,660.27"),
        (npv(0.10, MACHINE) + 100000, "$111,556.59"),
        (npv(0.10, MACHINE), "$11,556.59"),
        (npv(0.15, MACHINE), "$643.58"),
    ],
    "finance-irr": [
        (npv(0.09, VAN), "$764.89"),
        (-npv(0.10, VAN), "$112.70"),
        (100 * irr(VAN), "9.87%"),
    ],
    "finance-wacc": [
        (6 * (1 - 0.25), "4.5%"),
        (0.6 * 11 + 0.4 * 6 * (1 - 0.25), "8.4%"),
    ],
    "finance-capm": [
        (1.2 * 5.5, "6.6%"),
        (3 + 1.2 * 5.5, "9.6%"),
        (3 + 0.6 * 5.5, "6.3%"),
    ],
}
