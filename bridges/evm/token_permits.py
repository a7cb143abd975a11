"""Permits (ERC-2612): an allowance that an account signs, so that a token transfer needs one transaction instead of two.

Guarantees: what is signed is for one token, spender, amount and account nonce, on this chain, and ends after half an hour; a token's EIP-712 domain
is taken from the token itself (ERC-5267), never guessed. It sends nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_account.messages import encode_typed_data
from eth_typing import ChecksumAddress

from bridges.evm.abi import account_of, interface
from bridges.evm.account import EvmAccount
from bridges.evm.client import EvmClient
from oracle.errors import DecodeError, Rejected, Transient

PERMIT_SECONDS = 1800
_USUAL_FIELDS = 0x0F
"""ERC-5267: name, version, chain id and contract, no salt."""


class PermitAccount(EvmAccount):
    """An account that can also sign permits."""

    __slots__ = ()

    def sign_permit(self, domain: Mapping[str, Any], message: Mapping[str, Any]) -> tuple[int, bytes, bytes]:
        """(v, r, s) over the typed data (EIP-712)."""
        names = ("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")
        permit = ("owner", "address"), ("spender", "address"), ("value", "uint256"), ("nonce", "uint256")
        fields = (*permit, ("deadline", "uint256"))
        data = {
            "types": {
                "EIP712Domain": [{"name": name, "type": kind} for name, kind in names if name in domain],
                "Permit": [{"name": name, "type": kind} for name, kind in fields],
            },
            "primaryType": "Permit",
            "domain": dict(domain),
            "message": dict(message),
        }
        signed = self._local.sign_message(encode_typed_data(full_message=data))
        return signed.v, signed.r.to_bytes(32), signed.s.to_bytes(32)


@dataclass(frozen=True, slots=True)
class Permit:
    """A signed allowance; `deadline` in Unix seconds."""

    deadline: int
    v: int
    r: bytes
    s: bytes

    def to_tuple(self) -> tuple[int, int, bytes, bytes]:
        """`ITokenBridge.Permit`."""
        return self.deadline, self.v, self.r, self.s


async def sign_permit(
    client: EvmClient, account: PermitAccount, token: ChecksumAddress, spender: ChecksumAddress, amount: int
) -> Permit | None:
    """A permit of `amount` for `spender`; None when the token takes none. Raises Transient."""
    try:
        domain = await _domain(client, token)
        (nonce,) = await _ask(client, token, "nonces", account.address)
    except (Rejected, DecodeError):
        return None
    head = await client.block("latest")
    if head is None:
        raise Transient("The endpoint shows no newest block: try again.")
    deadline = head.timestamp + PERMIT_SECONDS
    owner = {"owner": account.address, "spender": spender}
    signature = account.sign_permit(domain, owner | {"value": amount, "nonce": nonce, "deadline": deadline})
    return Permit(deadline, *signature)


async def _domain(client: EvmClient, token: ChecksumAddress) -> dict[str, Any]:
    """The EIP-712 domain as the token itself says. Raises Rejected or DecodeError when it does not."""
    fields, name, version, chain_id, contract, _, _ = await _ask(client, token, "eip712Domain")
    mine = chain_id == client.chain_id and account_of(contract) == account_of(token)
    if fields[0] != _USUAL_FIELDS or not mine:
        raise DecodeError("The token's EIP-712 domain is not the usual one.")
    return {"name": name, "version": version, "chainId": chain_id, "verifyingContract": token}


async def _ask(client: EvmClient, token: ChecksumAddress, function: str, *arguments: Any) -> tuple[Any, ...]:
    abi = interface("WrappedToken")
    return abi.decode(function, await client.call(token, abi.encode(function, *arguments)))
