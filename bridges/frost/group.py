"""secp256k1 for FROST: public scalars and points, and secret scalars that never become Python integers.

Guarantees: a `Point` is on the curve and is never the identity; a `SecretScalar` is in 1..n-1, is computed only by
libsecp256k1's constant-time seckey_* functions, has a redacted repr, cannot be pickled or compared, and is overwritten when
it is wiped or collected. `Point.times` takes variable time, so it accepts public scalars alone.
Does not protect against a debugger, a core dump, or copies that a caller makes of `SecretScalar.reveal()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Never, NewType

from coincurve import GLOBAL_CONTEXT

# The compiled CFFI module, for coincurve's own classes would copy secrets into `bytes`.
from coincurve._libsecp256k1 import ffi, lib

from bridges.frost.errors import DecodeError, GroupError

Scalar = NewType("Scalar", int)
"""A public scalar, 0 ≤ s < ORDER."""
Identifier = NewType("Identifier", int)
"""A participant's identifier, 1 ≤ i ≤ MAX_PARTICIPANTS."""

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order n of the group (SEC 2 §2.4.1)."""
FIELD: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F
"""Characteristic p of the field (SEC 2 §2.4.1)."""
SCALAR_BYTES: Final = 32
POINT_BYTES: Final = 33
UNIFORM_BYTES: Final = 48
"""L of RFC 9380's hash_to_field at 128-bit security: the bytes reduced to one scalar."""
MAX_PARTICIPANTS: Final = 1000
"""Bound on committee size and identifiers; an identifier takes two bytes on the wire."""

_HALF: Final = UNIFORM_BYTES // 2
_TWO_192: Final = (1 << (8 * _HALF)).to_bytes(SCALAR_BYTES, "big")
_CTX: Final = GLOBAL_CONTEXT.ctx
_KEY_BYTES: Final[int] = ffi.sizeof("secp256k1_pubkey")


def identifier(value: int) -> Identifier:
    """A checked participant identifier. Raises DecodeError outside 1..MAX_PARTICIPANTS."""
    if not 1 <= value <= MAX_PARTICIPANTS:
        raise DecodeError(f"A participant identifier must be 1 to {MAX_PARTICIPANTS}, not {value}.")
    return Identifier(value)


def scalar_from_bytes(data: bytes) -> Scalar:
    """RFC 9591 §6.5 DeserializeScalar: 32 bytes, big-endian, below n. Raises DecodeError."""
    if len(data) != SCALAR_BYTES:
        raise DecodeError(f"A scalar is {SCALAR_BYTES} bytes, not {len(data)}.")
    value = int.from_bytes(data, "big")
    if value >= ORDER:
        raise DecodeError("A scalar must be below the group's order.")
    return Scalar(value)


def scalar_to_bytes(value: int) -> bytes:
    """RFC 9591 §6.5 SerializeScalar."""
    return value.to_bytes(SCALAR_BYTES, "big")


def wipe_fresh_bytes(data: bytes) -> None:
    """Overwrite an immutable `bytes` in place.

    Only for an object of two bytes or more that was just made by a hash or a parser and that nobody else holds: hashlib has
    no way to write a digest into a buffer of ours.
    """
    ffi.memmove(ffi.from_buffer("char[]", data), bytes(len(data)), len(data))


@dataclass(frozen=True, slots=True)
class Point:
    """A public group element other than the identity, held in its 33-byte compressed form.

    Bytes from outside are parsed, and with that checked, exactly once: the library's own form is kept beside them, is never changed,
    and takes no part in comparisons. What the library computed is on the curve by construction and is not parsed again.
    """

    encoded: bytes
    _key: object = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", _parse(self.encoded))

    @classmethod
    def from_bytes(cls, data: bytes) -> Point:
        """RFC 9591 §6.5 DeserializeElement. Raises DecodeError for anything but a compressed point on the curve."""
        return cls(bytes(data))

    def to_bytes(self) -> bytes:
        """RFC 9591 §6.5 SerializeElement: 33 bytes."""
        return self.encoded

    def coordinates(self) -> tuple[int, int]:
        """Affine (x, y)."""
        out, size = ffi.new("unsigned char[65]"), ffi.new("size_t *", 65)
        lib.secp256k1_ec_pubkey_serialize(_CTX, out, size, self._key, lib.SECP256K1_EC_UNCOMPRESSED)
        raw = bytes(ffi.buffer(out))
        return int.from_bytes(raw[1:33], "big"), int.from_bytes(raw[33:], "big")

    def times(self, factor: Scalar) -> Point:
        """factor·self in variable time. Raises GroupError if factor is 0."""
        key = self._copied()
        if not lib.secp256k1_ec_pubkey_tweak_mul(_CTX, key, scalar_to_bytes(factor)):
            raise GroupError("The product of a point and zero has no encoding.")
        return _computed(key)

    def negated(self) -> Point:
        """-self."""
        key = self._copied()
        lib.secp256k1_ec_pubkey_negate(_CTX, key)
        return _computed(key)

    def _copied(self) -> object:
        """The library's form for an operation that works in place: a point itself never changes."""
        key = ffi.new("secp256k1_pubkey *")
        ffi.memmove(key, self._key, _KEY_BYTES)
        return key

    def __reduce__(self) -> tuple[type[Point], tuple[bytes]]:
        # Whoever unpickles or copies it parses, and with that checks, again: a pointer is worth nothing elsewhere.
        return Point, (self.encoded,)


def base_times(factor: Scalar) -> Point:
    """factor·G for a public scalar. Raises GroupError if factor is 0."""
    key = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ec_pubkey_create(_CTX, key, scalar_to_bytes(factor)):
        raise GroupError("The product of the base point and zero has no encoding.")
    return _computed(key)


def point_sum(points: Sequence[Point]) -> Point:
    """Sum of one or more points. Raises GroupError if it is the identity."""
    out = ffi.new("secp256k1_pubkey *")
    pointers = ffi.new("secp256k1_pubkey *[]", [point._key for point in points])
    if not points or not lib.secp256k1_ec_pubkey_combine(_CTX, out, pointers, len(points)):
        raise GroupError("The sum of these points is the identity, which has no encoding.")
    return _computed(out)


def polynomial_at(coefficients: Sequence[Point], at: int) -> Point:
    """sum_k C_k·at^k for public points and 0 < at < ORDER, lowest degree first. Raises GroupError if that is the identity.

    Horner's rule: the multiplier is always `at`, and for a participant's identifier that is short and cheap. A sum on the way may be the
    identity, by somebody's choice of coefficients even; only then are the terms computed one by one.
    """
    factor = scalar_to_bytes(at)
    total, spare = coefficients[-1]._copied(), ffi.new("secp256k1_pubkey *")
    for point in reversed(coefficients[:-1]):
        pair = ffi.new("secp256k1_pubkey *[2]", [total, point._key])
        fine = lib.secp256k1_ec_pubkey_tweak_mul(_CTX, total, factor)
        if not (fine and lib.secp256k1_ec_pubkey_combine(_CTX, spare, pair, 2)):
            terms = [c if k == 0 else c.times(Scalar(pow(at, k, ORDER))) for k, c in enumerate(coefficients)]
            return point_sum(terms)
        total, spare = spare, total
    return _computed(total)


class SecretScalar:
    """A secret in 1..n-1 inside a C buffer of its own. Operations change it in place, in constant time."""

    __slots__ = ("_buffer", "_wiped")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        """Copies 32 big-endian bytes; the caller wipes its own copy. Raises DecodeError for 0, ≥ n, or a wrong length."""
        self._buffer = ffi.new("unsigned char[32]")
        self._wiped = False
        if len(data) != SCALAR_BYTES:
            raise DecodeError(f"A secret scalar is {SCALAR_BYTES} bytes, not {len(data)}.")
        ffi.memmove(self._buffer, data, SCALAR_BYTES)
        if not lib.secp256k1_ec_seckey_verify(_CTX, self._buffer):
            self.wipe()
            raise DecodeError("A secret scalar must be between 1 and the group's order minus 1.")

    @classmethod
    def from_uniform(cls, data: bytes | bytearray) -> SecretScalar:
        """48 uniform bytes reduced modulo n (RFC 9380 §5.2) without integers: high·2^192 + low, both below n."""
        if len(data) != UNIFORM_BYTES:
            raise DecodeError(f"Uniform bytes for a scalar number {UNIFORM_BYTES}, not {len(data)}.")
        padded = bytearray(SCALAR_BYTES)
        padded[SCALAR_BYTES - _HALF :] = memoryview(data)[:_HALF]
        result = cls(padded)
        padded[SCALAR_BYTES - _HALF :] = memoryview(data)[_HALF:]
        low = ffi.from_buffer("unsigned char[32]", padded)
        ok = lib.secp256k1_ec_seckey_tweak_mul(_CTX, result._buffer, _TWO_192)
        ok &= lib.secp256k1_ec_seckey_tweak_add(_CTX, result._buffer, low)
        ffi.memmove(low, bytes(SCALAR_BYTES), SCALAR_BYTES)
        if not ok:
            raise GroupError("The uniform bytes reduce to zero; draw new ones.")
        return result

    def copy(self) -> SecretScalar:
        """An independent copy, to be wiped on its own."""
        self._require_live()
        return SecretScalar(ffi.buffer(self._buffer))

    def times(self, factor: Scalar) -> None:
        """self ← self·factor. Raises GroupError if factor is 0."""
        self._require_live()
        if not lib.secp256k1_ec_seckey_tweak_mul(_CTX, self._buffer, scalar_to_bytes(factor)):
            raise GroupError("A secret scalar cannot be multiplied by zero.")

    def plus(self, other: SecretScalar) -> None:
        """self ← self + other. Raises GroupError if the sum is 0."""
        self._require_live()
        other._require_live()
        if not lib.secp256k1_ec_seckey_tweak_add(_CTX, self._buffer, other._buffer):
            raise GroupError("The sum of these secret scalars is zero.")

    def public_point(self) -> Point:
        """self·G, in constant time."""
        self._require_live()
        key = ffi.new("secp256k1_pubkey *")
        if not lib.secp256k1_ec_pubkey_create(_CTX, key, self._buffer):
            raise GroupError("A secret scalar of zero has no public point.")
        return _computed(key)

    def view(self) -> memoryview:
        """The live 32 bytes, for a hash to read; it shows zeros after `wipe`."""
        self._require_live()
        return memoryview(ffi.buffer(self._buffer))

    def reveal(self) -> bytes:
        """The 32 bytes as a copy that cannot be wiped: for a key file, or for a value that is public from now on."""
        return bytes(self.view())

    def wipe(self) -> None:
        """Overwrite the secret; every later use raises GroupError. May be called twice."""
        ffi.memmove(self._buffer, bytes(SCALAR_BYTES), SCALAR_BYTES)
        self._wiped = True

    @property
    def wiped(self) -> bool:
        """Whether the secret is gone."""
        return self._wiped

    def _require_live(self) -> None:
        if self._wiped:
            raise GroupError("This secret was wiped and cannot be used again.")

    def __del__(self, _memmove: Callable[..., None] = ffi.memmove, _zeros: bytes = bytes(SCALAR_BYTES)) -> None:
        # What it needs is bound here, for at interpreter shutdown this module's names may be gone before the last secret.
        if hasattr(self, "_buffer"):
            _memmove(self._buffer, _zeros, len(_zeros))

    def __repr__(self) -> str:
        return "SecretScalar(<redacted>)"

    def __reduce__(self) -> Never:
        raise TypeError("A secret scalar is not pickled or deep-copied; use copy().")

    def __eq__(self, other: object) -> bool:
        # Comparison by value would be variable-time; two secrets are compared through their public points.
        return self is other

    def __hash__(self) -> Never:
        # Nothing may keep it as a dictionary's key, which outlives it.
        raise TypeError("A secret scalar is not hashed.")


def _parse(encoded: bytes) -> object:
    if len(encoded) != POINT_BYTES:
        raise DecodeError(f"A point is {POINT_BYTES} bytes compressed, not {len(encoded)}.")
    key = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ec_pubkey_parse(_CTX, key, encoded, POINT_BYTES):
        raise DecodeError("The 33 bytes are not a compressed point on secp256k1.")
    return key


def _computed(key: object) -> Point:
    """A point that the library computed: it checked that, so its bytes need no parsing."""
    out, size = ffi.new("unsigned char[33]"), ffi.new("size_t *", POINT_BYTES)
    lib.secp256k1_ec_pubkey_serialize(_CTX, out, size, key, lib.SECP256K1_EC_COMPRESSED)
    point = object.__new__(Point)
    object.__setattr__(point, "encoded", bytes(ffi.buffer(out)))
    object.__setattr__(point, "_key", key)
    return point
