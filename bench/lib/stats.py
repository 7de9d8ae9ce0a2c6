# SPDX-License-Identifier: Apache-2.0
"""Percentiles of a few figures."""


def percentile(values, percent):
    """The smallest value that at least @percent % of @values do not exceed (nearest rank)."""
    ordered = sorted(values)
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(int(rank), 1) - 1]


def summary(values):
    values = [v for v in values if v is not None]
    if not values:
        return None
    return {"n": len(values), "min": min(values), "p50": percentile(values, 50),
            "p95": percentile(values, 95), "p99": percentile(values, 99), "max": max(values)}


def summaries(rows):
    """Of a list of {key: number}: {key: summary}, keys in order of first appearance."""
    keys = dict.fromkeys(key for row in rows for key in row)
    result = {key: summary([row.get(key) for row in rows]) for key in keys}
    return {key: value for key, value in result.items() if value}
