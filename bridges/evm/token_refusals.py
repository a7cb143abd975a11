"""What the token bridge's refusals mean to the person who caused them, and which of its errors is in a refusal.

The names and arguments are those of the Solidity errors; a test holds them to the compiled ABI. An error that is named elsewhere already
passes through unchanged.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import get_abi_input_names, get_abi_input_types

from bridges.evm.abi import interface
from oracle.errors import Rejected

CONTRACTS: Final = ("TokenFactory", "NativeBridge", "WrappedBridge", "WrappedToken")
SENTENCES: Final[Mapping[str, str]] = {
    # transfers
    "BridgePaused": "This token's bridge is paused by a guardian: try again when governance has resumed it.",
    "AmountOutOfRange": "Between {least} and {most} of the token's smallest units can cross at once, not {amount}.",
    "InvalidRecipient": "The recipient is no account on the chain that this bridge is linked to.",
    "RefusedRecipient": "The recipient {recipient} cannot own tokens: it is zero, the bridge itself, or a program.",
    "RateLimited": "The rate limit leaves {available} wire units at this moment, {amount} were asked for: send less, or wait.",
    "CapExceeded": "With this transfer {total} wire units would be on the bridge, over its cap of {cap}: send less.",
    "InsufficientLocked": "Only {locked} wire units are locked here and free, {amount} were asked for.",
    "FeeOnTransfer": "The token gave the bridge {received} of {debited}: tokens that take a fee on transfer cannot cross.",
    "NotWrappedEther": "Ether crosses over the bridge of wrapped ether only, not over that of {token}.",
    "ERC20InsufficientBalance": "The account {sender} holds {balance}, less than the {needed} to be sent.",
    "ERC20InsufficientAllowance": "The bridge {spender} is allowed to take {allowance}, less than the {needed} to be sent.",
    "SafeERC20FailedOperation": "The token {token} refused to move.",
    "ReentrancyGuardReentrantCall": "The token called the bridge back while it was moved; such tokens cannot do that.",
    # the queue
    "NotQueued": "No transfer {id} waits here: it was paid out already, or never waited.",
    "StillQueued": "The transfer waits until {releasableAt} (Unix seconds).",
    "QueueDelayTooLong": "A transfer over the limit waits at most {most} seconds, not {delay}.",
    # registration and roles
    "AlreadyRegistered": "The token has its bridge already, {bridge}.",
    "NotRegistered": "The token {nativeToken} has no bridge here: register it first.",
    "NotAContract": "There is no contract at {token}.",
    "IsWrapped": "The token {token} is itself a wrapped one: it goes home over its own bridge.",
    "UnsupportedDecimals": "A token of {decimals} decimals cannot cross; 66 are the most.",
    "UnknownBridge": "The contract {bridge} is no bridge of this factory.",
    "NotAllowed": "The account {caller} may not do this: it needs governance at the factory.",
    "AccessControlUnauthorizedAccount": "The account {account} has not the role for this: a guardian pauses, governance does the rest.",
}
"""Sentences by error name; `{…}` are the error's arguments as the ABI names them."""
_SELECTOR = 4


def explained(refusal: Rejected) -> Rejected:
    """The refusal itself when it is named already, or one with the bridge's name and sentence for it."""
    data = _revert_data(refusal)
    entry = _known().get(data[:_SELECTOR])
    if refusal.reason or entry is None:
        return refusal
    try:
        values = abi_decode(get_abi_input_types(entry), data[_SELECTOR:])
    except (DecodingError, ValueError, OverflowError):
        return refusal
    shown = {str(k): _show(v) for k, v in zip(get_abi_input_names(entry), values, strict=True)}
    name = str(entry["name"])
    listed = ", ".join(f"{key}={value}" for key, value in shown.items())
    template = SENTENCES.get(name)
    return Rejected(
        f"The contract refused: {name}({listed})." if template is None else template.format_map(shown), reason=name
    )


def _revert_data(refusal: BaseException) -> bytes:
    """The contract's own bytes: the client keeps web3's error as the cause."""
    cause: BaseException | None = refusal
    while cause is not None:
        data = getattr(cause, "data", None)
        if isinstance(data, str) and data.startswith("0x"):
            try:
                return bytes.fromhex(data[2:])
            except ValueError:
                return b""
        cause = cause.__cause__
    return b""


def _show(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


@cache
def _known() -> dict[bytes, Any]:
    return dict(entry for name in CONTRACTS for entry in interface(name).errors())
