"""Puts a model's verifying key on a chain: uploaded in parts to the verifier program and sealed by its hash (PROTOCOL.md §7).

Guarantees: `publish` can be repeated and taken up again after a crash, at the cost of the parts that are missing; what it returns is the
address of a sealed account with exactly this content, which nothing can change any more. The address is made of the content's hash and the
payer's key, so nobody else can stand in the way. Whether the content is a right key of the model is for governance to know before it registers
the address with the model.
"""

import asyncio
from typing import Final

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import verifier_instructions
from bridges.solana.client import SolanaClient
from bridges.solana.transactions import SendPolicy, TransactionSender
from bridges.solana.verifier_instructions import KEY_CHUNK
from bridges.solana.verifier_layout import KeyAccount, VerifierAddresses, key_hash
from oracle.errors import Rejected, Transient
from oracle.protocol.errors import DecodeError
from oracle.protocol.types import Account

ROUNDS: Final = 6
"""How often it looks at what is there and sends what is missing."""
PARALLEL: Final = 8
"""Writes under way at once."""


class VerifyingKeys:
    """Speaks to the verifier program `verifier` (32 bytes) for one payer."""

    def __init__(
        self, client: SolanaClient, verifier: Account, payer: Keypair, policy: SendPolicy | None = None
    ) -> None:
        self._client = client
        self.at = VerifierAddresses(Pubkey(verifier))
        self._sender = TransactionSender(client, payer, policy)

    def address(self, content: bytes) -> Pubkey:
        """Where this payer's account of the content is, or would be."""
        return self.at.key(key_hash(content), self._sender.payer).address

    async def held(self, content: bytes) -> KeyAccount | None:
        """That account, sealed or not; None when there is none. Raises Transient."""
        address = self.address(content)
        account = (await self._client.accounts([address], "confirmed")).accounts[0]
        if account is None or account.vacant:
            return None
        try:
            return KeyAccount.decode(account, self.at.program)
        except DecodeError as error:
            raise Transient(
                f"The Solana RPC endpoint contradicts the verifier {self.at.program}. {error} Use another endpoint."
            ) from error

    async def publish(self, content: bytes) -> Pubkey:
        """Upload what is missing of the content and seal it. Raises Transient, or Rejected with the program's name of the error."""
        refused: Rejected | None = None
        for _ in range(ROUNDS):
            held = await self.held(content)
            if held is not None and held.sealed:
                return self.address(content)
            try:
                await self._further(content, held)
            except (
                Rejected
            ) as error:  # perhaps a transaction that seemed lost landed after all: what is there now tells
                refused = error
        raise refused or Transient("The key's upload made no progress; the RPC endpoint may be behind. Try again.")

    async def abandon(self, content: bytes) -> bool:
        """Take back the rent of an upload that is not sealed; False when there is none. Raises Rejected once it is sealed."""
        if await self.held(content) is None:
            return False
        await self._sender.send([verifier_instructions.close_key(self.at, self._sender.payer, key_hash(content))])
        return True

    async def _further(self, content: bytes, held: KeyAccount | None) -> None:
        """One round: create the account, or write all that differs and seal."""
        payer, hashed = self._sender.payer, key_hash(content)
        if held is not None and held.size != len(content):
            await self.abandon(content)
            held = None
        if held is None:
            await self._sender.send([verifier_instructions.create_key(self.at, payer, hashed, len(content))])
            return
        within: list[Instruction] = []
        beyond: list[Instruction] = []
        for start in range(0, len(content), KEY_CHUNK):
            part = content[start : start + KEY_CHUNK]
            if held.content[start : start + KEY_CHUNK] != part:
                step = verifier_instructions.write_key(self.at, payer, hashed, start, part)
                # A large key's account grows with each write, so those past its present end go in order.
                (within if start + len(part) <= len(held.content) else beyond).append(step)
        await self._write(within)
        for step in beyond:
            await self._sender.send([step])
        await self._sender.send([verifier_instructions.seal_key(self.at, payer, hashed)])

    async def _write(self, steps: list[Instruction]) -> None:
        for first in range(0, len(steps), PARALLEL):
            done = await asyncio.gather(
                *(self._sender.send([step]) for step in steps[first : first + PARALLEL]), return_exceptions=True
            )
            for outcome in done:
                if isinstance(outcome, BaseException):
                    raise outcome
