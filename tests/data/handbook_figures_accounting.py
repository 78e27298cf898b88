"""Worked figures of the finance documents on accounting, costing, budgets and working capital."""

from math import sqrt

OVERDUE = [(400000, 0.005), (120000, 0.02), (60000, 0.06), (30000, 0.15), (20000, 0.45)]  # receivables and loss rates
ALLOWANCE = sum(amount * rate for amount, rate in OVERDUE)

ACCOUNTING = {
    "finance-expected-credit-loss": [
        (sum(amount for amount, _ in OVERDUE), "$630,000"),
        *((amount * rate, figure) for (amount, rate), figure in
          zip(OVERDUE, ("$2,000", "$2,400", "$3,600", "$4,500", "$9,000"))),
        (ALLOWANCE, "$21,500"),
        (100 * ALLOWANCE / 630000, "3.4%"),
        (ALLOWANCE - (18000 - 5000), "$8,500"),
        (1e6 * 0.40 * 0.015, "$6,000"),
        (1e6 * 0.40 * 0.09, "$36,000"),
    ],
}
