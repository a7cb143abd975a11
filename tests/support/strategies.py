"""Hypothesis strategies for the protocol's values: everything that may be put on the wire, and its corners more often than chance would."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from oracle.protocol import constants as c
from oracle.protocol.message import InferenceRequest, InferenceResult, Message, Outcome, Remote
from oracle.protocol.types import (
    ADDRESS,
    WORD,
    Account,
    Chain,
    ChainType,
    Digest,
    Endpoint,
    Kind,
    ModelId,
    Policy,
    Sequence,
    Status,
    UnixSeconds,
)

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)
"""For a machine that others use too: the number of examples is bounded, not their time."""

words = st.binary(min_size=WORD, max_size=WORD)
digests = words.map(Digest)
uint64 = st.integers(0, (1 << 64) - 1)
int64 = st.integers(-(1 << 63), (1 << 63) - 1)
evm_accounts = st.binary(min_size=ADDRESS, max_size=ADDRESS).map(lambda raw: Account(bytes(WORD - ADDRESS) + raw))
evm_chains = st.integers(1, (1 << 64) - 1).map(Chain.evm)
chains = st.one_of(evm_chains, words.map(Chain.solana))
scales = st.integers(0, c.MAX_SCALE)


def accounts(chain: Chain) -> st.SearchStrategy[Account]:
    """Any account on `chain`."""
    return evm_accounts if chain.chain_type is ChainType.EIP155 else words.map(Account)


def endpoints_on(chain: Chain) -> st.SearchStrategy[Endpoint]:
    """Any gateway on `chain`."""
    return accounts(chain).map(lambda gateway: Endpoint(chain, gateway))


endpoints = chains.flatmap(endpoints_on)
signed_policies = st.sampled_from([policy for policy in Policy if policy is not Policy.PROVEN])


@st.composite
def remotes(draw: st.DrawFn) -> Remote:
    """One further destination."""
    destination = draw(endpoints)
    account = accounts(destination.chain)
    return Remote(draw(signed_policies), destination, draw(account), draw(account))


@st.composite
def requests(draw: st.DrawFn) -> InferenceRequest:
    """Any payload of an inference request."""
    policy = draw(st.sampled_from(Policy))
    most = 0 if policy is Policy.PROVEN else c.MAX_REMOTES
    return InferenceRequest(
        model_id=ModelId(draw(words)),
        fee=draw(st.integers(0, (1 << 128) - 1)),
        callback_gas_limit=draw(st.integers(0, (1 << 32) - 1)),
        policy=policy,
        remotes=tuple(draw(st.lists(remotes(), max_size=most, unique_by=lambda remote: remote.destination.chain))),
        inputs=tuple(draw(st.lists(int64, min_size=1, max_size=20))),
    )


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    """An answer or a refusal."""
    status = draw(st.sampled_from(Status))
    if status is not Status.ANSWERED:
        return Outcome(status)
    return Outcome(status, tuple(draw(st.lists(int64, min_size=1, max_size=c.MAX_OUTPUTS))), draw(scales))


@st.composite
def results(draw: st.DrawFn) -> InferenceResult:
    """Any payload of an inference result."""
    outcome = draw(outcomes())
    return InferenceResult(
        status=outcome.status,
        policy=draw(st.sampled_from(Policy)),
        model_id=ModelId(draw(words)),
        request_id=draw(digests),
        input_commitment=draw(words),
        requester=Account(draw(words)),
        consumer=Account(draw(words)),
        callback_gas_limit=draw(st.integers(0, (1 << 32) - 1)),
        output_scale=outcome.output_scale,
        outputs=outcome.outputs,
    )


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any body, its payload unrelated to its kind."""
    origin, destination = draw(endpoints), draw(endpoints)
    return Message(
        kind=draw(st.sampled_from(Kind)),
        origin=origin,
        destination=destination,
        sequence=Sequence(draw(st.integers(1, (1 << 64) - 1))),
        sender=draw(accounts(origin.chain)),
        recipient=draw(accounts(destination.chain)),
        expiry=UnixSeconds(draw(uint64)),
        payload=draw(st.binary(max_size=200)),
    )


@st.composite
def posted_requests(draw: st.DrawFn) -> Message:
    """A request as a gateway posts it: to itself, and with no remote on its own chain."""
    origin = draw(endpoints)
    account = accounts(origin.chain)
    asked = draw(requests().filter(lambda r: all(remote.destination.chain != origin.chain for remote in r.remotes)))
    return Message(
        Kind.INFERENCE_REQUEST,
        origin,
        origin,
        Sequence(draw(st.integers(1, (1 << 64) - 1))),
        draw(account),
        draw(account),
        UnixSeconds(draw(st.integers(1, (1 << 64) - 1))),
        asked.to_bytes(),
    )
