"""What the token bridge's refusals mean to the person who caused them; `refusals` has the others.

The names and arguments are those of the Solidity errors; a test holds them to the compiled ABI.
"""

from collections.abc import Mapping
from typing import Final

CONTRACTS: Final = ("TokenFactory", "NativeBridge", "WrappedBridge", "WrappedToken", "TransferGuard")
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
    "InvalidFee": "The fee is whole wire units of {unit} of the token's smallest units each, and less than the amount; {fee} is not.",
    "InvalidExpiry": "A transfer expires after the present ({after_}) and not after {latest} (Unix seconds), not at {expiry}.",
    "AlreadyRefunded": "The transfer {id} was given back already.",
    "MalformedPayload": "These bytes are not what a token bridge sends.",
    # the emergency exit
    "NotPausedLongEnough": "An emergency exit needs a pause of seven days without break; this one began at {since} (0: there is none).",
    "ExitTooLarge": "In this period {left} wire units may still leave by an emergency exit, at least one at a time; not {amount}.",
    # the guard
    "NotCleared": "The transfer {id} needs the guard's clearance: ask for its score, or governance to clear it.",
    "NoClearance": "A transfer of this size needs the guard's clearance first: ask for its score, then send exactly what was cleared.",
    "NotAGuard": "There is no contract at {guard}.",
    "NoSettings": "Governance has set up no guard for the bridge {bridge}.",
    "InvalidSettings": "A guard's model takes six inputs and gives one output, its policy is served here, and its decisions live a while.",
    "NotGuarded": "The bridge {bridge} asks this guard about no transfer of {amount} wire units: just send it.",
    "NotWaiting": "No transfer {id} waits at this bridge.",
    "AlreadyAsked": "The score was asked for already, by the request {requestId}: wait for its answer.",
    "AlreadyDecided": "The guard has decided of this transfer already; governance can decide otherwise.",
    "NotAsked": "The guard has no open request {requestId}.",
    "StillPending": "The answer may still come, until {deadline} (Unix seconds).",
    # the queue
    "AlreadyQueued": "A transfer {id} waits here already.",
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
