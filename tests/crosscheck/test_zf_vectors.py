"""ZF's frost-secp256k1 by its vectors: its published run with identifiers of 129 to 257, and signatures that its code made.

Both ways, as far as vectors go: from the published randomness this code makes ZF's commitments, binding factors, signature shares and
signature to the byte, so what it makes ZF takes; and what ZF's key generation and signing made verifies here. RFC 9591's own vectors,
which ZF publishes too, are in `test_frost_rfc9591`. Live sessions with another implementation are `test_noble`'s.
There is no live test with ZF's code, for no package of it may be depended on: Python's only one, `frost_rs` 1.0.0, carries no licence
(none in its metadata, no licence file) and signs twice with one nonce; for node there is none that binds it; the crate itself (MIT or
Apache-2.0) needs a Rust tool chain, which nothing else here does.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridges.frost import signing
from bridges.frost.group import SecretScalar, identifier, scalar_to_bytes
from bridges.frost.keygen import KeyShare
from tests.support.dealer import deal_secret

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "frost_zf_big_identifier.json").read_text())
MESSAGE = bytes.fromhex(VECTOR["message"])
SIGNED = json.loads((Path(__file__).parents[1] / "vectors" / "frost_zf_signatures.json").read_text())["runs"]


@pytest.fixture(scope="module")
def shares() -> tuple[KeyShare, ...]:
    secret = SecretScalar(bytes.fromhex(VECTOR["group_secret_key"]))
    coefficients = [SecretScalar(bytes.fromhex(c)) for c in VECTOR["share_polynomial_coefficients"]]
    return deal_secret(secret, coefficients, VECTOR["config"]["max_participants"])


def test_zf__polynomial__gives_the_published_shares(shares: tuple[KeyShare, ...]) -> None:
    assert shares[0].public.group_public_key.to_bytes().hex() == VECTOR["group_public_key"]
    for who, value in VECTOR["participant_shares"].items():
        assert shares[int(who) - 1].signing_share.reveal().hex() == value


def test_zf__randomness__gives_the_published_commitments_factors_shares_and_signature(
    shares: tuple[KeyShare, ...],
) -> None:
    signers = VECTOR["signers"]
    nonces = {
        entry["identifier"]: signing.commit(
            shares[entry["identifier"] - 1],
            bytes.fromhex(entry["hiding_nonce_randomness"] + entry["binding_nonce_randomness"]),
        )
        for entry in signers
    }
    package = signing.prepare(shares[0].public, MESSAGE, [made.commitment for made in nonces.values()])
    made = []
    for entry in signers:
        who = identifier(entry["identifier"])
        commitment = package.commitment_of(who)
        assert commitment.hiding.encoded.hex() == entry["hiding_nonce_commitment"]
        assert commitment.binding.encoded.hex() == entry["binding_nonce_commitment"]
        assert scalar_to_bytes(package.binding_factors[who]).hex() == entry["binding_factor"]
        made.append(signing.sign(shares[who - 1], nonces[who], package))
        assert scalar_to_bytes(made[-1].z).hex() == entry["sig_share"]
        assert signing.verify_share(package, made[-1])
    assert signing.aggregate(package, made).to_bytes().hex() == VECTOR["signature"]


@pytest.mark.parametrize("run", SIGNED, ids=range(len(SIGNED)))
def test_zf__signature_that_its_code_made__verifies_here_and_over_nothing_else(run: dict[str, str]) -> None:
    key, message, signature = (bytes.fromhex(run[name]) for name in ("group_public_key", "message", "signature"))
    assert signing.verify_encoded(key, signature, message)
    assert not signing.verify_encoded(key, signature, bytes(32))
    assert not signing.verify_encoded(key, signature[:-1] + bytes([signature[-1] ^ 1]), message)
