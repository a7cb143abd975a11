"""What users, guardians and governance do with the token program: register, transfer, redeem, release, pause, limit (TOKENS.md §5).

Guarantees: a registration or transfer is posted at most once for each call, also when the endpoint loses an answer; after `Transient` it may
or may not have been posted, so look before you do it again. What the program refuses is `Rejected` with the program's own name and a
sentence. It does not wait for the other chain.
"""

import asyncio
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import Final

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.client import SolanaClient
from bridges.solana.clock import ClusterClock
from bridges.solana.instructions import NEVER
from bridges.solana.requester import POST_ATTEMPTS, WRONG_SEQUENCE, AskReceipt, SolanaRequester
from bridges.solana.tokens_layout import (
    BridgeAccount,
    QueuedAccount,
    ScheduledAccount,
    TokenAccount,
    TokenKind,
    associated,
    mint_supply,
    token_amount,
)
from bridges.solana.tokens_redeemer import OVER_LIMIT, TokenLookup, TokenRedeemer
from bridges.solana.transactions import SendPolicy, Sent, TransactionSender
from oracle.errors import ConfigError, Rejected, Transient
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message
from oracle.protocol.tokens import TokenTransfer
from oracle.protocol.types import Account, ChainType, Digest, Endpoint, Sequence, UnixSeconds

GOVERNANCE_POLL: Final = 0.2


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """One token now. `held`: the vault's balance (native) or the mint's supply (wrapped), in smallest units of the mint; the buckets'
    room in wire units."""

    token: TokenAccount
    paused: bool
    held: int
    outbound_available: int
    inbound_available: int


class SolanaTokens:
    """Speaks to the token program `tokens` beside the Sibyl program `sibyl` (32 bytes each) for one key, which pays and signs."""

    def __init__(
        self, client: SolanaClient, sibyl: Account, tokens: Account, key: Keypair, policy: SendPolicy | None = None
    ) -> None:
        self.lookup = TokenLookup(client, sibyl, tokens)
        self.at = self.lookup.at
        self.key = key.pubkey()
        self._sibyl = SolanaRequester(client, sibyl, key, policy)
        self._sender = TransactionSender(client, key, policy)
        self._redeemer = TokenRedeemer(self.lookup, self.key)
        self._clock = ClusterClock(client)
        self._posting = asyncio.Lock()

    # ---- governance ----

    async def initialise(self, link: ti.Link, settings: ti.Settings) -> Sent | None:
        """Link the program to an EVM factory (as its upgrade authority); None when it was linked so before.

        Raises ConfigError when it was linked otherwise.
        """
        if await self.lookup.account(self.at.authority) is None:
            return await self._send(ti.initialise(self.at, self.key, link, settings))
        found = await self.lookup.bridge()
        same = ti.Link(found.origin, found.factory, found.native_init_code_hash, found.wrapped_init_code_hash)
        chosen = ti.Settings(found.guardian, found.queue_delay, found.governance_delay)
        if (same, chosen, found.sibyl) != (link, settings, self.at.sibyl.program):
            raise ConfigError(f"The token program {self.at.tokens.program} was initialised with other settings.")
        return None

    async def pause(self, mint: Pubkey | None = None) -> Sent:
        """Stop everything or one token (guardian or authority)."""
        token = None if mint is None else await self._address(mint)
        return await self._send(tg.pause(self.at, self.key, token))

    async def unpausing(self, mint: Pubkey | None = None) -> tg.Act:
        """The act that ends a pause of everything or of one token."""
        return tg.unpause(None if mint is None else await self._address(mint))

    async def limiting(self, mint: Pubkey, limits: tg.Limits) -> tg.Act:
        """The act that sets buckets and cap of one token."""
        return tg.set_limits(await self._address(mint), limits)

    async def exiting(self, mint: Pubkey, amount: int, destination: Pubkey) -> tg.Act:
        """The act that takes `amount` wire units out of a paused native token's vault to the token account `destination`."""
        return tg.emergency_exit(await self._address(mint), amount, destination)

    async def announce(self, act: tg.Act) -> Sent | None:
        """Announce an act of governance (authority); None when it is announced already."""
        if await self.announced(act) is not None:
            return None
        return await self._send(tg.schedule(self.at, self.key, act))

    async def announced(self, act: tg.Act) -> ScheduledAccount | None:
        """The announcement of an act, which says from when it may be carried out."""
        found = await self.lookup.account(self.at.tokens.scheduled(act.operation).address)
        try:
            return None if found is None else ScheduledAccount.decode(found, self.at.tokens.program)
        except DecodeError as error:
            raise Transient(f"The Solana RPC endpoint contradicts the token program. {error}") from error

    async def cancel(self, act: tg.Act) -> Sent | None:
        """Take an announcement back (authority or guardian); None when there is none."""
        found = await self.announced(act)
        return None if found is None else await self._send(tg.cancel(self.at, self.key, act, found.payer))

    async def carry_out(self, act: tg.Act) -> Sent:
        """Do what was announced, once its delay has passed (authority). Raises Rejected before that."""
        found = await self.announced(act)
        if found is None:
            raise Rejected("This act was not announced, or was carried out or cancelled.", reason="NotAnnounced")
        token = None
        if act.destination is not None and act.token is not None:
            account = await self.lookup.account(act.token)
            token = None if account is None else TokenAccount.decode(account, self.at.tokens.program)
        return await self._send(tg.carry_out(self.at, self.key, act, found.payer, token))

    async def govern(self, act: tg.Act) -> Sent:
        """Announce an act unless it is announced, wait for its delay by the cluster's clock, and carry it out. For short delays."""
        await self.announce(act)
        while True:
            found = await self.announced(act)
            if found is None or (await self._clock.read()).time >= found.ready_at:
                return await self.carry_out(act)
            await asyncio.sleep(GOVERNANCE_POLL)

    # ---- users ----

    async def register(self, mint: Pubkey) -> AskReceipt:
        """Register a mint of this chain, or send its registration again; the message is the receipt's `body`."""
        found = await self.lookup.account(mint)
        if found is None:
            raise Rejected(f"There is no mint {mint}.", reason="WrongMint")
        origin = (await self.lookup.bridge()).origin
        return await self._post(
            lambda sequence: ti.register_token(self.at, self.key, mint, found.owner, sequence, origin)
        )

    async def transfer(
        self,
        mint: Pubkey,
        recipient: InteropAddress,
        amount: int,
        *,
        expiry: UnixSeconds = NEVER,
        fee: int = 0,
    ) -> AskReceipt:
        """Send `amount` smallest units of the key's tokens to an EVM address; what is below one wire unit stays.

        What is not delivered by `expiry` (Unix seconds of the EVM chain; none: a day ahead) comes back. `fee` (wire units, less than the
        amount) is the part of it that pays whoever delivers. The message is the receipt's `body`.
        """
        token, origin, sending = await self._sending(mint, recipient)
        one = replace(sending, amount=amount, expiry=expiry, fee=fee)
        return await self._post(lambda sequence: ti.send_tokens(self.at, token, one, sequence, origin))

    async def transfer_several(self, mint: Pubkey, recipient: InteropAddress, amounts: Seq[int]) -> Sent:
        """Send several amounts to one recipient in one transaction, each as a transfer of its own: all of them, or none.

        Raises Rejected (TransactionTooLarge) for more than fit in it.
        """
        token, origin, sending = await self._sending(mint, recipient)
        parts = [replace(sending, amount=amount) for amount in amounts]
        _, sent = await self._posted(
            lambda first: [
                ti.send_tokens(self.at, token, one, sequence, origin) for sequence, one in enumerate(parts, first)
            ]
        )
        return sent

    async def _sending(self, mint: Pubkey, recipient: InteropAddress) -> tuple[TokenAccount, Endpoint, ti.Sending]:
        token, origin = await self._token(mint), (await self.lookup.bridge()).origin
        if recipient.chain != origin.chain:
            raise Rejected(
                f"This bridge goes to {origin.chain}, the recipient is on {recipient.chain}.", reason="UnknownPeer"
            )
        source = associated(self.key, mint, token.token_program).address
        return token, origin, ti.Sending(self.key, source, recipient.account, 0)

    async def wrap(self, lamports: int) -> Sent:
        """Turn lamports of the key into wrapped SOL in its associated account."""
        return await self._send(*ti.wrap_instructions(self.key, lamports))

    async def unwrap(self) -> Sent:
        """Turn all wrapped SOL of the key back into lamports."""
        return await self._send(ti.unwrap_instruction(self.key))

    # ---- deliveries ----

    async def redeem_instruction(self, message: Message, inbox_payer: Pubkey | None = None) -> Instruction | None:
        """What takes a message to the bridge authority (also the word that a transfer was not delivered), to be put behind its `deliver`, whose
        payer is this key unless given."""
        return await self._redeemer.redeem_instruction(message, inbox_payer)

    async def redeem(self, message: Message) -> Sent | None:
        """Take a delivered message that still waits (a transfer, a registration, or the refund of a transfer), or queue it when it is over the
        limit; None when it does not wait (any more)."""
        payer = await self._redeemer.inbox_payer(message)
        step = None if payer is None else await self._redeemer.redeem_instruction(message, payer)
        if step is None:
            return None
        try:
            return await self._send(step)
        except Rejected as error:
            queue = await self._redeemer.enqueue_instruction(message, payer) if error.reason == OVER_LIMIT else None
            if queue is None:
                raise
        return await self._send(queue)

    async def queued(self, digest: Digest) -> QueuedAccount | None:
        """A queued transfer."""
        found = await self.lookup.account(self.at.tokens.queued(digest).address)
        try:
            return None if found is None else QueuedAccount.decode(found, self.at.tokens.program)
        except DecodeError as error:
            raise Transient(f"The Solana RPC endpoint contradicts the token program. {error}") from error

    async def release(self, digest: Digest) -> Sent:
        """Pay a queued transfer out after its delay. Anyone may."""
        queued = await self.queued(digest)
        found = None if queued is None else await self.lookup.account(queued.token)
        if queued is None or found is None:
            raise Rejected("There is no such queued transfer, or it was released already.", reason="WrongOwner")
        token = TokenAccount.decode(found, self.at.tokens.program)
        target = associated(queued.recipient, token.mint, token.token_program).address
        create = await self.lookup.account(target) is None
        return await self._send(ti.release(self.at, self.key, token, queued, create=create))

    async def close_sent(self, sequence: Sequence) -> Sent:
        """Long after a transfer's expiry: the rent of its outbox account to its sender. Anyone may."""
        post = await self._sibyl.post(sequence)
        if post is None:
            raise Rejected(f"There is no post of sequence {sequence} (any more).", reason="WrongOwner")
        try:
            sent = TokenTransfer.from_bytes(
                post.message.payload,
                origin=ChainType.SOLANA,
                destination=post.message.destination.chain.chain_type,
            )
        except DecodeError as error:
            raise Rejected(
                f"The post of sequence {sequence} is no transfer: {error}", reason="InvalidTransfer"
            ) from error
        return await self._send(ti.close_sent(self.at, sequence, Pubkey(sent.sender.account)))

    async def status(self, mint: Pubkey) -> TokenStatus:
        """Limits left, what is held and whether it moves, for one token."""
        token, bridge = await self._token(mint), await self.lookup.bridge()
        native = token.kind is TokenKind.NATIVE
        holder = await self.lookup.account(self.at.tokens.vault(mint).address if native else mint)
        if holder is None:
            raise Transient("The Solana RPC endpoint shows no vault or mint. Use another endpoint.")
        held = token_amount(holder) if native else mint_supply(holder)
        now = (await self._clock.read()).time
        return TokenStatus(
            token,
            bridge.paused or token.paused,
            held,
            token.outbound.available(now),
            token.inbound.available(now),
        )

    async def bridge(self) -> BridgeAccount:
        """What the program is linked to."""
        return await self.lookup.bridge()

    async def balance(self, mint: Pubkey, owner: Pubkey | None = None) -> int:
        """Smallest units in the associated account of `owner` (the key); 0 when there is none."""
        token = await self._token(mint)
        found = await self.lookup.account(associated(owner or self.key, mint, token.token_program).address)
        return 0 if found is None else token_amount(found)

    async def _token(self, mint: Pubkey) -> TokenAccount:
        found = await self.lookup.by_mint(mint)
        if found is None:
            raise Rejected(f"The mint {mint} is not registered with this bridge.", reason="WrongToken")
        return found

    async def _address(self, mint: Pubkey) -> Pubkey:
        return ti.token_address(self.at, await self._token(mint), (await self.lookup.bridge()).origin)

    async def _send(self, *steps: Instruction) -> Sent:
        return await self._sender.send(steps)

    async def _post(self, encode: Callable[[int], Instruction]) -> AskReceipt:
        sequence, sent = await self._posted(lambda first: [encode(first)])
        return await self._receipt(sequence, sent)

    async def _posted(self, encode: Callable[[int], list[Instruction]]) -> tuple[int, Sent]:
        """Send the posts that `encode` makes for the next sequences, in one transaction; the first sequence."""
        async with self._posting:  # two posts of one key at once would race for one sequence
            for _ in range(POST_ATTEMPTS):
                sequence = (await self._sibyl.config("processed")).next_sequence
                try:
                    return sequence, await self._send(*encode(sequence))
                except EncodeError as error:
                    raise Rejected(f"The program cannot take this: {error}", reason="InvalidRequest") from error
                except Rejected as error:
                    if error.reason != WRONG_SEQUENCE:
                        raise
        raise Transient(f"Others posted first {POST_ATTEMPTS} times in a row. Try again.")

    async def _receipt(self, sequence: int, sent: Sent) -> AskReceipt:
        post = await self._sibyl.post(Sequence(sequence))
        if post is None:
            raise Transient(f"The post of sequence {sequence} was confirmed, but the endpoint does not show it (yet).")
        return AskReceipt(post.digest, post.message.sequence, sent.units, str(sent.signature), post.message)
