"""Dead letters: what a node gave up delivering, and what its operator decides about it. Pure.

A decision names the message, and applies to how often that was given up by then: one that comes too late, or twice, changes nothing else.
"""

from collections.abc import Iterator
from enum import Enum

from oracle.errors import ConfigError
from oracle.pipeline import Dropped, Millis, Pipeline, Retried
from oracle.protocol.types import Digest


class Verdict(Enum):
    """What an operator decides."""

    RETRY = "retry"
    DROP = "drop"


def described(pipeline: Pipeline) -> Iterator[dict[str, object]]:
    """Every dead letter as JSON, the one given up longest ago first. Times in milliseconds since 1970, bytes as 0x-hex."""
    for work in pipeline.dead():
        for letter in work.dead:
            message = work.deliverables[letter.digest]
            yield {
                "digest": "0x" + letter.digest.hex(),
                "request": "0x" + work.message.digest.hex(),
                "origin": str(message.origin.chain),
                "sequence": message.sequence,
                "destination": str(message.destination.chain),
                "kind": message.kind.name.lower(),
                "expiry": message.expiry,
                "given_up": letter.number,
                "at": letter.at,
                "reason": letter.reason,
            }


def dead_digests(pipeline: Pipeline) -> tuple[Digest, ...]:
    """The digests of all dead letters."""
    return tuple(letter.digest for work in pipeline.dead() for letter in work.dead)


def decide(pipeline: Pipeline, digest: Digest, verdict: Verdict, now: Millis) -> Retried | Dropped:
    """The event of a decision. Raises ConfigError when there is no such dead letter."""
    work = pipeline.owner(digest)
    letter = None if work is None else next((one for one in work.dead if one.digest == digest), None)
    if work is None or letter is None:
        raise ConfigError(
            f"There is no dead letter with digest 0x{digest.hex()}; `sibyl dead-letter list` names those there are."
        )
    kind = Retried if verdict is Verdict.RETRY else Dropped
    return kind(work.message.digest, digest, letter.number, now)
