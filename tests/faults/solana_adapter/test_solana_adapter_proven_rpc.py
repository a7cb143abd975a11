"""Answers by proof when the endpoint contradicts the programs, lags, or will not search: nothing is sent on its word, and nothing is lost."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana.client import SolanaClient
from bridges.solana.clock import SYSVAR
from bridges.solana.layout import AccountData, ProgramAddresses
from bridges.solana.submitter import SolanaSubmitter
from bridges.solana.verifier_layout import VerifierAddresses, key_hash
from oracle.errors import Rejected, Transient
from oracle.ports import Submission
from oracle.protocol import constants as c
from oracle.protocol.message import InferenceRequest, Message, Outcome, result_messages
from oracle.protocol.types import Account, Kind, Policy, Sequence, Status, UnixSeconds
from tests.support import samples
from tests.support.solana_rpc import RpcError, ScriptedRpc, account_json

PROGRAM = samples.SOLANA.gateway
AT = ProgramAddresses(Pubkey(PROGRAM))
VERIFIER = VerifierAddresses(Pubkey(samples.seeded("verifier")))
PAYER = Keypair()
OWN = PAYER.pubkey()
CONTENT = b"a prepared key"
KEY = VERIFIER.key(key_hash(CONTENT), PAYER.pubkey()).address
INPUTS = (1, -2, 3)
ASKED = InferenceRequest(samples.MODEL, 1_000, 0, Policy.PROVEN, (), INPUTS)
CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")

REQUEST = Message(
    Kind.INFERENCE_REQUEST,
    samples.SOLANA,
    samples.SOLANA,
    Sequence(5),
    Account(samples.seeded("asker")),
    PROGRAM,
    UnixSeconds(samples.DEADLINE),
    ASKED.to_bytes(),
)
ANSWER = result_messages(REQUEST, Outcome(Status.ANSWERED, (7,), 16))[0]
SUBMISSION = Submission(ANSWER, None, REQUEST, b"a proof")
PROOF = VERIFIER.proof(REQUEST.digest, PAYER.pubkey()).address


def placed(size: int, *fields: tuple[int, bytes]) -> bytes:
    data = bytearray(size)
    for offset, value in fields:
        data[offset : offset + len(value)] = value
    return bytes(data)


def head(kind: int) -> tuple[int, bytes]:
    return 0, bytes([kind, c.ACCOUNT_LAYOUT_VERSION, 255])


def model(verifier: Pubkey = VERIFIER.program, key: Pubkey = KEY) -> AccountData:
    data = placed(
        c.MODEL_ACCOUNT_SIZE,
        head(c.ACCOUNT_MODEL),
        (c.MODEL_ACCOUNT_MODEL_ID_OFFSET, samples.MODEL),
        (c.MODEL_ACCOUNT_INPUT_COUNT_OFFSET, (3).to_bytes(2, "little")),
        (c.MODEL_ACCOUNT_OUTPUT_COUNT_OFFSET, (1).to_bytes(2, "little")),
        (c.MODEL_ACCOUNT_OUTPUT_SCALE_OFFSET, bytes([16])),
        (c.MODEL_ACCOUNT_ACTIVE_OFFSET, b"\1"),
        (c.MODEL_ACCOUNT_VERIFIER_OFFSET, bytes(verifier)),
        (c.MODEL_ACCOUNT_VERIFYING_KEY_OFFSET, bytes(key)),
    )
    return AccountData(AT.program, 1, data)


def key(content: bytes = CONTENT) -> AccountData:
    data = placed(
        c.VERIFIER_KEY_ACCOUNT_SIZE,
        head(c.VERIFIER_ACCOUNT_KEY),
        (c.VERIFIER_KEY_ACCOUNT_SEALED_OFFSET, b"\1"),
        (c.VERIFIER_KEY_ACCOUNT_SIZE_OFFSET, len(content).to_bytes(4, "little")),
        (c.VERIFIER_KEY_ACCOUNT_HASH_OFFSET, key_hash(CONTENT)),
    )
    return AccountData(VERIFIER.program, 1, data + content)


def proof(payer: Pubkey = OWN, owner: Pubkey = VERIFIER.program) -> AccountData:
    data = placed(
        c.VERIFIER_PROOF_ACCOUNT_SIZE,
        head(c.VERIFIER_ACCOUNT_PROOF),
        (c.VERIFIER_PROOF_ACCOUNT_PAYER_OFFSET, bytes(payer)),
        (c.VERIFIER_PROOF_ACCOUNT_LABEL_OFFSET, REQUEST.digest),
    )
    return AccountData(owner, 1, data + bytes(900))


def outbox(state: int) -> AccountData:
    body = REQUEST.to_bytes()
    data = placed(
        c.OUTBOX_ACCOUNT_SIZE,
        head(c.ACCOUNT_OUTBOX),
        (c.OUTBOX_ACCOUNT_STATE_OFFSET, bytes([state])),
        (c.OUTBOX_ACCOUNT_BODY_SIZE_OFFSET, len(body).to_bytes(4, "little")),
        (c.OUTBOX_ACCOUNT_SEQUENCE_OFFSET, REQUEST.sequence.to_bytes(8, "little")),
        (c.OUTBOX_ACCOUNT_EXPIRY_OFFSET, REQUEST.expiry.to_bytes(8, "little")),
        (c.OUTBOX_ACCOUNT_SENDER_OFFSET, REQUEST.sender),
        (c.OUTBOX_ACCOUNT_DIGEST_OFFSET, REQUEST.digest),
    )
    return AccountData(AT.program, 1, data + body)


def clock(time: int) -> AccountData:
    return AccountData(SYSVAR, 1, (100).to_bytes(8, "little") + bytes(24) + time.to_bytes(8, "little"))


@pytest.fixture
def submitter(rpc: ScriptedRpc, client: SolanaClient) -> SolanaSubmitter:
    rpc.accounts |= {AT.model(samples.MODEL).address: model(), KEY: key()}
    return SolanaSubmitter(client, PROGRAM, PAYER, pack=lambda *_: bytes(1472))


def searched(rpc: ScriptedRpc, found: Callable[[int], list[tuple[Pubkey, AccountData]]]) -> None:
    """Answer searches: by the account type that is asked for."""

    def answer(params: list[object]) -> object:
        config = params[1]
        assert isinstance(config, dict)
        kind = base64.b64decode(config["filters"][0]["memcmp"]["bytes"])[0]
        owner = Pubkey.from_string(str(params[0]))
        wanted = kind if owner == AT.program else 100 + kind
        return [{"pubkey": str(key), "account": account_json(account)} for key, account in found(wanted)]

    rpc.answers["getProgramAccounts"] = answer


def nothing_was_sent(rpc: ScriptedRpc) -> bool:
    return not rpc.calls["sendTransaction"] and not rpc.calls["simulateTransaction"]


def cut(account: AccountData) -> AccountData:
    return replace(account, data=account.data[:-1])


@pytest.mark.parametrize(
    "lies",
    [
        {AT.model(samples.MODEL).address: cut(model())},
        {KEY: key(CONTENT[:-1] + b"?")},
        {PROOF: proof(payer=Pubkey.new_unique())},
        {PROOF: proof(owner=AT.program)},
        {PROOF: replace(proof(), data=proof().data + bytes(600))},
    ],
)
async def test_fulfil__endpoint_that_contradicts_the_programs__is_not_believed(
    rpc: ScriptedRpc, submitter: SolanaSubmitter, lies: dict[Pubkey, AccountData]
) -> None:
    rpc.accounts |= lies
    with pytest.raises(Transient, match="contradicts"):
        await submitter.submit(SUBMISSION)
    assert nothing_was_sent(rpc)


async def test_fulfil__sealed_key__is_fetched_once(rpc: ScriptedRpc, submitter: SolanaSubmitter) -> None:
    rpc.accounts[PROOF] = proof(owner=AT.program)
    for _ in range(3):
        with pytest.raises(Transient):
            await submitter.submit(SUBMISSION)
    assert sum(params[0] == [str(KEY)] for params in rpc.calls["getMultipleAccounts"]) == 1


async def test_checks_proofs__model_with_a_sealed_key__alone(rpc: ScriptedRpc, submitter: SolanaSubmitter) -> None:
    address = AT.model(samples.MODEL).address
    assert await submitter.checks_proofs(samples.MODEL)
    rpc.accounts[address] = model(verifier=Pubkey.default(), key=Pubkey.default())
    assert not await submitter.checks_proofs(samples.MODEL)
    del rpc.accounts[address]
    assert not await submitter.checks_proofs(samples.MODEL)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "KeyMissing"),
        (replace(key(), data=key().data[: c.VERIFIER_KEY_ACCOUNT_SIZE]), "InvalidKey"),
        (replace(key(), owner=AT.program), "InvalidKey"),
        (replace(key(), data=key().data[:3] + b"\0" + key().data[4:]), "KeyNotSealed"),
    ],
)
async def test_checks_proofs__key_that_cannot_be_used__says_what_is_missing(
    rpc: ScriptedRpc, submitter: SolanaSubmitter, found: AccountData | None, reason: str
) -> None:
    del rpc.accounts[KEY]
    if found is not None:
        rpc.accounts[KEY] = found
    with pytest.raises(Rejected) as caught:
        await submitter.checks_proofs(samples.MODEL)
    assert caught.value.reason == reason
    assert samples.MODEL.hex() in str(caught.value)


async def test_prune__endpoint_that_will_not_search__is_transient(rpc: ScriptedRpc, submitter: SolanaSubmitter) -> None:
    rpc.answers["getProgramAccounts"] = RpcError(-32010, "excluded from account secondary indexes")
    with pytest.raises(Transient, match="excluded"):
        await submitter.prune()
    assert nothing_was_sent(rpc)


@pytest.mark.parametrize(
    ("kind", "lie"),
    [
        (c.ACCOUNT_MODEL, cut(model())),
        (100 + c.VERIFIER_ACCOUNT_PROOF, proof(payer=Pubkey.new_unique())),
        (c.ACCOUNT_OUTBOX, cut(outbox(c.OUTBOX_PENDING))),
    ],
)
async def test_prune__search_that_finds_what_cannot_be__is_not_believed(
    rpc: ScriptedRpc, submitter: SolanaSubmitter, kind: int, lie: AccountData
) -> None:
    honest = {
        c.ACCOUNT_MODEL: model(),
        100 + c.VERIFIER_ACCOUNT_PROOF: proof(),
        c.ACCOUNT_OUTBOX: outbox(c.OUTBOX_PENDING),
    }
    rpc.accounts |= {PROOF: proof(), CLOCK: clock(1)}
    searched(rpc, lambda wanted: [(PROOF, (honest | {kind: lie})[wanted])])
    with pytest.raises(Transient, match="contradicts"):
        await submitter.prune()
    assert nothing_was_sent(rpc)


@pytest.mark.parametrize(
    ("state", "time", "kept"),
    [
        (c.OUTBOX_PENDING, samples.DEADLINE, True),
        (c.OUTBOX_PENDING, samples.DEADLINE + 1, False),
        (c.OUTBOX_ANSWERED, 1, False),
        (c.OUTBOX_REFUSED, 1, False),
        (None, 1, False),
    ],
)
async def test_prune__proof_of_a_request__kept_while_it_waits(
    rpc: ScriptedRpc, submitter: SolanaSubmitter, state: int | None, time: int, kept: bool
) -> None:
    posts = [] if state is None else [(PROOF, outbox(state))]
    found = {c.ACCOUNT_MODEL: [(PROOF, model())], 100 + c.VERIFIER_ACCOUNT_PROOF: [(PROOF, proof())]}
    searched(rpc, lambda wanted: found.get(wanted, posts))
    rpc.accounts |= {PROOF: proof(), CLOCK: clock(time)}
    rpc.answers["getLatestBlockhash"] = RpcError(-32603, "the test ends here")
    if kept:
        assert await submitter.prune() == 0
    else:
        with pytest.raises(Transient, match="the test ends here"):
            await submitter.prune()
    assert (not rpc.calls["getLatestBlockhash"]) is kept


async def test_prune__account_gone_since_it_was_found__costs_nothing(
    rpc: ScriptedRpc, submitter: SolanaSubmitter
) -> None:
    found = {c.ACCOUNT_MODEL: [(PROOF, model())], 100 + c.VERIFIER_ACCOUNT_PROOF: [(PROOF, proof())]}
    searched(rpc, lambda wanted: found.get(wanted, []))
    rpc.accounts[CLOCK] = clock(1)
    assert await submitter.prune() == 0
    assert nothing_was_sent(rpc)


async def test_prune__no_model_with_a_verifier__looks_no_further(rpc: ScriptedRpc, submitter: SolanaSubmitter) -> None:
    plain = model(verifier=Pubkey.default(), key=Pubkey.default())
    searched(rpc, lambda wanted: [(PROOF, plain)])
    assert await submitter.prune() == 0
    assert len(rpc.calls["getProgramAccounts"]) == 1


async def test_prune__without_a_way_to_pack__never_had_proofs(rpc: ScriptedRpc, client: SolanaClient) -> None:
    assert await SolanaSubmitter(client, PROGRAM, PAYER).prune() == 0
    assert rpc.total == 0
