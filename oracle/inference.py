"""From a request to this node's own outcome: what it can know without running the model, then the model.

A refusal is an outcome too: it is signed by the committee and sends the fee back. Only reasons that every honest node sees alike become
refusals; a worker that died is a `ProofError` and is tried again.
"""

from oracle.errors import InferenceError
from oracle.ports import ModelInfo, Prover
from oracle.protocol.message import InferenceRequest, Message, Outcome
from oracle.protocol.types import ChainType, Policy, Status


async def infer(prover: Prover, request: Message) -> Outcome:
    """The outcome of `request`. Raises DecodeError when it is malformed, ProofError when a worker failed (try again)."""
    asked = InferenceRequest.from_bytes(request.payload)
    model = prover.model(asked.model_id)
    if model is None:
        return Outcome(Status.UNKNOWN_MODEL)
    refusal = check_request(model, request, asked)
    if refusal is not None:
        return Outcome(refusal)
    try:
        inference = await prover.infer(asked.model_id, asked.inputs)
    except InferenceError as error:
        return Outcome(error.status)
    return Outcome(Status.ANSWERED, inference.outputs, model.output_scale)


def check_request(model: ModelInfo, request: Message, asked: InferenceRequest) -> Status | None:
    """Why this request cannot be answered, as far as its bytes tell; None if it can."""
    policies = [(request.origin, asked.policy), *((remote.destination, remote.policy) for remote in asked.remotes)]
    if any(not _serves(endpoint.chain.chain_type, policy) for endpoint, policy in policies):
        return Status.UNSUPPORTED_POLICY
    if len(asked.inputs) != model.input_count:
        return Status.WRONG_SHAPE
    if any(abs(value) > model.input_bound for value in asked.inputs):
        return Status.OUT_OF_RANGE
    return None


def _serves(chain_type: ChainType, policy: Policy) -> bool:
    """Whether chains of this type can check what the policy asks (PROTOCOL.md §4)."""
    return policy is not Policy.BOTH or chain_type is ChainType.EIP155
