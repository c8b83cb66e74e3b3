"""The types of what is given on the command line, each with a message for wrong input."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any


def _checked(convert: Callable[[str], Any], is_valid: Callable[[Any], bool], expected: str) -> Callable[[str], Any]:
    def check(given: str) -> Any:
        try:
            value = convert(given)
        except ValueError:
            value = None
        if value is None or not is_valid(value):
            raise argparse.ArgumentTypeError(f"{given!r} is not {expected}")
        return value

    return check


whole = _checked(int, lambda number: number >= 0, "an integer of at least 0")
count = _checked(int, lambda number: number >= 1, "an integer of at least 1")
members = _checked(int, lambda number: 1 <= number <= 1000, "an integer from 1 to 1,000")
rate = _checked(float, lambda number: 0.0 < number < math.inf, "a number above 0")
share = _checked(float, lambda number: 0.0 < number < 1.0, "a number between 0 and 1")
sizes = _checked(
    lambda given: [int(size) for size in given.split(",")],
    lambda sizes: min(sizes) >= 1,
    "a list of integers of at least 1 separated by commas, such as 64,32",
)
numbers = _checked(
    lambda given: [float(number) for number in given.split(",")],
    lambda numbers: all(map(math.isfinite, numbers)),
    "a list of numbers separated by commas, such as 1,0",
)
names = _checked(lambda given: given.split(","), all, "a list of names separated by commas, such as tanh,sigmoid")
decimals = _checked(int, lambda decimals: 0 <= decimals <= 15, "an integer between 0 and 15")
