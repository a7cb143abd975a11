"""Points and secret scalars: arithmetic against plain integers, edges, and secrets that stay secret."""

from __future__ import annotations

import copy
import pickle

import pytest

from bridges.frost.ciphersuite import CONTEXT, expand_message_xmd, hash_to_scalar
from bridges.frost.errors import DecodeError, GroupError
from bridges.frost.group import (
    FIELD,
    ORDER,
    Point,
    Scalar,
    SecretScalar,
    base_times,
    identifier,
    point_sum,
    polynomial_at,
    scalar_from_bytes,
)


def secret(value: int) -> SecretScalar:
    return SecretScalar(value.to_bytes(32, "big"))


@pytest.mark.parametrize("left", [1, 2, ORDER - 1, ORDER // 2])
@pytest.mark.parametrize("right", [1, 5, ORDER - 3])
def test_secret_scalar__arithmetic__agrees_with_integers(left: int, right: int) -> None:
    product = secret(left)
    product.times(Scalar(right))
    assert int.from_bytes(product.reveal(), "big") == left * right % ORDER
    if (left + right) % ORDER:
        total = secret(left)
        total.plus(secret(right))
        assert int.from_bytes(total.reveal(), "big") == (left + right) % ORDER
    assert secret(left).public_point() == base_times(Scalar(left))


@pytest.mark.parametrize(
    "uniform",
    [
        bytes(23) + b"\x01" + bytes(24),
        b"\xff" * 48,
        bytes(range(48)),
        b"\x01" + bytes(47),
        bytes(23) + b"\x01" + b"\xff" * 24,
    ],
)
def test_secret_scalar__uniform_bytes__reduce_as_integers_do(uniform: bytes) -> None:
    expected = int.from_bytes(uniform, "big") % ORDER
    assert int.from_bytes(SecretScalar.from_uniform(uniform).reveal(), "big") == expected


@pytest.mark.parametrize("value", [0, ORDER, ORDER + 1, 2**256 - 1])
def test_secret_scalar__out_of_range__is_refused(value: int) -> None:
    with pytest.raises(DecodeError):
        secret(value)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_secret_scalar__wrong_length__is_refused(length: int) -> None:
    with pytest.raises(DecodeError):
        SecretScalar(b"\x01" * length)


def test_secret_scalar__zero_results__raise() -> None:
    value = secret(5)
    with pytest.raises(GroupError):
        value.times(Scalar(0))
    value = secret(5)
    with pytest.raises(GroupError):
        value.plus(secret(ORDER - 5))


def test_secret_scalar__wiped__shows_zeros_and_cannot_be_used() -> None:
    value = secret(0x1234)
    view = value.view()
    assert bytes(view)[-2:] == b"\x12\x34"
    value.wipe()
    assert bytes(view) == bytes(32)
    value.wipe()
    for use in (value.copy, value.public_point, value.reveal, value.view, lambda: value.times(Scalar(2))):
        with pytest.raises(GroupError):
            use()
    with pytest.raises(GroupError):
        secret(1).plus(value)


def test_secret_scalar__collected__is_overwritten() -> None:
    value = secret(0x1234)
    view = value.view()
    del value
    assert bytes(view) == bytes(32)


def test_secret_scalar__copy__is_independent() -> None:
    value = secret(7)
    other = value.copy()
    value.wipe()
    assert other.reveal() == (7).to_bytes(32, "big")


def test_secret_scalar__shown_or_serialised__never_leaks() -> None:
    value = secret(0xABCDEF)
    assert "abcdef" not in f"{value!r} {value}".lower()
    for leak in (pickle.dumps, copy.deepcopy, copy.copy):
        with pytest.raises(TypeError):
            leak(value)
    with pytest.raises(TypeError):
        hash(value)
    assert value != secret(0xABCDEF)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        bytes(33),
        b"\x00",
        b"\x04" + bytes(64),
        b"\x02" + FIELD.to_bytes(32, "big"),
        b"\x02" + (5).to_bytes(32, "big"),  # x = 5 is on no point
        b"\x05" + base_times(Scalar(1)).encoded[1:],
        base_times(Scalar(1)).encoded + b"\x00",
    ],
)
def test_point__not_a_compressed_point__is_refused(encoded: bytes) -> None:
    with pytest.raises(DecodeError):
        Point.from_bytes(encoded)


def test_point__arithmetic__is_a_group() -> None:
    g = base_times(Scalar(1))
    assert point_sum([g, g, g]) == base_times(Scalar(3)) == g.times(Scalar(3))
    assert g.negated() == base_times(Scalar(ORDER - 1))
    with pytest.raises(GroupError):
        point_sum([g, g.negated()])
    with pytest.raises(GroupError):
        point_sum([])
    with pytest.raises(GroupError):
        g.times(Scalar(0))
    with pytest.raises(GroupError):
        base_times(Scalar(0))


def test_point__after_arithmetic__is_unchanged_and_results_equal_their_parsed_bytes() -> None:
    point, other = base_times(Scalar(7)), Point.from_bytes(base_times(Scalar(9)).encoded)
    before = point.encoded
    results = [point.times(Scalar(5)), point.negated(), point_sum([point, other]), secret(11).public_point()]
    results += [result.times(Scalar(3)) for result in results]
    for result in results:
        parsed = Point.from_bytes(result.encoded)
        assert (parsed, hash(parsed), parsed.coordinates()) == (result, hash(result), result.coordinates())
        assert parsed.times(Scalar(2)) == result.times(Scalar(2)) == point_sum([result, parsed])
    again = Point.from_bytes(before)
    assert point.encoded == before
    assert point.coordinates() == again.coordinates()
    assert point_sum([point, other]) == point_sum([again, other]) == base_times(Scalar(16))
    assert "cdata" not in repr(point)


@pytest.mark.parametrize("at", [1, 2, 57, 1000, ORDER - 1])
@pytest.mark.parametrize("degree", [0, 1, 2, 66])
def test_polynomial_at__any_degree__is_the_sum_of_its_terms(at: int, degree: int) -> None:
    scalars = [(7919 * k * k + 11) % ORDER for k in range(degree + 1)]
    points = [base_times(Scalar(scalar)) for scalar in scalars]
    value = sum(scalar * pow(at, k, ORDER) for k, scalar in enumerate(scalars)) % ORDER
    assert polynomial_at(points, at) == base_times(Scalar(value))
    assert [point.encoded for point in points] == [base_times(Scalar(scalar)).encoded for scalar in scalars]


def test_polynomial_at__identity_on_the_way__is_no_obstacle_and_at_the_end_raises() -> None:
    """Coefficients that somebody chose so that Horner's rule meets the identity at 3."""
    top, constant = base_times(Scalar(5)), base_times(Scalar(9))
    cancelling = base_times(Scalar(15)).negated()
    assert polynomial_at([constant, cancelling, top], 3) == constant
    assert polynomial_at([constant, cancelling, top], 2) == base_times(Scalar((9 - 30 + 20) % ORDER))
    with pytest.raises(GroupError):
        polynomial_at([cancelling, top], 3)


def test_point__pickled_or_copied__is_parsed_again() -> None:
    point = base_times(Scalar(7))
    for twin in (pickle.loads(pickle.dumps(point)), copy.deepcopy(point)):  # noqa: S301  # our own bytes
        assert twin == point
        assert twin.times(Scalar(2)) == point.times(Scalar(2))
    forged = pickle.dumps(point).replace(point.encoded, b"\x02" + (5).to_bytes(32, "big"))
    with pytest.raises(DecodeError):
        pickle.loads(forged)  # noqa: S301  # our own bytes, one point exchanged for none


@pytest.mark.parametrize("message", [b"", b"abc", bytes(129), b"x" * 6700])
@pytest.mark.parametrize("tag", [b"rho", b"chal", b"dkg"])
def test_hash_to_scalar__any_message__is_expand_message_xmd_reduced(message: bytes, tag: bytes) -> None:
    expanded = expand_message_xmd((message,), CONTEXT + tag, 48)
    assert hash_to_scalar(message, tag) == int.from_bytes(expanded, "big") % ORDER


@pytest.mark.parametrize("value", [0, -1, 1001])
def test_identifier__out_of_range__is_refused(value: int) -> None:
    with pytest.raises(DecodeError):
        identifier(value)


def test_scalar__at_the_order__is_refused() -> None:
    assert scalar_from_bytes((ORDER - 1).to_bytes(32, "big")) == ORDER - 1
    with pytest.raises(DecodeError):
        scalar_from_bytes(ORDER.to_bytes(32, "big"))


RFC9380_DST = b"QUUX-V01-CS02-with-expander-SHA256-128"


@pytest.mark.parametrize(
    ("message", "length", "expected"),
    [
        (b"", 32, "68a985b87eb6b46952128911f2a4412bbc302a9d759667f87f7a21d803f07235"),
        (b"abc", 32, "d8ccab23b5985ccea865c6c97b6e5b8350e794e603b4b97902f53a8a0d605615"),
    ],
)
def test_expand_message_xmd__rfc9380_appendix_k1__matches(message: bytes, length: int, expected: str) -> None:
    assert expand_message_xmd((message,), RFC9380_DST, length).hex() == expected


def test_expand_message_xmd__split_message__is_the_same() -> None:
    whole = expand_message_xmd((b"abcdef",), RFC9380_DST, 48)
    assert expand_message_xmd((b"ab", b"", bytearray(b"cdef")), RFC9380_DST, 48) == whole


@pytest.mark.parametrize(("dst", "length"), [(b"", 32), (b"x" * 256, 32), (b"x", 0), (b"x", 8161)])
def test_expand_message_xmd__out_of_bounds__raises(dst: bytes, length: int) -> None:
    with pytest.raises(ValueError, match="expand_message_xmd"):
        expand_message_xmd((b"",), dst, length)
