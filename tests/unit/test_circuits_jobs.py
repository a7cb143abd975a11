"""The line format between a pool and its workers, and the agreement check."""

import math

import pytest

from circuits.errors import JobFailedError
from circuits.jobs import (
    FailureKind,
    Job,
    Reply,
    Task,
    decode_job,
    decode_reply,
    encode_failure,
    encode_job,
    encode_reply,
)
from circuits.worker import check_agreement, proof_document


def test_job__round_trip__same() -> None:
    job = Job(Task.VERIFY, "/models/x", "ab" * 32, (1, -(2**63)), (2**63 - 1,), "00ff", 3.5)
    line = encode_job(job)
    assert line.count(b"\n") == 1
    assert decode_job(line) == job


def test_reply__round_trip__floats_are_exact() -> None:
    reply = Reply((1, -2), (0.1, -1e-300), "00", 0.25, True)
    assert decode_reply(encode_reply(reply)) == reply


def test_decode_reply__failure__raised_with_its_kind() -> None:
    with pytest.raises(JobFailedError, match="why") as caught:
        decode_reply(encode_failure(FailureKind.MODEL, "why"))
    assert caught.value.kind is FailureKind.MODEL


@pytest.mark.parametrize(
    "line", [b"", b"null\n", b"[]\n", b"{}\n", b'{"reply":{}}\n', b'{"failed":"?","message":""}\n', b"\xff\n"]
)
def test_decode_reply__nonsense__is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode_reply(line)


@pytest.mark.parametrize("other", [1.0011, 0.9989, math.nan, math.inf])
def test_check_agreement__beyond_the_bound__refused(other: float) -> None:
    check_agreement((1.0,), (1.0009,), 0.001)
    with pytest.raises(JobFailedError) as caught:
        check_agreement((1.0,), (other,), 0.001)
    assert caught.value.kind is FailureKind.INFERENCE


def test_proof_document__instances__come_from_the_values_alone() -> None:
    document = proof_document((1, -1), b"\x01\x02")
    assert document["proof"] == [1, 2]
    one = "01" + "00" * 31
    assert document["instances"] == [[one, "000000f093f5e1439170b97948e833285d588181b64550b829a031e1724e6430"]]
