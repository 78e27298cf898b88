"""The expected answer of each finance problem, from its given figures alone and, where there is a choice, by another way than the solution.

Loans are simulated, present values use Horner's scheme, roots are found by bisection. Nothing of the generator is imported.
"""
import math


def horner(flows, r):
    """Present value of flows at the end of years 1, 2, …"""
    value = 0.0
    for f in reversed(flows):
        value = (value + f) / (1 + r)
    return value


def bisect(f, low, high):
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (f(low) > 0) == (f(middle) > 0) else (low, middle)
    return (low + high) / 2


def grow(x, r, t):
    for _ in range(t):
        x += x * r
    return x


def payment(x, i, t):
    def left(pay):
        debt = x
        for _ in range(t):
            debt += debt * i - pay
        return debt
    return bisect(left, 0, x * (1 + i) + 1)


def balance(x, i, pay, months):
    for _ in range(months):
        x += x * i - pay
    return x


def payback_discounted(cost, y, r):
    year, left, factor = 0, cost, 1.0
    while True:
        factor /= 1 + r
        if left <= y * factor:
            return year + left / (y * factor)
        left, year = left - y * factor, year + 1


def first_out(a, x, y, out):
    return sum(x if piece < a else y for piece in range(int(out)))


def bond(face, c, y, t):
    return horner([face * c] * (t - 1) + [face * c + face], y)


def duration(face, c, y):
    # Macaulay duration = -(1 + y) P'(y) / P(y); the derivative by a central difference.
    h = 1e-5
    return -(1 + y) * (bond(face, c, y + h, 3) - bond(face, c, y - h, 3)) / (2 * h) / bond(face, c, y, 3)


expected = {
    "npv": lambda cost, flows, r: horner(flows, r) - cost,
    "irr": lambda cost, flows: bisect(lambda r: horner(flows, r) - cost, 1e-9, 3),
    "payback": lambda cost, yearly: cost / yearly,
    "discounted_payback": lambda cost, yearly, r: payback_discounted(cost, yearly, r),
    "profitability_index": lambda cost, flows, r: horner(flows, r) / cost,
    "annuity_present_value": lambda y, r, t: horner([y] * t, r),
    "savings_plan": lambda y, r, t: sum(grow(y, r, k) for k in range(t)),
    "compound_interest": grow,
    "present_value": lambda x, r, t: horner([0] * (t - 1) + [x], r),
    "perpetuity": lambda x, r: x * (1 / r),
    "terminal_value": lambda x, g, r: x / ((1 + r) / (1 + g) - 1),
    "effective_rate": lambda r, m: grow(1, r / m, m) - 1,
    "real_rate": lambda i, f: (i - f) / (1 + f),
    "growth_rate": lambda x, y, t: bisect(lambda g: x * math.exp(t * math.log1p(g)) - y, 0, 10),
    "doubling_time": lambda r: 1 / math.log2(1 + r),
    "equivalent_annual_cost": lambda price, run, t, r: payment(price, r, t) + run,
    "wacc": lambda e, b, re, rd, t: (e * re + b * rd * (1 - t)) / (e + b),
    "capm": lambda f, m, beta: f + m * beta,
    "dividend_growth": lambda x, g, r: x / ((1 + r) / (1 + g) - 1),
    "relevered_beta": lambda b, x, y, t: b * (1 + y - t * y) / (1 + x - t * x),
    "loan_payment": lambda x, r, t: payment(x, r / 12, t),
    "loan_balance": lambda x, r, a, pay: balance(x, r / 12, pay, a),
    "simple_interest": lambda x, r, days, base: x * (r / base) * days,
    "bond_price": bond,
    "zero_coupon": lambda x, r, t: bond(x, 0, r, t),
    "current_yield": lambda face, c, price: c * (face / price),
    "duration": duration,
    "expected_loss": lambda x, pd, lgd: pd * lgd * x,
    "trade_credit": lambda q, a, b: (1 / (1 - q) - 1) * (365 / (b - a)),
    "factoring": lambda x, fee, r, days, adv: x * (fee + adv * r / 360 * days),
    "value_at_risk": lambda x, s, days, z: z * x * math.sqrt(s * s * days),
    "portfolio_return": lambda a, b, x, y: x + (y - x) * b / (a + b),
    "portfolio_risk": lambda w, s, u, c: math.hypot(w * s + c * (1 - w) * u, (1 - w) * u * math.sqrt(1 - c * c)),
    "sharpe_ratio": lambda r, f, s: r / s - f / s,
    "covered_forward": lambda spot, a, b, days: spot * (360 + a * days) / (360 + b * days),
    "currency_exchange": lambda x, rate, fee: x * rate - x * rate * fee,
    "rights_issue": lambda a, b, price, offer: price - (price - offer) * b / (a + b),
    "holding_return": lambda buy, sell, div: (sell + div) / buy - 1,
    "straight_line": lambda x, rest, t, k: rest + (x - rest) * (t - k) / t,
    "declining_balance": lambda x, r, t: grow(x, -r, t),
    "units_of_production": lambda x, rest, total, used: (x - rest) * (used / total),
    "current_ratio": lambda a, b, c, e: a / e + b / e + c / e,
    "quick_ratio": lambda a, c, e: a / e - c / e,
    "debt_to_equity": lambda a, b, e: a / e + b / e,
    "gross_margin": lambda s, c: 1 - c / s,
    "operating_margin": lambda s, a, b, c: 1 - a / s - b / s - c / s,
    "dupont": lambda s, a, i, e: i / e,
    "receivable_days": lambda s, a: a / (s / 365),
    "cash_cycle": lambda s, c, i, r, q: (i - q) / (c / 365) + r / (s / 365),
    "inventory_turnover": lambda c, a, b: 2 * c / (a + b),
    "earnings_per_share": lambda i, pref, s, price: price * s / (i - pref),
    "break_even": lambda price, var, fix: -(-fix // (price - var)),
    "target_profit": lambda price, var, fix, goal: -(-(fix + goal) // (price - var)),
    "safety_margin": lambda s, f, c: 1 - f / c / s,
    "material_variance": lambda sp, sq, ap, aq: ap * aq - sp * sq,
    "flexible_budget": lambda fix, unit, done, spent: spent - fix - unit * done,
    "order_quantity": lambda demand, order, hold: bisect(lambda q: demand * order / q - hold * q / 2, 1e-3, 1e6),
    "reorder_point": lambda use, lead, safe: safe + sum(use for _ in range(lead)),
    "weighted_average_cost": lambda a, b, x, y, out: x * out * a / (a + b) + y * out * b / (a + b),
    "first_in_first_out": lambda a, b, x, y, out: first_out(a, x, y, out),
    "vat_added": lambda x, t: x + x * t,
    "vat_contained": lambda x, t: x * t / (1 + t),
    "interest_cover": lambda a, b, c: a / c - b / c,
}
# The solution interpolates between two whole percentages and says "about": half a unit of the last digit and the chord's error.
slack = {"irr": 0.0006}
