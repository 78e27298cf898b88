"""Worked figures of the finance documents on valuation, bonds, portfolios, risk and financing."""

from math import erf, exp, log, pi, sqrt

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


def density(x):
    """Of the standard normal distribution."""
    return exp(-x * x / 2) / sqrt(2 * pi)


def drill(volume=10000, price=50, cost=30):
    """Net present value of the drill."""
    return npv(0.10, [-400000] + [volume * (price - cost) - 80000] * 5)


def zero(rising, low, high):
    """Where a rising function is zero, by bisection."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return low


def balances(payment, debt=300000, rate=0.004):
    """The debt after 0, 1, 2 … payments; the last payment may be smaller."""
    found = [debt]
    while found[-1] > 0.005:
        found.append(max(0.0, found[-1] * (1 + rate) - payment))
    return found


def default(z):
    """Probability of default of a logistic scorecard."""
    return 1 / (1 + exp(-z))


FERRY = [-1e7] + [2.8e6] * 5
SAVINGS = [20 * 1.07**year * (0.14 - 0.10) for year in range(3)]  # half of a 14% return is kept
EX_RIGHTS = (4 * 17 + 12) / 5
EVEN_SHIELD = [0] + [600000 / 5 * 0.25] * 5
EARLY_SHIELD = [0] + [600000 * digit / 15 * 0.25 for digit in (5, 4, 3, 2, 1)]
ROUTE = 0.25 * -2.0 + 0.50 * 1.5 + 0.25 * 4.6
ROUTE_SPREAD = sqrt(0.25 * (-2.0 - ROUTE) ** 2 + 0.50 * (1.5 - ROUTE) ** 2 + 0.25 * (4.6 - ROUTE) ** 2)
MORTGAGE = 300000 * 0.004 / (1 - 1.004**-300)
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
    "finance-expected-shortfall": [
        (density(1.6448536) / 0.05, "2.063"),
        (density(2.3263479) / 0.01, "2.665"),
        (1.645 * 0.01 * 5e6, "$82,250"),
        (density(1.6448536) / 0.05 * 0.01 * 5e6, "$103,136"),
        ((310 + 220 + 180 + 150 + 140) * 1000 / 5, "$200,000"),
    ],
    "finance-currency-forward": [
        (1.25 * (1 + 0.05 / 2) / (1 + 0.04 / 2), "$1.2561"),
        (2e6 * 1.2561, "$2,512,200"),
        (2e6 * (1.2561 - 1.18), "$152,200"),
        (2e6 * (1.32 - 1.2561), "$127,800"),
    ],
    "finance-put-call-parity": [
        (51 / 1.05**0.5, "$49.77"),
        (2.90 - 48 + 51 / 1.05**0.5, "$4.67"),
        (5.00 + 48 - 2.90 - 51 / 1.05**0.5, "$0.33"),
        (2.90 - (48 - 0.80) + 51 / 1.05**0.5, "$5.47"),
    ],
    "finance-real-options": [
        (102 - (0.5 * 150 + 0.5 * 70) / 1.1, "$2 million"),
        (0.5 * (150 - 102) / 1.1, "$21.82 million"),
        (0.5 * (150 - 102) / 1.1 + 2, "$23.82 million"),
        ((0.5 * 150 + 0.5 * 70) / 1.1, "$100 million"),
        ((1.04 - 0.7) / (1.5 - 0.7), "which is 0.425"),
        ((1.04 - 0.7) / (1.5 - 0.7) * (150 - 102) / 1.04, "$19.62 million"),
    ],
    "finance-adjusted-present-value": [
        (npv(0.11, FERRY) + 1e7, "$10,348,512"),
        (npv(0.11, FERRY), "$348,512"),
        (5e6 * 0.06 * 0.25, "$75,000"),
        (npv(0.06, [0] + [75000] * 5), "$315,927"),
        (npv(0.11, FERRY) + npv(0.06, [0] + [75000] * 5) - 80000, "$584,439"),
    ],
    "finance-economic-value-added": [
        (48 * 0.75, "$36 million"),
        (300 * 0.09, "$27 million"),
        (48 * 0.75 - 300 * 0.09, "$9 million"),
        (100 * 36 / 300, "12%"),
        ((36 + 5) - (300 + 50) * 0.09, "$9.5 million"),
        (100 * (36 + 50 * 0.10) / (300 + 50), "11.7%"),
    ],
    "finance-residual-income": [
        (20 * 0.14, "$2.80"),
        (20 * 0.10, "$2.00"),
        (SAVINGS[0], "$0.80"),
        (20 * 1.07, "$21.40"),
        (SAVINGS[1], "$0.856"),
        (20 * 1.07**2, "$22.90"),
        (SAVINGS[2], "$0.916"),
        (SAVINGS[0] / 1.1, "$0.73"),
        (SAVINGS[1] / 1.1**2, "$0.71"),
        (SAVINGS[2] / 1.1**3, "$0.69"),
        (npv(0.10, [20, *SAVINGS]), "$22.12"),
    ],
    "finance-payout-policy": [
        (100 * 2 / 5, "payout ratio of the parts maker is 40%"),
        (100 * (1 - 2 / 5), "60%"),
        (5 / 2, "2.5"),
        (100 * 2 / 50, "4%"),
        (15 * (1 - 2 / 5), "which is 9%"),
        (0.6 * 70, "$42 million"),
        (60 - 0.6 * 70, "$18 million"),
        (100 * (60 - 0.6 * 70) / 60, "30%"),
    ],
    "finance-share-buyback": [
        (200 / 100, "$2.00"),
        (300 / 30, "10 million shares"),
        (300 * 0.03 * 0.75, "$6.75 million"),
        (200 - 300 * 0.03 * 0.75, "$193.25 million"),
        ((200 - 6.75) / 90, "$2.15"),
        (100 * ((200 - 6.75) / 90 / 2 - 1), "7.4%"),
        ((3000 - 300) / 90, "$30.00"),
        (300 / 36, "8.33 million"),
        ((3000 - 300) / (100 - 300 / 36), "$29.45"),
    ],
    "finance-stock-split": [
        (20 * 3, "60 million shares"),
        (240 / 3, "$80.00"),
        (9.60 / 3, "$3.20"),
        (1.80 / 3, "$0.60"),
        (240 / 9.60, "ratio is 25"),
        (150 * 3, "450 shares"),
        (150 * 240, "$36,000"),
        (0.30 / 3, "$0.10"),
        (0.60 * 10, "$6.00"),
        (240 / 1.05, "$228.57"),
    ],
    "finance-rights-issue": [
        (40 / 4, "10 million new shares"),
        (40 / 4 * 12, "$120 million"),
        (EX_RIGHTS, "$16.00"),
        (17 - EX_RIGHTS, "$1.00"),
        (4 * (17 - EX_RIGHTS), "$4.00"),
        (800 * 17, "$13,600"),
        (800 / 4 * 12, "$2,400"),
        (1000 * EX_RIGHTS, "$16,000"),
        (800 * (17 - EX_RIGHTS), "$800"),
        (800 * EX_RIGHTS, "$12,800"),
        (17 / EX_RIGHTS, "1.0625"),
    ],
    "finance-diluted-earnings-per-share": [
        (48 / 20, "$2.40"),
        (2 * 15, "$30 million"),
        (2 * 15 / 25, "1.2 million shares"),
        (2 - 2 * 15 / 25, "0.8 million shares"),
        (48 / 20.8, "$2.31"),
        (50 * 0.05 * 0.75, "$1.875 million"),
        (50 * 0.05 * 0.75 / 1.6, "$1.17"),
        ((48 + 50 * 0.05 * 0.75) / (20 + 0.8 + 1.6), "$2.23"),
    ],
    "finance-depreciation-tax-shield": [
        (600000 / 5, "$120,000"),
        (600000 / 5 * 0.25, "$30,000"),
        (npv(0.08, EVEN_SHIELD), "$119,781"),
        (200000 - (200000 - 120000) * 0.25, "$180,000"),
        (600000 * 5 / 15, "$200,000"),
        (600000 * 4 / 15 * 0.25, "$40,000"),
        (npv(0.08, EARLY_SHIELD), "$125,911"),
        (npv(0.08, EARLY_SHIELD) - npv(0.08, EVEN_SHIELD), "$6,130"),
        (sum(EARLY_SHIELD), "$150,000"),
    ],
    "finance-sensitivity-analysis": [
        (10000 * (50 - 30) - 80000, "$120,000"),
        (drill() + 400000, "$454,894"),
        (drill(), "$54,894"),
        (-drill(price=47.5), "$39,875"),
        (drill(volume=9500), "$16,987"),
        (-drill(cost=31.5), "$1,967"),
        (zero(lambda v: drill(volume=v), 5000, 10000), "9,276 units"),
        (100 - zero(lambda v: drill(volume=v), 5000, 10000) / 100, "7.2%"),
        (zero(lambda p: drill(price=p), 30, 50), "$48.55"),
        (100 - 2 * zero(lambda p: drill(price=p), 30, 50), "2.9%"),
    ],
    "finance-scenario-analysis": [
        (ROUTE, "$1.4 million"),
        (ROUTE_SPREAD, "$2.34 million"),
        (ROUTE_SPREAD / ROUTE, "1.67"),
    ],
    "finance-monte-carlo-simulation": [
        (3e6 / sqrt(10000), "$30,000"),
        (1.96 * 3e6 / sqrt(10000), "$58,800"),
        (2.4 - 1.96 * 3 / sqrt(10000), "$2.341 million"),
        (2.4 + 1.96 * 3 / sqrt(10000), "$2.459 million"),
        ((3e6 / 15000) ** 2, "40,000 runs"),
        (100 * (1 + erf(-2.4 / 3.0 / sqrt(2))) / 2, "21.2%"),
    ],
    "finance-loan-amortisation": [
        (MORTGAGE, "$1,718.99"),
        (300000 * 0.004, "$1,200.00"),
        (MORTGAGE - 300000 * 0.004, "$518.99"),
        (balances(MORTGAGE)[60], "$264,884.98"),
        (300000 - balances(MORTGAGE)[60], "$35,115.02"),
        (300 * MORTGAGE - 300000, "$215,697"),
        (len(balances(MORTGAGE + 200)) - 1, "246 payments"),
        (300 - (len(balances(MORTGAGE + 200)) - 1), "54 months"),
    ],
    "finance-real-interest-rate": [
        (100 * (1.07 / 1.045 - 1), "2.39%"),
        (7 - 4.5, "2.5%"),
        (10000 * 1.045, "$10,450"),
        (10000 * 1.045**2, "$10,920"),
        (10000 * 1.045**3, "$11,412"),
        (npv(0.07, [0] + [10000 * 1.045**year for year in (1, 2, 3)]), "are worth $28,620"),
        (npv(1.07 / 1.045 - 1, [0, 10000, 10000, 10000]), "also gives $28,620"),
        (1000 / 1.045**10, "$643.93"),
        (100 * (1.042 / 1.017 - 1), "2.46%"),
    ],
    "finance-credit-scoring": [
        (-4.2 + 0.8 + 2.5 * 0.6, "z is -1.9"),
        (-4.2 + 2.5 * 0.2, "z is -3.7"),
        (100 * default(-4.2 + 0.8 + 2.5 * 0.6), "13.0%"),
        (100 * default(-4.2 + 2.5 * 0.2), "2.41%"),
        (default(-3.7) * 0.45 * 10000, "$108.57"),
        (default(-1.9) * 0.45 * 10000, "$585.49"),
        (600 + 20 * log((1 / default(-3.7) - 1) / 50) / log(2), "594 points"),
        (600 + 20 * log((1 / default(-1.9) - 1) / 50) / log(2), "542 points"),
        (2 * 0.78 - 1, "0.56"),
    ],
}
