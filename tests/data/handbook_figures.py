"""Every worked figure of the finance documents, recomputed.

FIGURES maps a document id to (value computed here, the exact string in the text).
The check rounds the value to the decimals of the string; percentages are given in percent.
"""

from math import exp, log, sqrt
from statistics import mean, variance


def npv(rate, flows):
    """Present value of flows[t] at the end of year t, flows[0] today."""
    return sum(flow / (1 + rate) ** year for year, flow in enumerate(flows))


def irr(flows, low=-0.9, high=10.0):
    """Rate at which npv is zero, by bisection; npv must fall from low to high."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if npv(middle, flows) > 0 else (low, middle)
    return low


def covariance(left, right):
    """Sample covariance."""
    pairs = zip(left, right)
    return sum((x - mean(left)) * (y - mean(right)) for x, y in pairs) / (len(left) - 1)


MACHINE = [-100000, 30000, 40000, 50000, 20000]
VAN = [-50000, 20000, 22000, 18000]
SOLAR = [-80000, 25000, 30000, 35000, 20000]
SHARE = [4, -2, 6, 1, -3]
MARKET = [3, -1, 4, 2, -2]

def bond(yield_, coupon=50, face=1000, years=5):
    """Price of a bond with one coupon a year."""
    return npv(yield_, [0] + [coupon] * (years - 1) + [coupon + face])


def duration(yield_, coupon=50, face=1000, years=5):
    """Macaulay duration in years."""
    flows = [0] + [coupon] * (years - 1) + [coupon + face]
    return npv(yield_, [year * flow for year, flow in enumerate(flows)]) / npv(yield_, flows)


LOAN = 20000 * 0.005 / (1 - 1.005**-60)

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
    "finance-beta": [
        (mean(SHARE), "1.2% for the share"),
        (mean(MARKET), "1.2% for the market"),
        (covariance(SHARE, MARKET), "covariance of the two series is 9.70"),
        (variance(MARKET), "variance of the market is 6.70"),
        (covariance(SHARE, MARKET) / variance(MARKET), "which is 1.45"),
        (1.4 / (1 + 0.75 * 0.5), "asset beta of 1.02"),
    ],
    "finance-payback-period": [
        (25000 + 30000, "$55,000"),
        (2 + 25000 / 35000, "2.71 years"),
        (60000 / 15000, "4 years"),
    ],
    "finance-discounted-payback": [
        (25000 / 1.08, "$23,148.15"),
        (30000 / 1.08**2, "$25,720.16"),
        (35000 / 1.08**3, "$27,784.13"),
        (20000 / 1.08**4, "$14,700.60"),
        (npv(0.08, SOLAR[:4]) + 80000, "$76,652.44"),
        (-npv(0.08, SOLAR[:4]), "$3,347.56"),
        (-100 * npv(0.08, SOLAR[:4]) / (20000 / 1.08**4), "23% of the fourth year"),
        (3 - npv(0.08, SOLAR[:4]) / (20000 / 1.08**4), "3.23 years"),
        (2 + 25000 / 35000, "2.71 years"),
    ],
    "finance-profitability-index": [
        (125000 / 100000, "1.25"),
        (81000 / 60000, "1.35"),
        (52000 / 40000, "1.30"),
        (81000 + 52000 - 60000 - 40000, "$33,000"),
        (125000 - 100000, "$25,000"),
    ],
    "finance-current-ratio": [
        (40000 + 90000 + 110000, "$240,000"),
        (85000 + 50000 + 15000, "$150,000"),
        (240000 / 150000, "which is 1.6"),
    ],
    "finance-quick-ratio": [
        (40000 + 90000, "$130,000"),
        (130000 / 150000, "which is 0.87"),
        ((40000 + 90000 + 110000) / 150000, "1.6"),
        (110000 / 150000, "0.73"),
        (40000 / 150000, "which is 0.27"),
    ],
    "finance-debt-to-equity": [
        (300000 + 150000, "$450,000"),
        (450000 / 500000, "which is 0.9"),
        (540000 / 500000, "which is 1.08"),
        (500000 + 540000, "$1,040,000"),
        (100 * 540000 / 1040000, "51.9%"),
    ],
    "finance-interest-coverage": [
        (2000000 - 1550000, "$450,000"),
        (450000 / 120000, "which is 3.75"),
        (100 * (1 - 120000 / 450000), "73.3%"),
        (450000 / 240000, "1.88"),
    ],
    "finance-return-on-equity": [
        (100 * 48000 / 800000, "the toy maker is 6%"),
        (800000 / 500000, "turnover is 1.6"),
        (500000 / 200000, "multiplier is 2.5"),
        (100 * 48000 / 200000, "which is 24%"),
        (100 * 48000 / 500000, "which is 9.6%"),
    ],
    "finance-gross-margin": [
        (500000 - 210000, "$290,000"),
        (100 * 290000 / 500000, "which is 58%"),
        (100 * (500000 - 235000) / 500000, "53%"),
        (100 * 290000 / 210000, "138.1%"),
        (100 * 25 / 125, "gross margin of 20%"),
    ],
    "finance-operating-margin": [
        (1200000 - 700000 - 260000 - 60000, "$180,000"),
        (100 * 180000 / 1200000, "15%"),
        (180000 - 30000, "$150,000"),
        (150000 * 0.30, "$45,000"),
        (150000 * 0.70, "$105,000"),
        (100 * 105000 / 1200000, "8.75%"),
    ],
    "finance-straight-line-depreciation": [
        ((90000 - 12000) / 6, "which is $13,000"),
        (2 * 13000, "$26,000"),
        (90000 - 2 * 13000, "$64,000"),
        (90000 - 6 * 13000, "$12,000"),
        (90000 - 4 * 13000, "$38,000"),
        (45000 - 38000, "$7,000"),
        (0.25 * 13000, "$3,250"),
    ],
    "finance-declining-balance-depreciation": [
        (100 * 2 / 5, "40%"),
        (40000 * 0.4, "$16,000"),
        (40000 * 0.6, "$24,000"),
        (40000 * 0.6 * 0.4, "$9,600"),
        (40000 * 0.6**2, "$14,400"),
        (40000 * 0.6**2 * 0.4, "$5,760"),
        (40000 * 0.6**3, "$8,640"),
        (40000 * 0.6**3 * 0.4, "$3,456"),
        (40000 * 0.6**4, "$5,184"),
        (40000 * 0.6**4 - 4000, "$1,184"),
        ((40000 - 4000) / 5, "$7,200"),
    ],
    "finance-break-even": [
        (25 - 13, "$12 per candle"),
        (60000 / 12, "5,000 candles"),
        (60000 / 12 * 25, "$125,000"),
        (100 * 12 / 25, "48%"),
        ((60000 + 24000) / 12, "7,000 candles"),
        (100 * (1 - 5000 / 6250), "margin of safety is 20%"),
    ],
    "finance-cash-conversion-cycle": [
        (80000 / 584000 * 365, "50 days"),
        (96000 / 876000 * 365, "40 days"),
        (48000 / 584000 * 365, "30 days"),
        (80000 / 584000 * 365 + 96000 / 876000 * 365 - 48000 / 584000 * 365, "60 days"),
        (80000 + 96000 - 48000, "$128,000"),
        (876000 / 365 * 10, "$24,000"),
    ],
    "finance-budget-variance": [
        (1000 * 2 * 5, "$10,000"),
        (2310 * 4.80, "$11,088"),
        (2310 * 4.80 - 1000 * 2 * 5, "$1,088"),
        (1100 * 2 * 5, "$11,000"),
        (100 * 2 * 5, "$1,000"),
        (-(4.80 - 5.00) * 2310, "$462"),
        ((2310 - 2200) * 5, "$550"),
        (2310 * 4.80 - 1100 * 2 * 5, "$88"),
    ],
    "finance-annuity": [
        (1200 * (1 - 1.05**-10) / 0.05, "$9,266.08"),
        (1200 * (1.05**10 - 1) / 0.05, "$15,093.47"),
        (1200 * (1 - 1.05**-10) / 0.05 * 1.05, "$9,729.39"),
        (1200 / 0.05, "$24,000"),
        (LOAN, "$386.66"),
        (20000 * 0.005, "$100.00"),
        (LOAN - 100, "$286.66"),
    ],
    "finance-bond-price": [
        (bond(0.06), "$957.88"),
        (1000 - bond(0.06), "$42.12"),
        (bond(0.04), "$1,044.52"),
        (bond(0.05), "exactly $1,000"),
        (100 * 50 / bond(0.06), "5.22%"),
        (bond(0.06, coupon=0), "$747.26"),
    ],
    "finance-bond-duration": [
        (bond(0.06), "$957.88"),
        (duration(0.06), "4.53 years"),
        (duration(0.06) / 1.06, "4.28"),
        (duration(0.06) / 1.06 * 0.5, "2.14%"),
        (duration(0.06) / 1.06 * 0.01 * bond(0.06), "$40.98"),
        (bond(0.065), "$937.66"),
        (100 * (1 - bond(0.065) / bond(0.06)), "2.11%"),
    ],
    "finance-dividend-discount-model": [
        (2 * 1.04, "$2.08"),
        (2 * 1.04 / (0.09 - 0.04), "$41.60"),
        (2 * 1.05 / (0.09 - 0.05), "$52.50"),
        (npv(0.09, [0, 2 * 1.1, 2 * 1.1**2 * (1 + 1.04 / (0.09 - 0.04))]), "$46.42"),
        (100 * (2.08 / 40 + 0.04), "9.2%"),
    ],
    "finance-ev-to-ebitda": [
        (25 * 20, "$500 million"),
        (500 + 180 - 30, "$650 million"),
        (50 + 15, "$65 million"),
        (650 / 65, "10.0"),
        (8 * 65, "$520 million"),
        (180 - 30, "$150 million"),
        (8 * 65 - 150, "$370 million"),
        (370 / 25, "$14.80"),
    ],
    "finance-value-at-risk": [
        (1.645 * 0.012 * 1e6, "$19,740"),
        (2.326 * 0.012 * 1e6, "$27,912"),
        (1.645 * 0.012 * 1e6 * sqrt(10), "$62,423"),
    ],
    "finance-effective-annual-rate": [
        (1000 * 1.06**10, "$1,790.85"),
        (1000 * (1 + 0.06 * 10), "$1,600.00"),
        (100 * ((1 + 0.12 / 12) ** 12 - 1), "12.68%"),
        (100 * ((1 + 0.12 / 4) ** 4 - 1), "12.55%"),
        (100 * (exp(0.12) - 1), "12.75%"),
        (72 / 6, "12 years"),
        (log(2) / log(1.06), "11.90 years"),
    ],
}
