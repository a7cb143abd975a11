"""Any order of rotations, replacements, vetoes, deliveries and time keeps the committee's books (PROTOCOL.md §3, §7): a message is taken exactly
when it is signed under the key of an epoch that has begun and not ended, epochs are consecutive, and at most one is pending."""

from dataclasses import dataclass
from dataclasses import replace as changed

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from solders.transaction_metadata import TransactionMetadata

from bridges.solana import instructions
from oracle.protocol.message import Message, Rotation
from oracle.protocol.types import CommitteeEpoch
from tests.support import solana_program as sp
from tests.support.schnorr import SchnorrKey

KEYS = [sp.committee_key(f"machine {number}") for number in range(4)]
OVERLAPS = (0, 60, 10_000)
STEPS = (1, 60, sp.ACTIVATION_DELAY, 10_000)


@dataclass(slots=True)
class Epoch:
    """What the model expects of one epoch."""

    key: SchnorrKey
    valid_from: int
    valid_until: int = 0

    def takes(self, now: int) -> bool:
        return self.valid_from <= now and (self.valid_until == 0 or now <= self.valid_until)


class RotationMachine(RuleBasedStateMachine):
    """One program against a list of epochs."""

    waiting = Bundle("waiting")

    @initialize()
    def begin(self) -> None:
        self.bench, self.now, self.sequence = sp.start(KEYS[0]), sp.NOW, 0
        self.epochs = [Epoch(KEYS[0], sp.NOW)]
        self.taken: set[bytes] = set()

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def signed(self, message: Message, epoch: int) -> bool:
        """Deliver under the key that the model has for this epoch; whether it was taken."""
        key = self.epochs[epoch - 1].key if epoch <= len(self.epochs) else KEYS[0]
        step = self.bench.delivery(message, self.bench.envelope(message, key=key, epoch=epoch))
        return isinstance(self.bench.run(step), TransactionMetadata)

    def due(self, epoch: int) -> bool:
        return epoch <= len(self.epochs) and self.epochs[epoch - 1].takes(self.now)

    @rule(epoch=st.integers(1, 5))
    def deliver(self, epoch: int) -> None:
        message = self.bench.inbound(sequence=self.next_sequence())
        assert self.signed(message, epoch) == self.due(epoch), self.bench.logs

    @rule(key=st.sampled_from(KEYS))
    def deliver_with_some_key(self, key: SchnorrKey) -> None:
        """Under the newest epoch's number: only its own key counts."""
        message, epoch = self.bench.inbound(sequence=self.next_sequence()), len(self.epochs)
        step = self.bench.delivery(message, self.bench.envelope(message, key=key, epoch=epoch))
        due = self.due(epoch) and key is self.epochs[-1].key
        assert isinstance(self.bench.run(step), TransactionMetadata) == due, self.bench.logs

    @rule(
        target=waiting,
        key=st.sampled_from(KEYS),
        skip=st.sampled_from([0, 0, 0, 1, -1]),
        overlap=st.sampled_from(OVERLAPS),
    )
    def bring(self, key: SchnorrKey, skip: int, overlap: int) -> tuple[Message, SchnorrKey, int]:
        """A rotation is delivered, under whichever epoch counts now."""
        epoch = max(2, len(self.epochs) + 1 + skip)
        rotation = self.bench.rotation(key, epoch=epoch, sequence=self.next_sequence(), overlap=overlap)
        under = next((number for number in range(len(self.epochs), 0, -1) if self.due(number)), None)
        if under is not None:
            assert self.signed(rotation, under), self.bench.logs
        else:
            self.taken.add(rotation.digest)  # never arrived
        return rotation, key, overlap

    def can_begin(self, epoch: int) -> bool:
        return epoch == len(self.epochs) + 1 and self.epochs[-1].valid_from <= self.now

    def begin_epoch(self, key: SchnorrKey, overlap: int) -> None:
        start = self.now + sp.ACTIVATION_DELAY
        self.epochs[-1].valid_until = start + overlap
        self.epochs.append(Epoch(key, start))

    @rule(one=waiting)
    def rotate(self, one: tuple[Message, SchnorrKey, int]) -> None:
        rotation, key, overlap = one
        epoch = Rotation.from_bytes(rotation.payload).epoch
        due = rotation.digest not in self.taken and self.can_begin(epoch)
        done = self.bench.run(self.bench.rotate(rotation))
        assert isinstance(done, TransactionMetadata) == due, self.bench.logs
        if due:
            self.taken.add(rotation.digest)
            self.begin_epoch(key, overlap)

    @rule(key=st.sampled_from(KEYS), skip=st.sampled_from([0, 0, 1]), overlap=st.sampled_from(OVERLAPS))
    def replace(self, key: SchnorrKey, skip: int, overlap: int) -> None:
        epoch = len(self.epochs) + 1 + skip
        authority = self.bench.authority
        step = instructions.set_committee(self.bench.at, authority.pubkey(), sp.group_key(key, epoch), overlap)
        done = self.bench.run(step, signers=(authority,))
        assert isinstance(done, TransactionMetadata) == self.can_begin(epoch), self.bench.logs
        if self.can_begin(epoch):
            self.begin_epoch(key, overlap)

    @rule(back=st.sampled_from([0, 0, 1]))
    def veto(self, back: int) -> None:
        epoch = max(2, len(self.epochs) - back)
        authority = self.bench.authority
        step = instructions.veto(self.bench.at, authority.pubkey(), CommitteeEpoch(epoch), self.bench.user.pubkey())
        due = epoch == len(self.epochs) and self.now < self.epochs[-1].valid_from
        done = self.bench.run(step, signers=(authority,))
        assert isinstance(done, TransactionMetadata) == due, self.bench.logs
        if due:
            self.epochs.pop()
            self.epochs[-1].valid_until = 0

    @rule(seconds=st.sampled_from(STEPS))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.bench.set_time(self.now)

    @invariant()
    def books_are_exact(self) -> None:
        if not hasattr(self, "epochs"):
            return
        assert self.bench.config().current_epoch == len(self.epochs)
        for number, epoch in enumerate(self.epochs, 1):
            found = self.bench.committee(number)
            assert found == changed(
                found,
                epoch=CommitteeEpoch(number),
                valid_from=epoch.valid_from,
                valid_until=epoch.valid_until,
                group_key_x=epoch.key.px.to_bytes(32),
            )
        assert not self.bench.exists(self.bench.at.committee(CommitteeEpoch(len(self.epochs) + 1)).address)
        assert sum(epoch.valid_from > self.now for epoch in self.epochs) <= 1


RotationMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestSolanaRotation = RotationMachine.TestCase
