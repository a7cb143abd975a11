"""What became of every message of a devnet, read from its chains and from nothing that a node says.

Guarantees: the posts are those of the chains as they are now (what a reorg took away was never posted); a request counts as settled when it was
answered or refused wherever it was to go, or its fee came back; a token transfer when it was delivered or returned. The verdicts compare counts
of events and accounts, answers with the model's own, and the token bridge's counters, vaults and balances with the sum of the posts.

It refunds what is past its deadline, as the requester would: a refund is the requester's act. It does not wait for nodes that lag behind.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from solders.keypair import Keypair

from bridges.evm.abi import account_of, address_of, interface
from bridges.evm.answers import Log
from bridges.evm.reader import EvmReader
from bridges.evm.submitter import EvmSubmitter
from bridges.solana.layout import InboxAccount, OutboxState
from bridges.solana.reader import SolanaReader
from bridges.solana.submitter import SolanaSubmitter
from circuits.prover import LocalProver
from oracle.app.asking import EVM, SOLANA, DevnetUser
from oracle.app.tokens import Token, TokenUser
from oracle.errors import SibylError
from oracle.ports import ChainReader, ChainSubmitter, Cursor, DeliveryState
from oracle.protocol import constants as c
from oracle.protocol.message import InferenceRequest, Message, non_delivery_message
from oracle.protocol.tokens import TokenTransfer
from oracle.protocol.types import Digest, Endpoint, Kind, Status

POLL_SECONDS = 0.5
GRACE_SECONDS = 20
"""After a deadline: chains' clocks differ a little, and what was sent before it may still be included."""
FINAL_SECONDS = 8.0
"""Longer than either chain of a devnet takes to make final what was sent."""
SAMPLE = 5
"""How many examples a verdict names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was checked."""

    what: str
    well: bool
    said: str


@dataclass(slots=True)
class Audit:
    """Of one devnet, through its user's connections."""

    user: DevnetUser
    tokens: TokenUser
    prover: LocalProver
    setting_up: frozenset[Digest]
    """Messages from before the storm that are no transfers (registrations of tokens)."""
    posts: dict[Digest, Message] = field(default_factory=dict)
    fates: dict[Digest, str] = field(default_factory=dict)
    refunds: int = 0
    redeemed: int = 0
    """Transfers that were delivered to Solana and waited there for anybody to take them to their recipient."""
    _news: dict[str, float] = field(default_factory=dict)
    _looked: dict[str, float] = field(default_factory=dict)
    _submitters: dict[Endpoint, ChainSubmitter] = field(default_factory=dict)
    _truths: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)

    # ---- what was posted ----

    async def follow(self) -> None:
        """Read final posts of both chains until cancelled. All along, since some accounts of Solana are closed once they have served."""
        readers: tuple[ChainReader, ...] = (
            EvmReader(self.user.evm_client, self.user.evm_endpoint.gateway),
            SolanaReader(self.user.solana_client, self.user.solana_endpoint.gateway),
        )
        async with asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(self._read(reader))

    async def _read(self, reader: ChainReader) -> None:
        cursor, key = Cursor(0), str(reader.origin.chain)
        while True:
            try:
                reading = await reader.read(cursor)
            except SibylError:
                await asyncio.sleep(POLL_SECONDS)  # it stands still, or is busy
                continue
            self.posts.update({message.digest: message for message in reading.messages})
            if reading.messages or key not in self._news:
                self._news[key] = time.monotonic()
            self._looked[key] = time.monotonic()
            cursor = reading.cursor
            await asyncio.sleep(POLL_SECONDS)

    async def caught_up(self, timeout: float) -> bool:
        """Whether both chains showed nothing new for long enough that whatever was sent before is final, within `timeout` seconds."""
        begun = time.monotonic()
        while time.monotonic() < begun + timeout:
            await asyncio.sleep(POLL_SECONDS)
            since = max([begun, *self._news.values()])
            if len(self._looked) == 2 and min(self._looked.values()) > since + FINAL_SECONDS:
                return True
        return False

    # ---- until all is settled ----

    async def settle(self, timeout: float) -> None:
        """Look, and refund what is due, until every post has a fate or `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for digest, message in self.posts.items():
                if digest not in self.fates:
                    try:
                        fate = await self._fate(message)
                    except SibylError:
                        fate = None  # a chain that is busy; the next look tells
                    if fate is not None:
                        self.fates[digest] = fate
            if len(self.fates) == len(self.posts):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _fate(self, message: Message) -> str | None:
        if message.kind is Kind.INFERENCE_REQUEST:
            return await self._request_fate(message)
        if await self._taken(message):
            return "delivered"
        if message.kind is Kind.MESSAGE and message.expiry and time.time() > message.expiry:
            return "returned" if await self._taken(non_delivery_message(message)) else None
        return None

    async def _taken(self, message: Message) -> bool:
        """Whether a message is delivered for good, and on Solana also redeemed (anyone may do that)."""
        if await self._submitter(message.destination).state(message) is not DeliveryState.FINAL:
            return False
        if message.destination == self.user.solana_endpoint and await self.tokens.solana.redeem(message) is not None:
            self.redeemed += 1
        return True

    def _submitter(self, destination: Endpoint) -> ChainSubmitter:
        """One a chain: what it saw first, and when, is how it tells that a delivery is final."""
        if destination not in self._submitters:
            user = self.user
            if destination == user.evm_endpoint:
                made: ChainSubmitter = EvmSubmitter(
                    user.evm_sender, destination.gateway, account_of(user.devnet.evm.hub)
                )
            else:
                payer = Keypair.from_bytes(bytes.fromhex(user.devnet.solana.user_key[2:]))
                made = SolanaSubmitter(user.solana_client, destination.gateway, payer)
            self._submitters[destination] = made
        return self._submitters[destination]

    async def _request_fate(self, request: Message) -> str | None:
        asked = InferenceRequest.from_bytes(request.payload)
        late = time.time() > request.expiry + GRACE_SECONDS
        home = await (self._home_evm(request, late) if self._from_evm(request) else self._home_solana(request, late))
        if home is None:
            return None
        for remote in asked.remotes:
            there = await self._results(request.digest, remote.destination)
            if not there and not late:
                return None
            home += "" if there else ", expired elsewhere"
        return home

    def _from_evm(self, message: Message) -> bool:
        return message.origin == self.user.evm_endpoint

    async def _home_evm(self, request: Message, late: bool) -> str | None:
        state = await self.user.evm.state(request.digest)
        if state == "pending" and late:
            await self.user.evm.refund(request.digest)
            self.refunds += 1
        return state if state in ("answered", "refused", "refunded") else None

    async def _home_solana(self, request: Message, late: bool) -> str | None:
        post = await self.user.solana.post(request.sequence)
        if post is None:
            return "refunded"
        if post.state is OutboxState.PENDING and late:
            await self.user.solana.refund(request.sequence)
            self.refunds += 1
        return {OutboxState.ANSWERED: "answered", OutboxState.REFUSED: "refused"}.get(post.state)

    async def _results(self, request_id: Digest, destination: Endpoint) -> bool:
        if destination == self.user.evm_endpoint:
            return await self.user.evm.answer(request_id) is not None
        return await self.user.solana.answer(request_id) is not None

    # ---- verdicts ----

    async def verdicts(self) -> list[Verdict]:
        """All that can be said once the messages have settled."""
        checks = [self._settled(), *await self._once_on_evm(), *await self._once_on_solana()]
        for token in await self.tokens.tokens():
            checks += await self._token(token)
        return checks

    def _settled(self) -> Verdict:
        open_ones = [digest.hex()[:16] for digest in self.posts if digest not in self.fates]
        counts = ", ".join(f"{count} {fate}" for fate, count in Counter(self.fates.values()).most_common())
        if open_ones:
            return Verdict("every message settled", False, f"{len(open_ones)} are not: {open_ones[:SAMPLE]}; {counts}")
        return Verdict("every message settled", True, f"{len(self.posts)} posts: {counts}")

    async def _once_on_evm(self) -> list[Verdict]:
        delivered = Counter(log.topics[1] for log in await self._logs("Gateway", "MessageDelivered"))
        doubled = [digest.hex()[:16] for digest, count in delivered.items() if count > 1]
        answered = [*await self._logs("OracleHub", "Answered"), *await self._logs("OracleHub", "Refused")]
        answers = Counter(log.topics[1] for log in answered)
        twice = [digest.hex()[:16] for digest, count in answers.items() if count > 1]
        unasked = [digest.hex()[:16] for digest in answers if digest not in self.posts]
        wrong = []
        for digest in answers:
            request = self.posts.get(Digest(digest))
            answer = await self.user.evm.answer(Digest(digest))
            if request is not None and (answer is None or not await self._true(request, answer.status, answer.outputs)):
                wrong.append(digest.hex()[:16])
        return [
            _verdict("EVM: nothing delivered twice", doubled, f"{len(delivered)} deliveries"),
            _verdict("EVM: no request answered twice", twice, f"{len(answers)} answers"),
            _verdict("EVM: no answer that nobody asked for", unasked, "each has its request"),
            _verdict("EVM: every answer is the model's", wrong, f"{len(answers)} compared"),
        ]

    async def _logs(self, contract: str, event: str) -> list[Log]:
        address = {"Gateway": self.user.devnet.evm.gateway, "OracleHub": self.user.devnet.evm.hub}[contract]
        checked = address_of(account_of(address))
        topic = "0x" + interface(contract).topic(event).hex()
        return await self.user.evm_client.logs(
            {"address": checked, "topics": [topic], "fromBlock": 0, "toBlock": "latest"}
        )

    async def _once_on_solana(self) -> list[Verdict]:
        program = self.user.solana.addresses.program
        matches = [(0, bytes([c.ACCOUNT_INBOX, c.ACCOUNT_LAYOUT_VERSION]))]
        found = await self.user.solana_client.find(program, matches, "confirmed")
        inboxes = [InboxAccount.decode(one.account, program) for one in found if not one.account.vacant]
        results = [(inbox.result, inbox) for inbox in inboxes]
        answers = Counter(result.request_id for result, _ in results if result is not None)
        twice = [digest.hex()[:16] for digest, count in answers.items() if count > 1]
        unasked = [digest.hex()[:16] for digest in answers if digest not in self.posts]
        invented = [
            inbox.digest.hex()[:16]
            for inbox in inboxes
            if inbox.message.kind is Kind.MESSAGE and inbox.digest not in self.posts
        ]
        wrong = []
        for result, _ in results:
            request = None if result is None else self.posts.get(Digest(result.request_id))
            if (
                result is not None
                and request is not None
                and not await self._true(request, result.status, result.outputs)
            ):
                wrong.append(result.request_id.hex()[:16])
        return [
            _verdict("Solana: no request answered twice", twice, f"{sum(answers.values())} answers"),
            _verdict("Solana: no answer that nobody asked for", unasked, "each has its request"),
            _verdict("Solana: nothing delivered that was not posted", invented, f"{len(inboxes)} deliveries"),
            _verdict("Solana: every answer is the model's", wrong, f"{sum(answers.values())} compared"),
        ]

    async def _true(self, request: Message, status: Status, outputs: tuple[int, ...]) -> bool:
        asked = InferenceRequest.from_bytes(request.payload)
        if asked.inputs not in self._truths:
            self._truths[asked.inputs] = (await self.prover.infer(asked.model_id, asked.inputs)).outputs
        return status is Status.ANSWERED and outputs == self._truths[asked.inputs]

    # ---- tokens ----

    async def _token(self, token: Token) -> list[Verdict]:
        """Counters, vault, supply and the user's balance against the posts; wire units."""
        evm, solana = await self.tokens.evm.status(token.token_id), await self.tokens.solana.status(token.mint)
        bridge = account_of(evm.token.bridge)
        home_is_evm = token.home == EVM
        sums: Counter[str] = Counter()
        for digest, message in self.posts.items():
            if message.kind is not Kind.MESSAGE or digest in self.setting_up:
                continue
            if bridge in (message.sender, message.recipient):
                transfer = TokenTransfer.from_bytes(
                    message.payload,
                    origin=message.origin.chain.chain_type,
                    destination=message.destination.chain.chain_type,
                )
                way = "out" if self._from_evm(message) == home_is_evm else "back"
                sums[f"{way} {self.fates.get(digest, 'open')}"] += transfer.amount
        # What left home and arrived is backed; what came back and arrived is not any more.
        expected = sums["out delivered"] - sums["back delivered"]
        ends = evm.outstanding, solana.token.outstanding
        locked, minted = ends if home_is_evm else ends[::-1]
        held = {one.bridge: one.held for one in await self.tokens.evm.holdings()}[bridge]
        solana_scale = 10 ** (token.solana_decimals - token.wire_decimals)
        vault, supply = (held, solana.held // solana_scale) if home_is_evm else (solana.held // solana_scale, held)
        wrapped_on = SOLANA if home_is_evm else EVM
        balance = await self.tokens.balance(token, wrapped_on) // 10 ** (
            token.decimals(wrapped_on) - token.wire_decimals
        )
        said = f"sent out {sums['out delivered']:,}, back {sums['back delivered']:,}, returned {sums['out returned'] + sums['back returned']:,}"
        rows = {
            "locked": locked,
            "minted": minted,
            "in the vault": vault,
            "supply": supply,
            "held by the user": balance,
        }
        wrong = [f"{name} {value:,}" for name, value in rows.items() if value != expected]
        return [
            _verdict(
                f"{token.symbol}: counters, vault, supply and balance equal the posts", wrong, f"{expected:,} ({said})"
            )
        ]


def _verdict(what: str, wrong: list[str], said: str) -> Verdict:
    if not wrong:
        return Verdict(what, True, said)
    return Verdict(what, False, f"{len(wrong)} wrong: {', '.join(wrong[:SAMPLE])}; expected {said}")
