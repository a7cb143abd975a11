"""Tensor ↔ fixed point ↔ field element (PROTOCOL.md §3).

A value travels as int64 fixed point, `q = value · 2^scale` rounded half away from zero, and enters a circuit as the field element `q mod r`
of BN254's scalar field. Pure arithmetic on Python numbers; a tensor is its row-major flattening.
"""

import math
from collections.abc import Sequence

from oracle.protocol.errors import EncodeError

FIELD_MODULUS = 0x30644E72E131A029B85045B68181585D2833E84879B97091_43E1F593F0000001
"""Order of BN254's scalar field, r (EIP-196)."""

INT64_MAX = (1 << 63) - 1


def quantise(
    values: Sequence[float], scale: int, *, bound: int = INT64_MAX, names: Sequence[str] = ()
) -> tuple[int, ...]:
    """Fixed point of `values` with `scale` bits after the point.

    Raises EncodeError, naming the feature, on NaN, an infinity, or a quantised value beyond ±`bound`.
    """
    return tuple(
        _quantise_one(value, scale, bound, names[i] if i < len(names) else f"input number {i}")
        for i, value in enumerate(values)
    )


def _quantise_one(value: float, scale: int, bound: int, name: str) -> int:
    try:
        value = float(value)  # a whole number, as JSON may hold it, can be larger than any float
    except OverflowError:
        raise EncodeError(f"{name} is a whole number of more than 300 digits; give a smaller one.") from None
    if not math.isfinite(value):
        raise EncodeError(f"{name} is {value}; give a finite number.")
    try:
        scaled = math.ldexp(abs(value), scale)
    except OverflowError:
        scaled = math.inf
    if scaled > bound + 1:
        raise _out_of_range(value, scale, bound, name)
    whole = math.floor(scaled)
    # Exact, where adding one half and rounding down would itself round.
    whole += scaled - whole >= 0.5
    if whole > bound:
        raise _out_of_range(value, scale, bound, name)
    return -whole if value < 0 else whole


def _out_of_range(value: float, scale: int, bound: int, name: str) -> EncodeError:
    return EncodeError(f"{name} is {value:g}, outside the model's range of ±{math.ldexp(bound, -scale):g}.")


def dequantise(values: Sequence[int], scale: int) -> tuple[float, ...]:
    """The numbers that fixed-point `values` stand for."""
    return tuple(math.ldexp(value, -scale) for value in values)


def to_field(value: int) -> int:
    """The field element of a signed integer."""
    return value % FIELD_MODULUS


def from_field(element: int) -> int:
    """The signed integer of a field element: elements above r/2 are negative. Raises EncodeError when not canonical."""
    if not 0 <= element < FIELD_MODULUS:
        raise EncodeError("A field element lies between 0 and r - 1.")
    return element - FIELD_MODULUS if element > FIELD_MODULUS // 2 else element
