"""What the augmentations' arguments have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence


def checked_probability(probability: float) -> float:
    """Returns a probability, or raises a `ValueError` that says what it should be."""
    if not 0 <= probability <= 1:
        raise ValueError(
            f"Expected probability to be between 0 and 1. Received: probability={probability!r}."
        )
    return float(probability)


def checked_range(name: str, limits: Sequence[float], unit: str) -> tuple[float, float]:
    """Returns the two ends of a range, or raises a `ValueError` that says what they should be."""
    try:
        low, high = map(float, limits)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(
            f"Expected {name} to be the lowest and the highest value in {unit}, such as (5, 25). "
            f"Received: {name}={limits!r}."
        )
    return low, high
