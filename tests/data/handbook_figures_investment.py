"""Worked figures of the finance documents on valuation, bonds, portfolios, risk and financing."""

from math import exp, log, pi, sqrt

from handbook_formulas import bond, duration, irr, npv

LAB = [0, 40, 44, 48, 51, 54]  # free cash flows of the laboratory supplier, millions


def perpetuity(last, rate, growth, years):
    """Value at the end of the forecast, and the same today."""
    value = last * (1 + growth) / (rate - growth)
    return value, value / (1 + rate) ** years


def convexity(yield_, coupon, face, years):
    """Convexity of a bond with one coupon a year, by its second difference."""
    step = 1e-4
    low, middle, high = (bond(yield_ + d, coupon, face, years) for d in (-step, 0, step))
    return (low - 2 * middle + high) / step**2 / middle


def relever(asset, debt_to_equity, tax):
    return asset * (1 + (1 - tax) * debt_to_equity)


def volatility(weight, first, second, correlation):
    """Of a portfolio of two holdings, in the unit of first and second."""
    other = 1 - weight
    return sqrt((weight * first) ** 2 + (other * second) ** 2 + 2 * weight * other * correlation * first * second)


TERMINAL, TERMINAL_NOW = perpetuity(54, 0.09, 0.025, 5)
STEEP, STEEP_DURATION = bond(0.04, 30, 1000, 10), duration(0.04, 30, 1000, 10) / 1.04
CURVED = convexity(0.04, 30, 1000, 10)
LOGISTICS = (1.30 / relever(1, 0.60, 0.25), 1.05 / relever(1, 0.30, 0.25))
PROJECT_BETA = relever(sum(LOGISTICS) / 2, 0.40, 0.25)
LEAST_RISK = (100 - 60) / (400 + 100 - 2 * 60)

INVESTMENT = {
    "finance-enterprise-value-bridge": [
        (900 - (250 + 40 + 30 + 25) + (85 + 20), "$660 million"),
        (660 / 55, "$12.00 per share"),
        ((660 - 15) / 55, "$11.73 per share"),
    ],
    "finance-terminal-value": [
        (54 * 1.025, "$55.35 million"),
        (TERMINAL, "$851.54 million"),
        (TERMINAL_NOW, "$553.44 million"),
        (npv(0.09, LAB), "$182.02 million"),
        (npv(0.09, LAB) + TERMINAL_NOW, "$735.46 million"),
        (100 * TERMINAL_NOW / (npv(0.09, LAB) + TERMINAL_NOW), "75.3%"),
        (npv(0.09, LAB) + perpetuity(54, 0.09, 0.03, 5)[1], "$784.51 million"),
        (TERMINAL / 95, "8.96"),
    ],
    "finance-free-cash-flow": [
        (120 * 0.75, "$90 million"),
        (120 * 0.75 + 35 - 50 - 12, "$63 million"),
        (20 * 0.75, "$15 million"),
        (120 * 0.75 + 35 - 50 - 12 - 20 * 0.75 + 10, "$58 million"),
        (120 + 35, "$155 million"),
        (100 * 63 / 155, "40.6%"),
    ],
    "finance-price-earnings-ratio": [
        (54 / 3.60, "15.0"),
        (100 * 3.60 / 54, "6.67%"),
        (3.60 * 1.1, "$3.96"),
        (54 / (3.60 * 1.1), "13.6"),
        (54 / 3.60 / 10, "which is 1.5"),
        (18 * 3.60, "$64.80"),
    ],
    "finance-price-to-book-ratio": [
        (480 / 40, "$12.00 per share"),
        (15.60 / 12, "ratio is 1.3"),
        ((12 - 4) / (10 - 4), "1.33"),
        ((12 - 4) / (10 - 4) * 12, "$16.00"),
        ((9 - 4) / (10 - 4), "0.83"),
        ((9 - 4) / (10 - 4) * 12, "$10.00"),
        ((480 - 60) / 40, "$10.50"),
        (15.60 / ((480 - 60) / 40), "1.49"),
    ],
    "finance-yield-to-maturity": [
        (bond(0.05, 40, 1000, 6), "$949.24"),
        (bond(0.06, 40, 1000, 6), "$901.65"),
        (100 * irr([-940, 40, 40, 40, 40, 40, 1040]), "5.19%"),
        (100 * (40 + (1000 - 940) / 6) / ((1000 + 940) / 2), "5.15%"),
        (100 * 40 / 940, "4.26%"),
        (40 * sum(1.03**t for t in range(6)), "$258.74"),
        (100 * (((1000 + 40 * sum(1.03**t for t in range(6))) / 940) ** (1 / 6) - 1), "4.99%"),
    ],
    "finance-bond-convexity": [
        (STEEP, "$918.89"),
        (STEEP_DURATION, "8.39"),
        (CURVED, "84.60"),
        (100 * STEEP_DURATION * 0.02, "16.77%"),
        (100 * 0.5 * CURVED * 0.02**2, "1.69%"),
        (100 * (STEEP_DURATION * 0.02 - 0.5 * CURVED * 0.02**2), "15.08%"),
        (bond(0.06, 30, 1000, 10), "$779.20"),
        (100 * (1 - bond(0.06, 30, 1000, 10) / STEEP), "15.20%"),
        (100 * (STEEP_DURATION * 0.02 + 0.5 * CURVED * 0.02**2), "18.47%"),
        (100 * (bond(0.02, 30, 1000, 10) / STEEP - 1), "18.60%"),
    ],
    "finance-relevered-beta": [
        (LOGISTICS[0], "asset beta is 0.90"),
        (LOGISTICS[1], "asset beta is 0.86"),
        (sum(LOGISTICS) / 2, "0.88"),
        (PROJECT_BETA, "1.14"),
        (3 + PROJECT_BETA * 5, "8.7%"),
        (3 + 1.10 * 5, "8.5%"),
    ],
    "finance-portfolio-variance": [
        (0.6**2 * 20**2, "144"),
        (0.4**2 * 10**2, "16"),
        (2 * 0.6 * 0.4 * 0.3 * 20 * 10, "28.8"),
        (volatility(0.6, 20, 10, 0.3) ** 2, "188.8"),
        (volatility(0.6, 20, 10, 0.3), "13.74%"),
        (volatility(0.6, 20, 10, 1), "16%"),
        (volatility(0.6, 20, 10, 1) - volatility(0.6, 20, 10, 0.3), "2.26 percentage points"),
        (volatility(0.6, 20, 10, 0), "12.65%"),
        (volatility(0.6, 20, 10, -1), "8%"),
        (100 * LEAST_RISK, "10.5%"),
        (volatility(LEAST_RISK, 20, 10, 0.3), "9.79%"),
    ],
    "finance-sharpe-ratio": [
        ((9 - 3) / 12, "0.50"),
        ((7 - 3) / 6, "0.67"),
        (2 * 7 - 3, "11%"),
        (2 * 7 - 3 - 9, "2 percentage points"),
        (0.15 * sqrt(12), "0.52"),
    ],
}
