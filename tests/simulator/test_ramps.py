"""A ramp is right in every period for which its proof holds, whatever is done with it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_simulator.fabric.ramps import NO_LIMIT, Proof, Ramp, parts, ramp

PERIODS = 30
NUMBERS = st.integers(-40, 40) | st.sampled_from([2**31, -(2**31), 2**32 - 3, 2**40])
SLOPES = st.integers(-9, 9)
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    **{
        name: getattr(operator, name)
        for name in (
            "add", "sub", "mul", "floordiv", "mod", "truediv", "lshift", "rshift", "and_", "or_",
            "xor", "pow", "lt", "le", "gt", "ge", "eq", "ne",
        )
    },
    "divmod": divmod,
    "min": min,
    "max": max,
    "negative": lambda a, _: -a,
    "positive": lambda a, _: +a,
    "absolute": lambda a, _: abs(a),
    "inverse": lambda a, _: ~a,
    "truth": lambda a, _: bool(a),
    "whole": lambda a, _: int(a),
    "real": lambda a, _: float(a),
    "round": lambda a, _: round(a),
    "bits": lambda a, _: a.bit_length(),
    "member": lambda a, b: a in (b, 7),
    "key": lambda a, b: {b: 1}.get(a, 0),
    "low word": lambda a, _: a & 0xFFFFFFFF,
    "signed": lambda a, _: (a + 0x80000000 & 0xFFFFFFFF) - 0x80000000,
    "clock": lambda a, _: (a - 3) % 12 < 5,
}  # fmt: skip
POWERS = {"pow", "lshift", "rshift"}


def at(value: Any, period: int) -> Any:
    if isinstance(value, tuple):
        return tuple(at(item, period) for item in value)
    return value.at(period) if isinstance(value, Ramp) else value


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(max_examples=50, deadline=None)
@given(one=NUMBERS, step=SLOPES, other=NUMBERS, other_step=SLOPES | st.just(0))
def test_an_operation_holds_as_long_as_the_proof_says(name, one, step, other, other_step):
    operation = OPERATIONS[name]
    proof = Proof()
    left, right = ramp(one, step, proof), ramp(other, other_step, proof)
    if name in POWERS:
        right = abs(other) % 50
    pairs = [(left, right)] if name in POWERS else [(left, right), (right, left)]
    for first, second in pairs:
        proof.last = NO_LIMIT
        try:
            expected = operation(at(first, 0), at(second, 0))
        except (ZeroDivisionError, ValueError):
            continue
        result = operation(first, second)
        assert at(result, 0) == expected
        for period in range(1, min(proof.last, PERIODS) + 1):
            assert at(result, period) == operation(at(first, period), at(second, period))


@pytest.mark.parametrize("divisor", [1000, -1000])
@pytest.mark.parametrize(
    ("slope", "last"), [(7003, 165), (6997, 167), (-2996, 124), (5000, 1 << 40)]
)
def test_a_quotient_grows_as_its_number_does_until_the_rest_is_used_up(divisor, slope, last):
    sign = 1 if divisor > 0 else -1
    proof = Proof()
    number = ramp(sign * 12_502, sign * slope, proof)
    quotient = number // divisor
    assert parts(quotient) == (12, round(slope / 1000))
    assert min(proof.last, 1 << 40) == last
    if proof.last < 1 << 40:
        beyond = last + 1
        assert at(number, last) // divisor == at(quotient, last)
        assert at(number, beyond) // divisor != at(quotient, beyond)


@given(one=NUMBERS, step=SLOPES, other=NUMBERS)
def test_a_comparison_holds_to_the_very_last_period(one, step, other):
    proof = Proof()
    below = ramp(one, step, proof) < other
    if proof.last < NO_LIMIT:
        assert (one + (proof.last + 1) * step < other) is not below


def test_a_sum_without_slope_is_a_plain_number():
    proof = Proof()
    here = Ramp(10, 125, proof)
    assert type(here - Ramp(4, 125, proof)) is int
    assert parts(here * 2 + 1) == (21, 250)
    assert proof.last == NO_LIMIT


def test_what_is_no_ramp_holds_for_period_0_only():
    proof = Proof()
    assert Ramp(3, 1, proof) * Ramp(3, 1, proof) == 9
    assert proof.last == 0
