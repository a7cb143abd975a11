"""Errors of the pure core.

`ProtocolError` says that a rule of the protocol was broken and, where it can be known, by whom. A message of an error is a sentence
that a person can act on.
"""


class ProtocolError(Exception):
    """A rule of the protocol was broken. `culprits` holds the committee identifiers that broke it, if known."""

    def __init__(self, message: str, *, culprits: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.culprits = culprits


class DecodeError(ProtocolError):
    """Bytes from outside are not what they claim to be. Nothing else is raised by a decoder, whatever the bytes."""


class EncodeError(ProtocolError):
    """Values that cannot be put on the wire: too long, out of range, or contradicting one another."""
