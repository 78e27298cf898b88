"""The formulas that several worked figures of the handbook share."""

from statistics import mean


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


def bond(yield_, coupon=50, face=1000, years=5):
    """Price of a bond with one coupon a year."""
    return npv(yield_, [0] + [coupon] * (years - 1) + [coupon + face])


def duration(yield_, coupon=50, face=1000, years=5):
    """Macaulay duration in years."""
    flows = [0] + [coupon] * (years - 1) + [coupon + face]
    return npv(yield_, [year * flow for year, flow in enumerate(flows)]) / npv(yield_, flows)
