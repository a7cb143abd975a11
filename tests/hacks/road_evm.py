"""The token road on EVM for the hack tests: a vault with ether in it and a mint with tokens out, a thief who owns neither, and what he wants signed.

`EvmRoad.untouched` is the judge of every test: the thief holds nothing, and both counters, the vault and the supply are what they were.
"""

import re
from dataclasses import dataclass, replace

from eth_typing import ChecksumAddress

from bridges.evm.abi import account_of, address_of
from bridges.evm.deploy import TokenDeployment, deploy_tokens
from bridges.evm.tokens import EvmTokens
from oracle.errors import Rejected
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message
from oracle.protocol.tokens import TokenRegistration, TokenTransfer
from oracle.protocol.types import Account, ChainType
from tests.hacks.world import EvmWorld
from tests.support import samples

AUTHORITY = Account(samples.seeded("bridge authority"))
"""The one account on Solana whose words the bridges take."""
MINT = Account(samples.seeded("spl mint"))
SOL_THIEF = Account(samples.seeded("thief on solana"))
THIEF = address_of(samples.seeded("thief", 20))
LOCKED = 10 * 10**9
"""Wire units of ether in the vault."""
MINTED = 500
"""Wire units of the wrapped token, an honest user's."""

_INNER = re.compile(r"\((\w+)\)\.$")
"""The recipient's own error, at the end of the gateway's sentence."""


@dataclass(frozen=True, slots=True)
class EvmRoad:
    """`vault` is the bridge of wrapped ether, `mint` that of a Solana token; account 3 is their honest user, 0 governs."""

    evm: EvmWorld
    deployment: TokenDeployment
    user: EvmTokens
    vault: ChecksumAddress
    mint: ChecksumAddress
    wrapped: ChecksumAddress

    @property
    def away(self) -> InteropAddress:
        """An account on Solana."""
        return InteropAddress(samples.SOLANA.chain, SOL_THIEF)

    def transfer(self, bridge: ChecksumAddress, amount: int, to: ChecksumAddress = THIEF) -> Message:
        """The message that would pay: from the bridge authority. What it lacks is a signature."""
        payload = TokenTransfer(self.away, ChainType.EIP155, account_of(to), amount).to_bytes()
        return replace(self.evm.message(recipient=account_of(bridge), payload=payload), sender=AUTHORITY)

    def drain(self) -> Message:
        """All that is in the vault, to the thief."""
        return self.transfer(self.vault, LOCKED)

    async def refused(self, message: Message) -> str:
        """What a contract refuses a message with that the whole committee has signed."""
        try:
            await self.evm.deliver(message, self.evm.attest(message))
        except Rejected as refusal:
            inner = _INNER.search(str(refusal))
            return inner[1] if inner else refusal.reason
        raise AssertionError("the bridge took it")

    async def untouched(self) -> None:
        """The thief has nothing, and the rest has everything."""
        weth = self.deployment.weth
        for token in (weth, self.wrapped):
            assert await self.user.balance(token, THIEF) == 0
        assert await self.user.balance(weth, self.vault) == LOCKED * 10**9
        assert await self.view("NativeBridge", self.vault, "locked") == LOCKED
        assert await self.view("WrappedBridge", self.mint, "minted") == MINTED
        assert await self.view("WrappedToken", self.wrapped, "totalSupply") == MINTED

    async def pays(self) -> None:
        """Control: with the committee's signature the same road pays, and the tokens go back the way they came."""
        user = self.user.address
        message = self.transfer(self.vault, 5, user)
        await self.evm.deliver(message, self.evm.attest(message))
        assert await self.view("NativeBridge", self.vault, "locked") == LOCKED - 5
        await self.user.transfer_ether(self.away, 5 * 10**9)
        await self.untouched()

    async def view(self, contract: str, to: ChecksumAddress, function: str, *arguments: object) -> object:
        """One value of a view."""
        return (await self.evm.view(contract, to, function, *arguments))[0]


async def build_road(evm: EvmWorld) -> EvmRoad:
    """Fresh token contracts on the chain of the hack tests."""
    deployed = evm.deployed
    authority = InteropAddress(samples.SOLANA.chain, AUTHORITY)
    made = await deploy_tokens(deployed.sender(0), deployed.deployment.gateway, authority)
    user = EvmTokens(deployed.sender(3), account_of(made.factory))
    vault = (await user.register(made.weth)).bridge
    await user.transfer_ether(InteropAddress(samples.SOLANA.chain, SOL_THIEF), LOCKED * 10**9)
    entry = TokenRegistration(MINT, 9, b"A Mint", b"MNT").to_bytes()
    registration = replace(evm.message(recipient=account_of(made.factory), payload=entry), sender=AUTHORITY)
    await evm.deliver(registration, evm.attest(registration))
    found = await user.find(MINT)
    road = EvmRoad(evm, made, user, vault, found.bridge, found.token)
    first = road.transfer(road.mint, MINTED, user.address)
    await evm.deliver(first, evm.attest(first))
    await road.untouched()
    return road
