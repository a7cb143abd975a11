"""What all ceremonies have in common: one member's side of a session of signed broadcasts, phase by phase. Pure.

Guarantees: a message counts only if its sender signed it for this session; each member has one word a phase (a repeated one changes
nothing, a different one is evidence); words that an ECHO or CERTIFICATE quotes must be those that arrived here, or somebody is named.
A fault ends the session and wipes its secrets; a message out of turn raises IllegalTransition and nothing happens.
Does not know what the phases are for: see `dkg` and `reshare`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from bridges.frost.dkg_checks import Kind, Rules, checked, convicted, evidence, judged
from bridges.frost.dkg_messages import (
    SESSION_BYTES,
    DkgEquivocation,
    DkgFault,
    Entry,
    Head,
    MalformedStatement,
    NotSigned,
    Phase,
    Quotes,
    Signed,
    Statement,
    UnusableGroupKey,
    opened,
)
from bridges.frost.errors import DecodeError, IllegalTransition, KeyMaterialError
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare

Sign = Callable[[bytes], bytes]
"""Signs with this member's identity key (ed25519)."""


class Conversation(ABC):
    """One member's part in one session. Give `receive` what others sent, and send them what `message` returns."""

    def __init__(self, rules: Rules, who: Identifier, session: bytes, sign: Sign, phases: Sequence[Phase]) -> None:
        """Raises KeyMaterialError for a stranger. Use it once: a session id never comes again."""
        if who not in rules.assembly.participants or len(session) != SESSION_BYTES:
            raise KeyMaterialError(f"Participant {who} is not a member of this committee, or the session id is wrong.")
        self._rules, self._assembly = rules, rules.assembly
        self._who, self._session, self._sign = who, session, sign
        self._phases = tuple(phases)
        self._collecting: Phase | None = self._phases[0]
        self._own: dict[tuple[Phase, Identifier | None], Signed] = {}
        self._heard: dict[Phase, dict[Identifier, Signed]] = {phase: {} for phase in self._phases}
        self._views: dict[Phase, Quotes] = {}

    # ---- what a ceremony adds

    @abstractmethod
    def speakers(self, phase: Phase) -> tuple[Identifier, ...]:
        """Whose message of a phase this member needs, its own included if it is a broadcast."""

    @abstractmethod
    def _take(self, message: Signed, body: Statement) -> None:
        """Judge a body against what was said before, and keep it. Raises DkgFault."""

    @abstractmethod
    def _conclude_phase(self, phase: Phase) -> None:
        """All messages of `phase` are here: the next step."""

    @property
    @abstractmethod
    def provisional(self) -> KeyShare | None:
        """The share to keep aside before `certify`; None at any other time."""

    @abstractmethod
    def certify(self) -> None:
        """Sign the result. Call it when `provisional` has been kept where a crash does not lose it. Raises IllegalTransition."""

    @abstractmethod
    def abandon(self) -> None:
        """End it and wipe all secrets, the certified share excepted. May be called twice."""

    # ---- what the shell sees

    @property
    def session(self) -> bytes:
        """The session's id."""
        return self._session

    @property
    def collecting(self) -> Phase | None:
        """The phase whose messages are awaited; None when it is over, well or not."""
        return self._collecting

    @property
    def waiting_for(self) -> tuple[Identifier, ...]:
        """Whose message of that phase has not come, ascending."""
        if self._collecting is None:
            return ()
        heard = self._heard[self._collecting]
        return tuple(who for who in self.speakers(self._collecting) if who not in heard and who != self._who)

    def message(self, phase: Phase, recipient: Identifier) -> bytes | None:
        """This member's message of a phase for `recipient`; None if it has not been made yet."""
        signed = self._own.get((phase, recipient if phase is Phase.SHARE else None))
        return signed.to_bytes() if signed is not None else None

    def receive(self, sender: Identifier, data: bytes) -> None:
        """Take a message that the channel says is `sender`'s.

        Raises DkgFault (the session is over), UnusableGroupKey (over, start another), and IllegalTransition for a message that is not
        due (nothing happened). A repeated message changes nothing.
        """
        try:
            self._receive(sender, data)
        except (DkgFault, UnusableGroupKey):
            self.abandon()
            raise

    def receive_evidence(self, sender: Identifier, data: bytes) -> None:
        """Take what `sender` offers as evidence. Always raises DkgFault: against the culprit, or against `sender` if it is void."""
        self.abandon()
        try:
            verdict = judged(self._rules, data)
        except DecodeError as error:
            raise DkgFault(f"Member {sender} accused another without evidence: {error}", (sender,)) from None
        if verdict.session != self._session:
            raise DkgFault(f"Member {sender} brought evidence from another session.", (sender,))
        raise convicted(verdict, data)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._who}, {self._session.hex()[:8]}, <secrets redacted>)"

    # ---- messages

    def _say(self, phase: Phase, body: bytes, recipient: Identifier | None = None) -> None:
        message = self._signed(phase, body)
        self._own[phase, recipient] = message
        if recipient is None:
            # Our own words go the way of everybody's.
            self._receive(self._who, message.to_bytes())

    def _signed(self, phase: Phase, body: bytes) -> Signed:
        head = Head(phase, self._who, self._session)
        unsigned = Signed(head, b"", body)
        return Signed(head, self._sign(head.preimage(self._assembly.context, unsigned.digest)), body)

    def _view(self, phase: Phase) -> Quotes:
        """What all members said in a phase that is over."""
        if phase not in self._views:
            heard = self._heard[phase]
            entries = (Entry(heard[i].digest, heard[i].signature) for i in self._assembly.participants)
            self._views[phase] = Quotes(tuple(entries))
        return self._views[phase]

    def _receive(self, sender: Identifier, data: bytes) -> None:
        message = self._authentic(sender, data)
        phase = message.head.phase
        if phase not in self._heard:
            raise IllegalTransition(f"A session takes no {phase.name} message.")
        if sender not in self.speakers(phase):
            raise IllegalTransition(f"Member {sender} has no word at {phase.name}.")
        known = self._heard[phase].get(sender)
        if known is not None:
            self._require_same(known, message)
            return
        if phase is not self._collecting:
            state = self._collecting.name if self._collecting else "over"
            raise IllegalTransition(f"The session is at {state} and takes no {phase.name} message.")
        self._take(message, checked(self._rules, message))
        self._heard[phase][sender] = message
        self._advance_if_complete(phase)

    def _advance_if_complete(self, phase: Phase) -> None:
        own_is_due = phase is not Phase.SHARE and self._who in self.speakers(phase)
        if self.waiting_for or (own_is_due and self._who not in self._heard[phase]):
            return
        following = self._phases[self._phases.index(phase) + 1 :]
        self._collecting = following[0] if following else None
        self._conclude_phase(phase)

    def _authentic(self, sender: Identifier, data: bytes) -> Signed:
        try:
            message = opened(self._assembly, data)
        except DecodeError as error:
            raise NotSigned(f"Member {sender} sent what nobody signed: {error}", (sender,)) from None
        if message.head.sender != sender:
            raise NotSigned(f"Member {sender} sent a message of member {message.head.sender}.", (sender,))
        if message.head.session != self._session:
            raise NotSigned(f"Member {sender} sent a message of another session.", (sender,))
        return message

    def _require_same(self, known: Signed, message: Signed) -> None:
        if known.digest == message.digest:
            return
        who, phase = message.head.sender, message.head.phase
        proof = b""
        if phase is not Phase.SHARE:
            quotes = (one.digest + one.signature for one in (known, message))
            proof = evidence(Kind.EQUIVOCATION, message.head.to_bytes(), *quotes)
        raise DkgEquivocation(f"Member {who} signed two different {phase.name} messages.", (who,), proof)

    def _require_one_view(self, message: Signed, quotes: Quotes) -> None:
        phase = Phase.COMMIT if message.head.phase is Phase.ECHO else Phase.READY
        ours = self._view(phase)
        if quotes.digests == ours.digests:
            return
        for whom, entry, known in zip(self._assembly.participants, quotes.entries, ours.entries, strict=True):
            if entry.digest == known.digest:
                continue
            head = Head(phase, whom, self._session)
            if self._assembly.signed_by(head, entry.digest, entry.signature):
                pair = (known.digest + known.signature, entry.digest + entry.signature)
                proof = evidence(Kind.EQUIVOCATION, head.to_bytes(), *pair)
                text = f"Member {whom} said one thing here and another to member {message.head.sender}."
                raise DkgEquivocation(text, (whom,), proof)
            text = f"Member {message.head.sender} quoted member {whom} with words that are not {whom}'s."
            raise MalformedStatement(text, (message.head.sender,), evidence(Kind.MALFORMED, message.to_bytes()))
