"""Public instances of a proof: how int64 inputs and outputs become field elements, for the chain and for ezkl.

The order is inputs, then outputs. The Solidity verifier takes them as uint256; ezkl's files hold little-endian hex.
"""

from oracle.protocol.encoding import from_field, to_field

WORD = 32


def instances(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[int, ...]:
    """Public instances as integers in [0, r), as `verifyProof(bytes, uint256[])` takes them."""
    return tuple(to_field(value) for value in (*inputs, *outputs))


def to_ezkl_hex(value: int) -> str:
    """ezkl's form of a signed integer: the field element as 32 little-endian bytes in hex."""
    return to_field(value).to_bytes(WORD, "little").hex()


def from_ezkl_hex(text: str) -> int:
    """The signed integer of ezkl's little-endian hex. Raises EncodeError when it is not a canonical field element, ValueError when not hex."""
    return from_field(int.from_bytes(bytes.fromhex(text), "little"))
