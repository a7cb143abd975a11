"""RFC 9591 appendix E.5: every intermediate value of the published FROST(secp256k1, SHA-256) run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridges.frost import ciphersuite, signing
from bridges.frost.group import SecretScalar, identifier, scalar_to_bytes
from bridges.frost.keygen import KeyShare
from tests.support.dealer import deal_secret

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "frost_rfc9591.json").read_text())
MESSAGE = bytes.fromhex(VECTOR["message"])


def hx(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.fixture
def shares() -> tuple[KeyShare, ...]:
    secret = SecretScalar(hx(VECTOR["group_secret_key"]))
    coefficients = [SecretScalar(hx(c)) for c in VECTOR["share_polynomial_coefficients"]]
    return deal_secret(secret, coefficients, VECTOR["config"]["max_participants"])


def nonces_of(shares: tuple[KeyShare, ...]) -> list[signing.SigningNonces]:
    return [
        signing.commit(
            shares[s["identifier"] - 1], hx(s["hiding_nonce_randomness"]) + hx(s["binding_nonce_randomness"])
        )
        for s in VECTOR["signers"]
    ]


def test_dealer__rfc_polynomial__gives_the_published_shares(shares: tuple[KeyShare, ...]) -> None:
    assert shares[0].public.group_public_key.to_bytes() == hx(VECTOR["group_public_key"])
    for share in shares:
        assert share.signing_share.reveal() == hx(VECTOR["participant_shares"][str(share.identifier)])


@pytest.mark.parametrize("index", [0, 1])
def test_nonce__rfc_randomness__gives_the_published_nonces(shares: tuple[KeyShare, ...], index: int) -> None:
    entry = VECTOR["signers"][index]
    share = shares[entry["identifier"] - 1].signing_share
    for kind in ("hiding", "binding"):
        nonce = ciphersuite.h3(hx(entry[f"{kind}_nonce_randomness"]), share)
        assert nonce.reveal() == hx(entry[f"{kind}_nonce"])
        assert nonce.public_point().to_bytes() == hx(entry[f"{kind}_nonce_commitment"])


def test_binding_factor__rfc_commitments__match(shares: tuple[KeyShare, ...]) -> None:
    commitments = [nonces.commitment for nonces in nonces_of(shares)]
    inputs = signing.binding_factor_inputs(shares[0].public.group_public_key, commitments, MESSAGE)
    package = signing.prepare(shares[0].public, MESSAGE, commitments)
    for entry in VECTOR["signers"]:
        who = identifier(entry["identifier"])
        assert inputs[who] == hx(entry["binding_factor_input"])
        assert scalar_to_bytes(package.binding_factors[who]) == hx(entry["binding_factor"])


def test_signing__rfc_run__gives_the_published_shares_and_signature(shares: tuple[KeyShare, ...]) -> None:
    nonces = nonces_of(shares)
    package = signing.prepare(shares[0].public, MESSAGE, [n.commitment for n in nonces])
    made = []
    for entry, nonce in zip(VECTOR["signers"], nonces, strict=True):
        share = signing.sign(shares[entry["identifier"] - 1], nonce, package)
        assert scalar_to_bytes(share.z) == hx(entry["sig_share"])
        assert signing.verify_share(package, share)
        made.append(share)
    assert signing.aggregate(package, made).to_bytes() == hx(VECTOR["signature"])
