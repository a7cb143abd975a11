"""What k of m endpoints make of disagreement, silence and slowness (oracle/node/agreement.py)."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.errors import ConfigError, Rejected, Transient
from oracle.node.agreement import MAX_UNCONFIRMED, AgreedLedger, AgreedReader, AgreedSubmitter, Endpoints
from oracle.ports import (
    ChainReader,
    ChainSubmitter,
    Cursor,
    DeliveryState,
    Reading,
    Receipt,
    Submission,
    TokenHolding,
    TokenLedger,
    TokenSide,
)
from oracle.protocol.message import Message
from oracle.protocol.types import Account, Endpoint, evm_account
from tests.support.samples import EVM, SOLANA, plain_message, seeded
from tests.support.samples import evm_request as request

BRIDGE, TOKEN = evm_account(seeded("bridge", 20)), Account(seeded("token"))


@dataclass
class View:
    """What one endpoint shows: a message a block, `None` for an empty one. A cursor is the next block."""

    blocks: list[Message | None] = field(default_factory=list)
    up: bool = True
    hangs: bool = False
    reads: int = 0

    @property
    def origin(self) -> Endpoint:
        return EVM

    async def read(self, cursor: Cursor) -> Reading:
        self.reads += 1
        if self.hangs:
            await asyncio.Event().wait()
        if not self.up:
            raise Transient("The endpoint in memory is down.")
        if cursor >= len(self.blocks):
            return Reading((), cursor)
        block = self.blocks[cursor]
        return Reading(() if block is None else (block,), Cursor(cursor + 1))


def of(views: list[View], needed: int = 2) -> tuple[AgreedReader, Endpoints[ChainReader]]:
    named: list[tuple[str, ChainReader]] = [(f"endpoint {number}", view) for number, view in enumerate(views)]
    endpoints = Endpoints.of(named, needed, "eip155:31337")
    endpoints.grace = 0.01
    return AgreedReader(endpoints), endpoints


START = Cursor(0)


async def drain(reader: AgreedReader, cursor: Cursor = START, steps: int = 12) -> tuple[list[Message], Cursor]:
    messages: list[Message] = []
    for _ in range(steps):
        reading = await reader.read(cursor)
        messages += reading.messages
        cursor = reading.cursor
    return messages, cursor


FIRST, SECOND, THIRD = (plain_message(sequence=number) for number in (1, 2, 3))
LIE = plain_message(sequence=2, payload=b"a lie")


async def test_reader__message_that_one_endpoint_alone_shows__is_not_shown_and_the_cursor_stays_before_it() -> None:
    liar = View([FIRST, LIE, None])
    reader, _ = of([liar, View([FIRST, None, None]), View([FIRST, None, None])])
    messages, cursor = await drain(reader)
    assert messages == [FIRST]
    assert cursor == 1, "a restart reads again what nobody confirmed"


async def test_reader__message_that_one_endpoint_hides__is_shown() -> None:
    reader, _ = of([View([None, None]), View([FIRST, SECOND]), View([FIRST, SECOND])])
    assert await drain(reader) == ([FIRST, SECOND], 2)


async def test_reader__two_messages_for_one_sequence__the_agreed_one_is_shown_and_the_other_endpoint_named() -> None:
    reader, endpoints = of([View([FIRST, LIE]), View([FIRST, SECOND]), View([FIRST, SECOND])])
    messages, cursor = await drain(reader)
    assert (messages, cursor) == ([FIRST, SECOND], 2)
    assert [one.contradictions for one in endpoints.health] == [1, 0, 0]
    assert "sequence 2" in endpoints.health[0].last_error


async def test_reader__lie_that_comes_after_the_truth_was_shown__is_noticed() -> None:
    late = View([FIRST])
    reader, endpoints = of([late, View([FIRST, SECOND]), View([FIRST, SECOND])])
    assert (await drain(reader))[0] == [FIRST, SECOND]
    late.blocks.append(LIE)
    assert (await drain(reader, Cursor(2)))[0] == []
    assert endpoints.health[0].contradictions == 1


async def test_reader__endpoint_that_lags__delays_nothing_and_its_confirmation_later_shows_nothing_twice() -> None:
    late = View()
    reader, _ = of([late, View([FIRST, SECOND, THIRD]), View([FIRST, SECOND, THIRD])])
    messages, cursor = await drain(reader)
    assert (messages, cursor) == ([FIRST, SECOND, THIRD], 3)
    late.blocks = [FIRST, SECOND, THIRD]
    assert await drain(reader, cursor) == ([], 3)


async def test_reader__endpoint_that_hangs__is_not_waited_for_and_counted() -> None:
    reader, endpoints = of([View(hangs=True), View([FIRST]), View([FIRST])])
    async with asyncio.timeout(10):
        assert (await drain(reader, steps=3))[0] == [FIRST]
    assert endpoints.health[0].slow == 3


async def test_reader__too_few_endpoints__is_transient_and_names_them_and_it_recovers() -> None:
    views = [View([FIRST]), View([FIRST], up=False), View([FIRST], up=False)]
    reader, endpoints = of(views)
    with pytest.raises(Transient, match=r"1 of 3 .*2 must agree.*endpoint 1: The endpoint in memory is down"):
        await reader.read(Cursor(0))
    views[1].up = True
    assert (await drain(reader))[0] == [FIRST], "with too few awake, those that rest are asked too"
    assert endpoints.health[1].failures == 1


async def test_reader__endpoint_that_fails__rests_and_is_asked_again_after_its_rest() -> None:
    broken = View([FIRST], up=False)
    reader, endpoints = of([broken, View([FIRST]), View([FIRST])])
    now = 100.0
    endpoints.clock = lambda: now
    await drain(reader)
    assert broken.reads == 1
    now += 5.0
    await drain(reader, Cursor(1))
    assert broken.reads == 2


async def test_reader__restart_before_a_confirmation__reads_it_again() -> None:
    views = [View([FIRST, SECOND]), View([FIRST, None]), View([FIRST])]
    reader, _ = of(views)
    messages, cursor = await drain(reader)
    assert (messages, cursor) == ([FIRST], 1)
    views[2].blocks.append(SECOND)
    again, _ = of(views)
    assert (await drain(again, cursor))[0] == [SECOND]


async def test_reader__endpoint_that_floods__is_not_read_beyond_a_bound() -> None:
    flood: list[Message | None] = [plain_message(sequence=number) for number in range(2, MAX_UNCONFIRMED + 40)]
    flooding = View(flood)
    reader, _ = of([flooding, View([FIRST]), View([FIRST])])
    messages, _ = await drain(reader, steps=MAX_UNCONFIRMED + 30)
    assert messages == [FIRST]
    assert flooding.reads == MAX_UNCONFIRMED


@pytest.mark.parametrize("needed", [0, 4])
def test_endpoints__quorum_that_cannot_be__is_a_config_error(needed: int) -> None:
    with pytest.raises(ConfigError, match="cannot agree"):
        of([View(), View(), View()], needed)


views_of_three = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=8)


@given(shown=views_of_three)
def test_reader__any_three_views__shows_exactly_what_two_show_in_order(shown: list[tuple[bool, ...]]) -> None:
    posts = [plain_message(sequence=number + 1) for number in range(len(shown))]
    views = [View([post if row[i] else None for post, row in zip(posts, shown, strict=True)]) for i in range(3)]
    reader, _ = of(views)
    messages, cursor = asyncio.run(drain(reader, steps=len(shown) + 2))
    assert messages == [post for post, row in zip(posts, shown, strict=True) if sum(row) >= 2]
    lonely = [number for number, row in enumerate(shown) if sum(row) == 1]
    assert cursor == (lonely[0] if lonely else len(shown))


# ---- deliveries ----


@dataclass
class Door:
    """A submitter that says what it is told to."""

    told: DeliveryState | None = DeliveryState.ABSENT
    gone: bool = False
    answer: Receipt | Exception | None = None
    sent: int = 0

    @property
    def destination(self) -> Endpoint:
        return SOLANA

    async def submit(self, submission: Submission) -> Receipt | None:
        self.sent += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def state(self, message: Message) -> DeliveryState:
        if self.told is None:
            raise Transient("down")
        return self.told

    async def lapsed(self, message: Message) -> bool:
        return self.gone


RECEIPT = Receipt("0x1", 1, 1)
ABSENT, INCLUDED, FINAL = DeliveryState


def doors(*them: Door) -> AgreedSubmitter:
    named: list[tuple[str, ChainSubmitter]] = [(str(number), door) for number, door in enumerate(them)]
    endpoints = Endpoints.of(named, 2, "solana")
    endpoints.grace = 0.01
    return AgreedSubmitter(endpoints)


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ((FINAL, ABSENT, ABSENT), ABSENT),
        ((FINAL, FINAL, ABSENT), FINAL),
        ((FINAL, INCLUDED, ABSENT), INCLUDED),
        ((FINAL, INCLUDED, INCLUDED), INCLUDED),
        ((ABSENT, ABSENT, INCLUDED), ABSENT),
    ],
)
async def test_submitter__states__the_furthest_that_two_vouch_for(
    told: tuple[DeliveryState, ...], believed: DeliveryState
) -> None:
    assert await doors(*(Door(one) for one in told)).state(request()) is believed


async def test_submitter__one_says_lapsed__is_not_believed_and_two_are() -> None:
    assert not await doors(Door(gone=True), Door(), Door()).lapsed(request())
    assert await doors(Door(gone=True), Door(), Door(gone=True)).lapsed(request())


async def test_submitter__first_endpoint_fails__goes_on_with_the_next() -> None:
    broken, good, spare = Door(answer=Transient("down")), Door(answer=RECEIPT), Door()
    assert await doors(broken, good, spare).submit(Submission(request())) == RECEIPT
    assert (broken.sent, good.sent, spare.sent) == (1, 1, 0)


async def test_submitter__one_refusal__is_not_believed_and_two_are() -> None:
    refusal = Rejected("No.", reason="No")
    assert await doors(Door(answer=refusal), Door(answer=RECEIPT), Door()).submit(Submission(request())) == RECEIPT
    third = Door(answer=RECEIPT)
    with pytest.raises(Rejected):
        await doors(Door(answer=refusal), Door(answer=refusal), third).submit(Submission(request()))
    assert third.sent == 0


async def test_submitter__delivered_already_by_the_word_of_two__sends_nothing() -> None:
    them = Door(INCLUDED), Door(INCLUDED), Door()
    assert await doors(*them).submit(Submission(request())) is None
    assert [door.sent for door in them] == [0, 0, 0]


async def test_submitter__too_few_endpoints__is_transient() -> None:
    with pytest.raises(Transient, match="2 must agree"):
        await doors(Door(), Door(None), Door(None)).state(request())


# ---- tokens ----


@dataclass
class Book:
    """A ledger in memory."""

    rows: tuple[TokenHolding, ...]

    async def holdings(self) -> tuple[TokenHolding, ...]:
        return self.rows


def books(*amounts: int, side: TokenSide) -> AgreedLedger:
    row = TokenHolding(BRIDGE, TOKEN, side, 9, 0, 0)
    named: list[tuple[str, TokenLedger]] = [
        (str(number), Book((replace(row, counter=amount, held=amount),))) for number, amount in enumerate(amounts)
    ]
    endpoints = Endpoints.of(named, 2, "solana")
    endpoints.grace = 0.01
    return AgreedLedger(endpoints)


@pytest.mark.parametrize(
    ("side", "told", "believed"),
    [
        (TokenSide.NATIVE, (100, 100, 10**9), 100),
        (TokenSide.NATIVE, (100, 100, 0), 100),
        (TokenSide.WRAPPED, (100, 100, 0), 100),
        (TokenSide.WRAPPED, (100, 100, 10**9), 100),
    ],
)
async def test_ledger__one_endpoint_lies__cannot_hide_or_invent_a_shortfall(
    side: TokenSide, told: tuple[int, ...], believed: int
) -> None:
    (holding,) = await books(*told, side=side).holdings()
    assert (holding.counter, holding.held) == (believed, believed)


async def test_ledger__token_that_one_endpoint_alone_knows__is_left_out() -> None:
    row = TokenHolding(BRIDGE, TOKEN, TokenSide.NATIVE, 9, 1, 1)
    named: list[tuple[str, TokenLedger]] = [("a", Book((row,))), ("b", Book(())), ("c", Book(()))]
    assert await AgreedLedger(Endpoints.of(named, 2, "solana")).holdings() == ()
