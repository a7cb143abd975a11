"""Any order of deliveries, redemptions, sends, limits, pauses, queueing and time keeps the token program's books: what is outstanding is
what was minted less burnt, or what the vault holds, and each message counts once (invariants of TOKENS.md §4 and §6)."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from solders.keypair import Keypair
from solders.transaction_metadata import TransactionMetadata

from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import UNLIMITED, QueuedAccount, TokenAccount, token_amount
from tests.support import solana_program as sp
from tests.support import solana_tokens as support

DECIMALS = 11
SCALE = 100
START = 50_000
amounts = st.integers(1, 400)


@dataclass(slots=True)
class Books:
    """What the model expects of one token."""

    token: TokenAccount
    outstanding: int = 0
    paid: int = 0
    sent: int = 0
    paused: bool = False
    limits: ti.Limits = field(default_factory=ti.Limits)


class TokenMachine(RuleBasedStateMachine):
    """A wrapped and a native token against a model of their counters."""

    waiting = Bundle("waiting")
    queue = Bundle("queue")

    @initialize()
    def begin(self) -> None:
        self.tokens, self.now, self.recipient = support.start(), sp.NOW, Keypair().pubkey()
        wrapped, native = self.tokens.register_wrapped(), self.tokens.register_native(decimals=DECIMALS)
        self.tokens.give(self.tokens.user, native.mint, START * SCALE)
        self.tokens.give(self.tokens.user, wrapped.mint, 0, wrapped.token_program)
        self.books = [Books(wrapped), Books(native)]
        self.done: set[bytes] = set()

    def refresh(self, books: Books) -> TokenAccount:
        return self.tokens.token(self.tokens.address(books.token))

    @rule(target=waiting, which=st.integers(0, 1), amount=amounts, own=st.booleans())
    def deliver(self, which: int, amount: int, own: bool) -> tuple[int, int, bool, ti.Delivered]:
        recipient = self.tokens.user if own else self.recipient
        token = self.books[which].token
        return which, amount, own, self.tokens.deliver(self.tokens.transfer_in(token, recipient, amount))

    @rule(one=waiting)
    def redeem(self, one: tuple[int, int, bool, ti.Delivered]) -> None:
        which, amount, own, delivered = one
        books, digest = self.books[which], delivered.message.digest
        now = self.refresh(books)
        room = books.outstanding + amount <= books.limits.cap if which == 0 else amount <= books.outstanding
        due = digest not in self.done and not books.paused and room and amount <= now.inbound.available(self.now)
        recipient = self.tokens.user if own else self.recipient
        result = self.tokens.bench.run(self.tokens.redeem(books.token, delivered, recipient))
        assert isinstance(result, TransactionMetadata) == due, self.tokens.bench.logs
        if due:
            self.done.add(digest)
            self.pay(which, amount)

    @rule(target=queue, one=waiting)
    def enqueue(self, one: tuple[int, int, bool, ti.Delivered]) -> object:
        which, amount, _, delivered = one
        books, digest = self.books[which], delivered.message.digest
        over = amount > self.refresh(books).inbound.available(self.now)
        due = digest not in self.done and not books.paused and over
        step = ti.enqueue(self.tokens.at, self.tokens.user, books.token, delivered)
        assert isinstance(self.tokens.bench.run(step), TransactionMetadata) == due, self.tokens.bench.logs
        if not due:
            return multiple()
        self.done.add(digest)
        address = self.tokens.at.tokens.queued(digest).address
        return which, QueuedAccount.decode(self.tokens.bench.data(address), self.tokens.at.tokens.program)

    @rule(one=queue)
    def release(self, one: tuple[int, QueuedAccount]) -> None:
        which, queued = one
        books = self.books[which]
        room = (
            books.outstanding + queued.amount <= books.limits.cap if which == 0 else queued.amount <= books.outstanding
        )
        exists = self.tokens.bench.exists(self.tokens.at.tokens.queued(queued.digest).address)
        due = exists and not books.paused and room and self.now >= queued.releasable_at
        step = ti.release(self.tokens.at, self.tokens.user, books.token, queued, create=True)
        assert isinstance(self.tokens.bench.run(step), TransactionMetadata) == due, self.tokens.bench.logs
        if due:
            self.pay(which, queued.amount)

    @rule(which=st.integers(0, 1), amount=amounts, dust=st.integers(0, SCALE - 1))
    def send(self, which: int, amount: int, dust: int) -> None:
        books = self.books[which]
        units = amount * SCALE + dust if which else amount
        held = self.tokens.held(self.tokens.user, books.token)
        due = not books.paused and amount <= self.refresh(books).outbound.available(self.now)
        due = due and (amount * SCALE if which else amount) <= held
        due = due and (books.outstanding + amount <= books.limits.cap if which else True)
        result = self.tokens.bench.run(self.tokens.send(books.token, units))
        assert isinstance(result, TransactionMetadata) == due, self.tokens.bench.logs
        if due:
            books.outstanding += amount if which else -amount
            books.sent += amount

    @rule(which=st.integers(0, 1), capacity=st.integers(0, 500), refill=st.integers(0, 3), cap=st.integers(0, 3_000))
    def limit(self, which: int, capacity: int, refill: int, cap: int) -> None:
        limits = ti.Limits(capacity, refill, capacity, refill, cap or UNLIMITED)
        self.tokens.limit(self.books[which].token, limits)
        self.books[which].limits = limits

    @rule(which=st.integers(0, 1), paused=st.booleans())
    def pause(self, which: int, paused: bool) -> None:
        self.tokens.pause(self.books[which].token, paused=paused)
        self.books[which].paused = paused

    @rule(seconds=st.sampled_from([1, 60, support.QUEUE_DELAY]))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.tokens.bench.set_time(self.now)

    def pay(self, which: int, amount: int) -> None:
        self.books[which].outstanding += -amount if which else amount
        self.books[which].paid += amount

    @invariant()
    def books_are_exact(self) -> None:
        if not hasattr(self, "books"):
            return
        wrapped, native = self.books
        assert self.refresh(wrapped).outstanding == wrapped.outstanding == wrapped.paid - wrapped.sent
        assert self.tokens.supply(wrapped.token.mint) == wrapped.outstanding
        assert self.refresh(native).outstanding == native.outstanding == native.sent - native.paid
        vault = self.tokens.at.tokens.vault(native.token.mint).address
        assert token_amount(self.tokens.bench.data(vault)) == native.outstanding * SCALE
        people = (self.tokens.user, self.recipient)
        assert sum(self.tokens.held(who, wrapped.token) for who in people) == wrapped.outstanding
        assert sum(self.tokens.held(who, native.token) for who in people) == (START - native.outstanding) * SCALE


TokenMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestSolanaTokens = TokenMachine.TestCase
