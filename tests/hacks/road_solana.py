"""The token road on Solana for the hack tests: both programs under the committee's key, two tokens, and what a thief must not move.

`Road.loot` is everything that a hack could take or change; a test compares it before and after.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.frost.keygen import KeyShare
from bridges.solana import tokens_instructions as ti
from bridges.solana.instructions import Envelope
from bridges.solana.tokens_layout import TOKEN_2022, TokenAccount
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import Message
from oracle.protocol.types import CommitteeEpoch
from tests.hacks.world import GROUP, forgeries
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_tokens import TokenBench

HELD = 1_000
"""Wire units of each token that are across."""
BOOTY = 500


@dataclass(slots=True)
class Road:
    """`native` has HELD locked, `wrapped` HELD minted; the thief has lamports, and a token account for each."""

    tokens: TokenBench
    native: TokenAccount
    wrapped: TokenAccount
    thief: Keypair

    @property
    def loot(self) -> tuple[object, ...]:
        """All that is worth taking: the tokens' accounts, vault, supply, what the thief has; authority, keys and settings."""
        tokens, her = self.tokens, self.thief.pubkey()
        bench = tokens.bench
        return (
            tokens.token(tokens.address(self.native)),
            tokens.token(tokens.address(self.wrapped)),
            bytes(bench.account(tokens.at.tokens.vault(self.native.mint).address).data),
            tokens.supply(self.wrapped.mint),
            tokens.held(her, self.native),
            tokens.held(her, self.wrapped),
            tokens.bridge(),
            bench.committee(1),
            bench.config().current_epoch,
        )

    def transfer(self, token: TokenAccount, amount: int = BOOTY) -> Message:
        """A transfer from the token's EVM bridge to the thief, with a sequence of its own."""
        return self.tokens.transfer_in(token, self.thief.pubkey(), amount)

    def redeem(self, token: TokenAccount, message: Message) -> Instruction:
        """What would pay it out to the thief."""
        delivered = ti.Delivered(message, self.tokens.user)
        return self.tokens.redeem(token, delivered, self.thief.pubkey(), create=False)

    def refused_from(self, some: Iterable[KeyShare], message: Message) -> int:
        """Deliver `message` under all that can be made of these shares; each is refused. How many there were."""
        value, bench, tried = batch_signing_hash([message.digest]), self.tokens.bench, 0
        for forged in forgeries(tuple(some), value):
            step = bench.delivery(message, Envelope(CommitteeEpoch(1), forged))
            assert bench.refused(step) == "InvalidSignature"
            tried += 1
        return tried


def road(governance_delay: int = 86_400) -> Road:
    """A fresh runtime with both programs."""
    tokens = st.start(governance_delay, sp.start(GROUP))
    native, wrapped = tokens.register_native(), tokens.register_wrapped()
    tokens.give(tokens.user, native.mint, 10 * HELD)
    tokens.bench.accepted(tokens.send(native, HELD))
    tokens.receive(wrapped, tokens.user, HELD)
    thief = Keypair()
    tokens.bench.svm.airdrop(thief.pubkey(), sp.FUNDS)
    tokens.give(thief.pubkey(), native.mint, 0)
    tokens.give(thief.pubkey(), wrapped.mint, 0, TOKEN_2022)
    return Road(tokens, native, wrapped, thief)


def somewhere() -> Pubkey:
    """An address of nobody."""
    return Keypair().pubkey()
