"""What scripted chains say of past answers, the honest and the lying; and what two verifiers say of a proof."""

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from eth_abi.abi import encode

from bridges.evm.client import EvmClient, RetryPolicy
from bridges.solana.client import RetryPolicy as SolanaRetries
from bridges.solana.client import SolanaClient
from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.prover import LocalProver
from oracle.app.past_answers import EvmPast, PastAnswer, Record, SolanaPast, look_up
from oracle.app.proof_commands import Verdict, judge, parse_id, read_body
from oracle.errors import ConfigError, Transient
from oracle.protocol.message import Message, Outcome, result_messages
from oracle.protocol.types import Account, Digest, Policy, Status
from tests.support import samples
from tests.support.rpc_server import RpcServer, ScriptedGateway, rpc_server
from tests.support.solana_rpc import AT, ScriptedRpc, account_json, outbox, owned, scripted_rpc

ONCE = RetryPolicy(attempts=1, deadline=5.0)
REQUEST = samples.evm_request(policy=Policy.ATTESTED)
OUTCOME = Outcome(Status.ANSWERED, (77, -5), 12)


async def nobody(_: Digest) -> None:
    return None


@dataclass
class Evm:
    """A scripted EVM chain. `record` is (state, status, policy, scale, outputs)."""

    gateway: ScriptedGateway
    server: RpcServer
    past: EvmPast
    record: tuple[int, int, int, int, tuple[int, ...]] = (0, 0, 0, 0, ())
    final_record: tuple[int, int, int, int, tuple[int, ...]] | None = None
    called: list[str] = field(default_factory=list)

    def answer(self, transaction: dict[str, str], which: str) -> str:
        """eth_call of answerOf."""
        self.called.append(which)
        told = self.final_record if which != "latest" and self.final_record is not None else self.record
        state, status, policy, scale, outputs = told
        fields = (state, status, policy, scale, "0x" + "00" * 20, outputs)
        return "0x" + encode(["(uint8,uint8,uint8,uint8,address,int64[])"], [fields]).hex()


@pytest.fixture
async def evm() -> AsyncIterator[Evm]:
    gateway = ScriptedGateway(samples.EVM, head=50_000, final=49_990)
    async with rpc_server(gateway.methods()) as server, EvmClient(server.url, 31337, retries=ONCE) as client:
        made = Evm(gateway, server, EvmPast(client, samples.EVM.gateway, samples.HUB))
        server.methods["eth_call"] = made.answer
        yield made


@pytest.fixture
async def solana() -> AsyncIterator[tuple[ScriptedRpc, SolanaPast]]:
    async with scripted_rpc() as rpc:
        policy = SolanaRetries(attempts=1, timeout=5.0, deadline=5.0)
        async with SolanaClient(rpc.url, samples.SOLANA.chain.reference, policy=policy) as client:
            rpc.answers["getProgramAccounts"] = []
            yield rpc, SolanaPast(client, Account(bytes(AT.program)))


# ---- EVM ----


async def test_evm__posted_and_answered__is_read_back(evm: Evm) -> None:
    evm.gateway.post(7, REQUEST)
    evm.record = (2, Status.ANSWERED, Policy.ATTESTED, 12, OUTCOME.outputs)
    past = await look_up([evm.past], REQUEST.digest, nobody)
    assert past.request == REQUEST
    assert past.found_in == "as posted on eip155:31337"
    assert past.records == (Record(samples.EVM.chain, Policy.ATTESTED, Status.ANSWERED, OUTCOME.outputs, 12, True),)
    assert past.outcome == OUTCOME
    (unread,) = past.unread
    assert "is not among the chains that were named" in unread


async def test_evm__answer_in_the_newest_blocks__is_said_not_to_be_final(evm: Evm) -> None:
    evm.record, evm.final_record = (2, 0, Policy.BOTH, 12, (1,)), (1, 0, 0, 0, ())
    record = await evm.past.record(REQUEST)
    assert record is not None
    assert not record.final
    assert evm.called == [hex(49_990), "latest"]


async def test_evm__endpoint_that_gives_few_blocks_at_once__is_read_from_the_newest_back(evm: Evm) -> None:
    evm.gateway.most_blocks = 10_000
    evm.gateway.post(7, REQUEST)
    assert await evm.past.request(REQUEST.digest) == REQUEST
    assert evm.gateway.ranges[0] == (0, 50_000)
    assert evm.gateway.ranges[1] == (40_001, 50_000)
    assert await evm.past.request(Digest(b"\x22" * 32)) is None


async def test_evm__endpoint_that_shows_another_body__is_no_answer(evm: Evm) -> None:
    """The digest is computed from the body, whatever the log's topic says."""
    evm.gateway.post(7, REQUEST)
    forged = replace(REQUEST, sender=samples.HUB)
    evm.gateway.doctor = lambda log: {**log, "data": evm.gateway.log(7, forged, str(log["address"]))["data"]}
    assert await evm.past.request(REQUEST.digest) is None


async def test_evm__pending_or_refunded__is_no_record(evm: Evm) -> None:
    for state in (0, 1, 4):
        evm.record = (state, 0, 0, 0, ())
        assert await evm.past.record(REQUEST) is None


async def test_evm__no_hub_at_the_address__says_so(evm: Evm) -> None:
    evm.server.methods["eth_call"] = lambda *_: "0x"
    with pytest.raises(Transient, match="is no hub"):
        await evm.past.record(REQUEST)


# ---- Solana ----


def _inbox(result: Message) -> dict[str, object]:
    body = result.to_bytes()
    data = struct.pack("<BBBBIQI4x", 6, 1, 254, 3, len(body), 1, 1) + samples.seeded("payer") + result.digest + body
    return {"pubkey": str(AT.inbox(result.digest).address), "account": account_json(owned(data))}


async def test_solana__posted_and_answered__is_read_back(solana: tuple[ScriptedRpc, SolanaPast], evm: Evm) -> None:
    rpc, past = solana
    evm.gateway.post(7, REQUEST)
    evm.record = (2, 0, Policy.ATTESTED, 12, OUTCOME.outputs)
    rpc.answers["getProgramAccounts"] = [_inbox(result_messages(REQUEST, OUTCOME)[1])]
    found = await look_up([evm.past, past], REQUEST.digest, nobody)
    assert [record.chain for record in found.records] == [samples.EVM.chain, samples.SOLANA.chain]
    assert found.outcome == OUTCOME
    assert found.unread == ()


async def test_solana__request_of_its_own__is_found_by_its_digest(solana: tuple[ScriptedRpc, SolanaPast]) -> None:
    rpc, past = solana
    request = replace(
        samples.evm_request(remotes=()),
        origin=samples.SOLANA,
        destination=samples.SOLANA,
        recipient=samples.SOLANA.gateway,
    )
    entry = {"pubkey": str(AT.outbox(1).address), "account": account_json(outbox(request))}
    rpc.answers["getProgramAccounts"] = [entry]
    assert await past.request(request.digest) == request
    assert await past.request(REQUEST.digest) is None
    (_, config), *_ = rpc.calls["getProgramAccounts"]
    assert {item["memcmp"]["offset"] for item in config["filters"]} == {0, 64}


async def test_solana__result_with_other_fields_than_the_request_gives_it__is_a_lie(
    solana: tuple[ScriptedRpc, SolanaPast],
) -> None:
    rpc, past = solana
    other = replace(result_messages(REQUEST, OUTCOME)[1], expiry=samples.DEADLINE - 1)
    rpc.answers["getProgramAccounts"] = [_inbox(other)]
    with pytest.raises(Transient, match="a result that this request cannot have"):
        await past.record(REQUEST)


async def test_look_up__two_chains_with_different_answers__is_an_alarm(
    solana: tuple[ScriptedRpc, SolanaPast], evm: Evm
) -> None:
    rpc, past = solana
    evm.gateway.post(7, REQUEST)
    evm.record = (2, 0, Policy.ATTESTED, 12, (78, -5))
    rpc.answers["getProgramAccounts"] = [_inbox(result_messages(REQUEST, OUTCOME)[1])]
    found = await look_up([evm.past, past], REQUEST.digest, nobody)
    with pytest.raises(Transient, match="differ"):
        _ = found.outcome


async def test_look_up__account_closed_and_body_from_a_node__counts_by_its_digest(
    solana: tuple[ScriptedRpc, SolanaPast],
) -> None:
    _, past = solana

    async def honest(_: Digest) -> tuple[bytes, str]:
        return REQUEST.to_bytes(), "http://node"

    async def liar(_: Digest) -> tuple[bytes, str]:
        return samples.evm_request(sequence=9).to_bytes(), "http://node"

    found = await look_up([past], REQUEST.digest, honest)
    assert found.found_in == "from http://node; its digest is the request's id"
    with pytest.raises(Transient, match="No chain has a record"):
        _ = found.outcome
    with pytest.raises(ConfigError, match="know a request 0x"):
        await look_up([past], REQUEST.digest, liar)


async def test_look_up__message_that_is_no_request__is_refused(evm: Evm) -> None:
    message = samples.plain_message()
    evm.gateway.post(7, message)
    with pytest.raises(ConfigError, match="is a message, and no request"):
        await look_up([evm.past], message.digest, nobody)


def test_outcome__refusal__is_one() -> None:
    record = Record(samples.EVM.chain, Policy.ATTESTED, Status.OUT_OF_RANGE, (), 0, True)
    past = PastAnswer(REQUEST, None, "", (record,), ())  # type: ignore[arg-type] # the payload plays no part
    assert past.outcome.status is Status.OUT_OF_RANGE


# ---- the verdict ----


@pytest.fixture(scope="module")
def tiny() -> ModelArtifacts:
    return ensure_model("tiny")


async def test_judge__proof_of_other_inputs_outputs_or_bits__both_verifiers_refuse_it(tiny: ModelArtifacts) -> None:
    inputs = (4096, 2048)
    async with LocalProver([tiny], devnet=True) as prover:
        made = await prover.prove(tiny.model_id, inputs)
    assert await judge(tiny, inputs, made.outputs, made.proof) == Verdict(ezkl=True, reference=True)
    (output,) = made.outputs
    bent = made.proof[:100] + bytes([made.proof[100] ^ 1]) + made.proof[101:]
    for claim in (
        (inputs, (output + 1,), made.proof),
        ((4096, 2049), made.outputs, made.proof),
        (inputs, made.outputs, bent),
        (inputs, made.outputs, made.proof + b"\0" * 32),
        (inputs, made.outputs, b""),
    ):
        verdict = await judge(tiny, *claim)
        assert verdict == Verdict(ezkl=False, reference=False)
        assert not verdict.holds


def test_verdict__either_verifier_objects__does_not_hold() -> None:
    assert Verdict(ezkl=True, reference=None).holds
    assert not Verdict(ezkl=False, reference=None).holds
    assert not Verdict(ezkl=True, reference=False).holds


@pytest.mark.parametrize("text", ["", "0x", "0x12", "zz" * 32, "ab" * 33, "latest"])
def test_request_id__no_digest__is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="64 hex digits"):
        parse_id(text)


def test_body_file__hex_or_not(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_text(f"0x{REQUEST.to_bytes().hex()}\n")
    assert Message.from_bytes(read_body(path)) == REQUEST
    path.write_bytes(b"\xff\x00")
    with pytest.raises(ConfigError, match="no body in hexadecimal"):
        read_body(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_body(tmp_path / "none")
