"""Any order of deliveries, redemptions with fees, sends, refunds of what expired, limits, pauses, queueing, emergency exits and time keeps the
token program's books: what is outstanding is what was minted less burnt, or what the vault holds, each message counts once, and each unit is
somebody's (invariants of TOKENS.md §4, §5 and §8)."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from solders.keypair import Keypair
from solders.transaction_metadata import TransactionMetadata

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import UNLIMITED, QueuedAccount, TokenAccount, associated, token_amount
from oracle.protocol import constants as c
from oracle.protocol.message import Message, non_delivery_message
from tests.support import solana_program as sp
from tests.support import solana_tokens as support

DECIMALS = 11
SCALE = 100
START = 50_000
BEGUN = 2_000
"""Wire units of each token that are across when a run begins."""
amounts = st.integers(1, 400)
capacities = st.one_of(st.just(UNLIMITED), st.integers(100, 1_000), st.integers(0, 100))
Waiting = tuple[int, int, int, bool, ti.Delivered]
Lapsed = tuple[int, int, ti.Lapsed]
PAUSE, PERIOD = c.TOKENS_EXIT_PAUSE, c.TOKENS_EXIT_PERIOD


@dataclass(slots=True)
class Books:
    """What the model expects of one token."""

    token: TokenAccount
    outstanding: int = 0
    paid: int = 0
    sent: int = 0
    refunded: int = 0
    exited: int = 0
    paused: bool = False
    paused_since: int = 0
    exit_begin: int = 0
    exit_left: int = 0
    limits: tg.Limits = field(default_factory=tg.Limits)


class TokenMachine(RuleBasedStateMachine):
    """A wrapped and a native token against a model of their counters."""

    waiting = Bundle("waiting")
    queue = Bundle("queue")
    posted = Bundle("posted")
    notices = Bundle("notices")

    @initialize()
    def begin(self) -> None:
        self.tokens, self.now, self.recipient = support.start(), sp.NOW, Keypair().pubkey()
        wrapped, native = self.tokens.register_wrapped(), self.tokens.register_native(decimals=DECIMALS)
        self.tokens.give(self.tokens.user, native.mint, START * SCALE)
        self.tokens.give(self.tokens.user, wrapped.mint, 0, wrapped.token_program)
        self.safe = Keypair().pubkey()
        self.tokens.give(self.safe, native.mint, 0)
        self.tokens.receive(wrapped, self.tokens.user, BEGUN)
        self.tokens.bench.accepted(self.tokens.send(native, BEGUN * SCALE))
        self.books = [Books(wrapped, BEGUN, paid=BEGUN), Books(native, BEGUN, sent=BEGUN)]
        self.safe_account = associated(self.safe, native.mint, native.token_program).address
        self.done: set[bytes] = set()
        self.refunds: set[bytes] = set()

    def refresh(self, books: Books) -> TokenAccount:
        return self.tokens.token(self.tokens.address(books.token))

    @rule(target=waiting, which=st.integers(0, 1), amount=amounts, own=st.booleans(), share=st.integers(0, 4))
    def deliver(self, which: int, amount: int, own: bool, share: int) -> Waiting:
        recipient = self.tokens.user if own else self.recipient
        token, fee = self.books[which].token, (amount - 1) * share // 4
        message = self.tokens.transfer_in(token, recipient, amount, fee)
        return which, amount, fee, own, self.tokens.deliver(message)

    def room(self, which: int, amount: int) -> bool:
        books = self.books[which]
        return amount <= books.outstanding if which else books.outstanding + amount <= books.limits.cap

    @rule(one=waiting, takes_fee=st.booleans())
    def redeem(self, one: Waiting, takes_fee: bool) -> None:
        which, amount, fee, own, delivered = one
        books, digest = self.books[which], delivered.message.digest
        now = self.refresh(books)
        due = digest not in self.done and not books.paused and self.room(which, amount)
        due = due and amount <= now.inbound.available(self.now)
        recipient = self.tokens.user if own else self.recipient
        account = associated(self.tokens.user, books.token.mint, books.token.token_program).address
        before = [self.tokens.held(who, books.token) for who in (self.tokens.user, recipient)]
        step = self.tokens.redeem(books.token, delivered, recipient, fee_account=account if takes_fee else None)
        assert isinstance(self.tokens.bench.run(step), TransactionMetadata) == due, self.tokens.bench.logs
        if due:
            self.done.add(digest)
            self.pay(which, amount)
            scale = SCALE if which else 1
            relayer, rest = (fee, amount - fee) if takes_fee and not own else (0, amount)
            after = [self.tokens.held(who, books.token) for who in (self.tokens.user, recipient)]
            assert after[1] - before[1] == rest * scale
            if not own:
                assert after[0] - before[0] == relayer * scale

    @rule(target=queue, one=waiting)
    def enqueue(self, one: Waiting) -> object:
        which, amount, _, _, delivered = one
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
        room = self.room(which, queued.amount)
        exists = self.tokens.bench.exists(self.tokens.at.tokens.queued(queued.digest).address)
        due = exists and not books.paused and room and self.now >= queued.releasable_at
        step = ti.release(self.tokens.at, self.tokens.user, books.token, queued, create=True)
        assert isinstance(self.tokens.bench.run(step), TransactionMetadata) == due, self.tokens.bench.logs
        if due and queued.digest in self.refunds:
            self.give_back(which, queued.amount)
        elif due:
            self.pay(which, queued.amount)

    @rule(target=notices, one=posted)
    def lapse(self, one: tuple[int, int, Message]) -> object:
        """The committee's word that a transfer was not delivered; it is taken once."""
        which, amount, message = one
        notice = non_delivery_message(message)
        due = notice.digest not in self.refunds
        done = self.tokens.bench.run(self.tokens.bench.delivery(notice))
        assert isinstance(done, TransactionMetadata) == due, self.tokens.bench.logs
        if not due:
            return multiple()
        self.refunds.add(notice.digest)
        return which, amount, ti.Lapsed(notice, self.tokens.user, sp.EVM, message.expiry)

    @rule(one=notices, wrong=st.booleans())
    def refund(self, one: Lapsed, wrong: bool) -> None:
        which, amount, lapsed = one
        books, digest = self.books[which], lapsed.notice.digest
        due = digest not in self.done and not books.paused and self.room(which, amount) and not wrong
        due = due and amount <= self.refresh(books).inbound.available(self.now)
        token = self.books[1 - which].token if wrong else books.token
        done = self.tokens.bench.run(self.tokens.refund(token, lapsed, create=False))
        assert isinstance(done, TransactionMetadata) == due, self.tokens.bench.logs
        if due:
            self.done.add(digest)
            self.give_back(which, amount)

    @rule(target=queue, one=notices)
    def enqueue_refund(self, one: Lapsed) -> object:
        which, amount, lapsed = one
        books, digest = self.books[which], lapsed.notice.digest
        due = digest not in self.done and not books.paused
        due = due and amount > self.refresh(books).inbound.available(self.now)
        step = ti.enqueue_refund(self.tokens.at, self.tokens.user, books.token, lapsed)
        assert isinstance(self.tokens.bench.run(step), TransactionMetadata) == due, self.tokens.bench.logs
        if not due:
            return multiple()
        self.done.add(digest)
        address = self.tokens.at.tokens.queued(digest).address
        return which, QueuedAccount.decode(self.tokens.bench.data(address), self.tokens.at.tokens.program)

    @rule(
        target=posted, which=st.integers(0, 1), amount=amounts, dust=st.integers(0, SCALE - 1), fee=st.integers(0, 40)
    )
    def send(self, which: int, amount: int, dust: int, fee: int) -> object:
        books = self.books[which]
        units = amount * SCALE + dust if which else amount
        held = self.tokens.held(self.tokens.user, books.token)
        due = not books.paused and amount <= self.refresh(books).outbound.available(self.now)
        due = due and (amount * SCALE if which else amount) <= held
        due = due and (books.outstanding + amount <= books.limits.cap if which else True) and fee < amount
        sequence = self.tokens.bench.next_sequence()
        result = self.tokens.bench.run(self.tokens.send(books.token, units, fee=fee))
        assert isinstance(result, TransactionMetadata) == due, self.tokens.bench.logs
        if not due:
            return multiple()
        books.outstanding += amount if which else -amount
        books.sent += amount
        return which, amount, self.tokens.posted(sequence)

    @rule(which=st.integers(0, 1), capacity=capacities, refill=st.integers(0, 3), cap=st.integers(0, 3_000))
    def limit(self, which: int, capacity: int, refill: int, cap: int) -> None:
        limits = tg.Limits(capacity, refill, capacity, refill, cap or UNLIMITED)
        self.tokens.limit(self.books[which].token, limits)
        self.books[which].limits = limits

    @rule(which=st.integers(0, 1), paused=st.sampled_from([False, True, False]))
    def pause(self, which: int, paused: bool) -> None:
        books = self.books[which]
        self.tokens.pause(books.token, paused=paused)
        if not paused:
            books.paused_since = books.exit_begin = books.exit_left = 0
        elif not books.paused:
            books.paused_since = self.now
        books.paused = paused

    @rule(amount=st.integers(0, 250), patient=st.booleans(), resume=st.sampled_from([True, True, False]))
    def exit(self, amount: int, patient: bool, resume: bool) -> None:
        books = self.books[1]
        if patient:
            self.pause(1, True)
            self.wait(PAUSE)
        begun = books.exit_begin != 0 and self.now < books.exit_begin + PERIOD
        left = books.exit_left if begun else books.outstanding // c.TOKENS_EXIT_SHARE
        due = books.paused and self.now >= books.paused_since + PAUSE and 0 < amount <= left
        act = tg.emergency_exit(self.tokens.address(books.token), amount, self.safe_account)
        steps = (tg.schedule(self.tokens.at, self.tokens.governance, act), self.tokens.act(act, books.token))
        done = self.tokens.bench.run(*steps, signers=(self.tokens.bench.authority,))
        assert isinstance(done, TransactionMetadata) == due, self.tokens.bench.logs
        if due:
            if not begun:
                books.exit_begin = self.now
            books.exit_left = left - amount
            books.outstanding -= amount
            books.exited += amount
        if resume:
            self.pause(1, False)

    @rule(seconds=st.sampled_from([1, 60, support.QUEUE_DELAY, PERIOD, PAUSE]))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.tokens.bench.set_time(self.now)

    def pay(self, which: int, amount: int) -> None:
        self.books[which].outstanding += -amount if which else amount
        self.books[which].paid += amount

    def give_back(self, which: int, amount: int) -> None:
        self.books[which].outstanding += -amount if which else amount
        self.books[which].refunded += amount

    @invariant()
    def books_are_exact(self) -> None:
        if not hasattr(self, "books"):
            return
        wrapped, native = self.books
        assert self.refresh(wrapped).outstanding == wrapped.outstanding
        assert wrapped.outstanding == wrapped.paid + wrapped.refunded - wrapped.sent
        assert self.tokens.supply(wrapped.token.mint) == wrapped.outstanding
        assert self.refresh(native).outstanding == native.outstanding
        assert native.outstanding == native.sent - native.paid - native.refunded - native.exited
        vault = self.tokens.at.tokens.vault(native.token.mint).address
        assert token_amount(self.tokens.bench.data(vault)) == native.outstanding * SCALE
        people = (self.tokens.user, self.recipient)
        assert sum(self.tokens.held(who, wrapped.token) for who in people) == wrapped.outstanding
        everybody = (*people, self.safe)
        assert sum(self.tokens.held(who, native.token) for who in everybody) == (START - native.outstanding) * SCALE
        assert self.tokens.held(self.safe, native.token) == native.exited * SCALE


TokenMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=50, deadline=None)
TestSolanaTokens = TokenMachine.TestCase
