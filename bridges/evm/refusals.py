"""What the contracts' errors mean to the person who caused them: one sentence for each error that a user or operator can run into.

The names and arguments are those of the Solidity errors; a test holds them to the compiled ABI. An error without a sentence here is shown as
it is, with its arguments.
"""

from collections.abc import Mapping
from typing import Any, Final

from bridges.evm import token_refusals

SENTENCES: Final[Mapping[str, str]] = {
    **token_refusals.SENTENCES,
    # asking
    "ModelUnknown": "The registry of this chain does not know model {id}: look at the list of models.",
    "ModelInactive": "Model {modelId} takes no new requests at present: choose another model, or ask later.",
    "WrongInputCount": "The model takes {expected} inputs, this request has {actual}.",
    "InputOutOfRange": "Input number {index} is {value}, beyond the model's bound of ±{bound} (quantised): correct that value.",
    "FeeTooLow": "The fee of {fee} wei is below the model's price of {price} wei: send more.",
    "DeadlinePassed": "The deadline {deadline} (Unix seconds) is not in the future of this chain's clock: give a later one.",
    "DeadlineNotPassed": "The request may still be answered until {deadline} (Unix seconds): ask for the refund after that.",
    "CallbackGasTooHigh": "A callback gets at most {maximum} gas, not {limit}.",
    "UnsupportedPolicy": "Policy number {policy} is not served here for this model or destination: choose another policy.",
    "TooManyRemotes": "A request names fewer further destinations than {count}.",
    "DuplicateChain": "Two destinations of the request lie on the same chain: name each chain once, and never the request's own.",
    "InvalidInputCount": "A request cannot have {count} inputs.",
    "NothingToWithdraw": "Nothing is credited to {account}.",
    "OwnableUnauthorizedAccount": "The account {account} is not the owner of this contract, and only its owner may do this.",
    "EnforcedPause": "The gateway is paused by its guardian or owner: try again when it is resumed.",
    # sending
    "NoPeerForChain": "This gateway knows no gateway on the recipient's chain (type {chainType}, reference {chainReference}).",
    "InvalidInteroperableAddress": "The recipient is not an ERC-7930 address of a supported chain with an account.",
    "PayloadTooLarge": "A payload of {size} bytes is too large.",
    "UnsupportedAttribute": "The gateway knows one attribute, expiry(uint64), and not {selector}.",
    "InvalidAttribute": "An expiry is given as the selector of expiry(uint64) and one word, a time in Unix seconds: {attribute} is not that.",
    "DuplicateAttribute": "The attribute {selector} is given twice: give it once.",
    "ExpiryPassed": "The expiry {expiry} (Unix seconds) is not in the future of this chain's clock: give a later one.",
    "SenderWithoutCode": "Only a contract can send a message with an expiry, since it is told when the message was not delivered; {sender} is none.",
    "ValueNotAccepted": "The gateway carries messages, not value: send none ({value} wei were sent).",
    # delivering
    "AlreadyDelivered": "This message was delivered before; it is taken once only.",
    "UnknownPeer": "The message comes from a gateway that this one does not trust (origin hash {originHash}).",
    "WrongDestination": "The message is for another chain or gateway, and is valid there only.",
    "Expired": "The message expired at {expiry} (Unix seconds).",
    "InvalidSignature": "The signature is not the committee's over exactly these bytes.",
    "UnknownEpoch": "The committee has no group key for epoch {epoch}.",
    "EpochNotBegun": "Committee epoch {epoch} begins at {validFrom} (Unix seconds): until then the epoch before it must sign.",
    "EpochEnded": "Committee epoch {epoch} ended at {validUntil} (Unix seconds): the current committee must sign.",
    "WrongRecipient": "The recipient {recipient} does not take messages of kind {kind}.",
    "RecipientReverted": "The recipient refused the message: {reason}.",
    "NotPending": "The request is not pending here (state {state}: 0 unknown, 2 answered, 3 refused, 4 refunded).",
    "WrongPolicy": "The request asks for another policy than this answer is given under (policy {policy}).",
    "ResultMismatch": "The result contradicts the request that it answers, in its {field}.",
    "ProofRequired": "Under policy BOTH the chain wants the ezkl proof beside the signature, and got the signature alone.",
    "SignedProven": "Under policy PROVEN an answer is taken by its proof alone, never by a signature.",
    "WrongProofLength": "A proof of this model has exactly {expected} bytes, this one has {actual}.",
    "InvalidProof": "The ezkl proof does not show these outputs for the request's inputs.",
    "InsufficientGas": "The transaction leaves {available} gas where the request's callback needs {required}: give it more gas.",
    "ReentrantDelivery": "A recipient tried to deliver messages from within its own delivery.",
    # governing
    "NotGuardian": "The account {caller} is neither the guardian nor the owner of the gateway, and only these may pause it.",
    "EpochNotNext": "The next committee epoch is {expected}, not {epoch}.",
    "EpochPending": "Committee epoch {epoch} begins at {validFrom} (Unix seconds): no further one is taken before.",
    "EpochBegun": "Committee epoch {epoch} has begun (at {validFrom}, Unix seconds), so it is too late for a veto: replace the key.",
    "EndNotEarlier": "The end of committee epoch {epoch} can be brought forward only, and {validUntil} is not before it.",
    "KeyVetoed": "Governance vetoed this group key, and it never comes back: the members must generate another one.",
    "NotByNewestEpoch": "A new group key is taken under the signature of the newest epoch, {newest}, and not of epoch {epoch}.",
    "InvalidMemberCount": "A committee cannot have {members} members.",
    "InvalidThreshold": "Of {members} members between {least} and all must sign, not {threshold}.",
    "OperatorTooHeavy": "Operator {operator} runs more than {most} members, and could stop the committee alone: give it fewer.",
    "InvalidGateway": "The committee's gateway was named before, or {gateway} does not take this committee's signatures.",
    "InvalidGroupKey": "This group key is not usable: its x must lie between 1 and the group's order.",
    "InvalidProofOfPossession": "The new group key did not sign its own registration.",
    "ModelExists": "Model {id} is registered already.",
    "InvalidModel": "A property of model {id} is out of its bounds, or its verifier has no code.",
}
"""Sentences by error name; `{…}` are the error's arguments as the ABI names them."""


def sentence(name: str, arguments: Mapping[str, str]) -> str | None:
    """The sentence for an error, or None when there is none. `arguments` are already readable text."""
    template = SENTENCES.get(name)
    return None if template is None else template.format_map(_Arguments(arguments))


class _Arguments(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"  # an ABI that renamed an argument must not hide the error itself; the test finds it
