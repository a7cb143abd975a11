"""secp256k1 points of public signatures, from the compressed form to affine coordinates. Public data only: nothing here is constant-time."""

from oracle.errors import DecodeError

_P = 2**256 - 2**32 - 977
"""Field prime of secp256k1 (SEC 2, section 2.4.1)."""
_N = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Order of the group."""
SIGNATURE_SIZE = 65
_POINT_SIZE = 33


def decompress(point: bytes) -> tuple[int, int]:
    """(x, y) of a SEC1 compressed point, 33 bytes. Raises DecodeError for anything that is not one; so for the identity, too."""
    if len(point) != _POINT_SIZE or point[0] not in (2, 3):
        raise DecodeError("A compressed point has 33 bytes, the first of them 2 or 3.")
    x = int.from_bytes(point[1:])
    if x >= _P:
        raise DecodeError("The x coordinate of a point is below the field's prime.")
    square = (pow(x, 3, _P) + 7) % _P
    y = pow(square, (_P + 1) // 4, _P)
    if y * y % _P != square:
        raise DecodeError("No point of secp256k1 has this x coordinate.")
    return x, y if y % 2 == point[0] % 2 else _P - y


def split_signature(signature: bytes) -> tuple[int, int, int]:
    """(Rx, Ry, z) of the 65 bytes R ‖ z (PROTOCOL.md §2). Raises DecodeError."""
    if len(signature) != SIGNATURE_SIZE:
        raise DecodeError(f"A committee signature has {SIGNATURE_SIZE} bytes, not {len(signature)}.")
    z = int.from_bytes(signature[_POINT_SIZE:])
    if not 0 < z < _N:
        raise DecodeError("The scalar z of a committee signature lies between 1 and the group's order.")
    return *decompress(signature[:_POINT_SIZE]), z
