"""Our FROST against `@noble/curves`: keys, commitments, shares and signatures of either are good for the other, and so are their refusals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bridges.frost import signing
from bridges.frost.errors import InvalidSignature
from bridges.frost.group import ORDER, Scalar
from bridges.frost.keygen import KeyShare
from bridges.frost.signing import (
    COMMIT_RANDOMNESS_BYTES,
    GroupSignature,
    SignatureShare,
    SigningPackage,
)
from tests.crosscheck.noble import (
    Noble,
    NobleError,
    Unavailable,
    its_commitment,
    its_public,
    its_secret,
    name_of,
    our_commitment,
    our_share,
    our_signature_share,
)
from tests.support.dealer import deal
from tests.support.dkg import Ceremony

MESSAGE = bytes.fromhex("9b0c5d1e" * 8)
SIGNERS = {"min": 3, "max": 4}
OURS, ITS = "ours", "noble"


@pytest.fixture(scope="module")
def noble() -> Iterator[Noble]:
    try:
        made = Noble()
    except Unavailable as error:
        if os.environ.get("SIBYL_CROSSCHECK") == "required":
            raise
        pytest.skip(f"@noble/curves is not to be had here: {error}")
    with made:
        yield made


def our_dkg() -> tuple[KeyShare, ...]:
    results = Ceremony.of(4).run()
    assert len(results) == 4
    return tuple(results[i].share for i in sorted(results))


def noble_dkg(noble: Noble) -> tuple[KeyShare, ...]:
    made = noble.ask("dkg", signers=SIGNERS)
    assert isinstance(made, dict)
    assert all(public == made["publics"][0] for public in made["publics"])
    return tuple(our_share(made["publics"][0], secret) for secret in made["secrets"])


def noble_dealer(noble: Noble) -> tuple[KeyShare, ...]:
    made = noble.ask("dealer", signers=SIGNERS)
    assert isinstance(made, dict)
    return tuple(our_share(made["public"], secret) for secret in made["secrets"])


@pytest.fixture(params=["our DKG", "our dealer", "noble's DKG", "noble's dealer"])
def shares(request: pytest.FixtureRequest, noble: Noble) -> tuple[KeyShare, ...]:
    """One key of four members, made in each of the four ways."""
    return {
        "our DKG": our_dkg,
        "our dealer": lambda: deal(4, 3, os.urandom),
        "noble's DKG": lambda: noble_dkg(noble),
        "noble's dealer": lambda: noble_dealer(noble),
    }[request.param]()


@dataclass
class Session:
    """Signers of both implementations over one message."""

    package: SigningPackage
    its: list[dict[str, str]]
    shares: list[SignatureShare]


def run_session(noble: Noble, signers: list[tuple[KeyShare, str]], message: bytes = MESSAGE) -> Session:
    """Both rounds; `signers`: each share with the implementation that signs for it."""
    nonces, handles, commitments = {}, {}, []
    for share, by in signers:
        if by == OURS:
            nonces[share.identifier] = signing.commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES))
            commitments.append(nonces[share.identifier].commitment)
        else:
            made = noble.ask("commit", secret=its_secret(share))
            assert isinstance(made, dict)
            handles[share.identifier] = made.pop("nonces")
            commitments.append(our_commitment(made))
    public = signers[0][0].public
    package = signing.prepare(public, message, commitments)
    its = [its_commitment(commitment) for commitment in package.commitments]
    produced = []
    for share, by in signers:
        if by == OURS:
            produced.append(signing.sign(share, nonces[share.identifier], package))
        else:
            z = noble.ask(
                "sign",
                secret=its_secret(share),
                public=its_public(public),
                nonces=handles[share.identifier],
                commitments=its,
                message=message.hex(),
            )
            produced.append(our_signature_share(share.identifier, z))
    return Session(package, its, produced)


def noble_aggregate(noble: Noble, session: Session) -> bytes:
    made = noble.ask(
        "aggregate",
        public=its_public(session.package.public),
        commitments=session.its,
        message=session.package.message.hex(),
        shares={name_of(share.identifier): share.to_bytes()[2:].hex() for share in session.shares},
    )
    return bytes.fromhex(str(made))


def noble_verifies(noble: Noble, signature: bytes, message: bytes, key: bytes) -> bool:
    try:
        return noble.ask("verify", signature=signature.hex(), message=message.hex(), key=key.hex()) is True
    except NobleError:
        return False


@pytest.mark.parametrize(
    "makers",
    [(OURS, OURS, OURS), (ITS, ITS, ITS), (OURS, ITS, ITS), (ITS, OURS, OURS)],
    ids=["all ours", "all noble's", "two of noble's", "two of ours"],
)
def test_noble__mixed_signers__both_aggregate_the_same_signature_and_both_verify_it(
    noble: Noble, shares: tuple[KeyShare, ...], makers: tuple[str, ...]
) -> None:
    for absent in range(4):
        present = [share for index, share in enumerate(shares) if index != absent]
        session = run_session(noble, list(zip(present, makers, strict=True)))
        for share in session.shares:
            assert signing.verify_share(session.package, share)
            assert noble.ask(
                "verifyShare",
                public=its_public(shares[0].public),
                commitments=session.its,
                message=MESSAGE.hex(),
                identifier=name_of(share.identifier),
                share=share.to_bytes()[2:].hex(),
            )
        signature = signing.aggregate(session.package, session.shares)
        assert noble_aggregate(noble, session) == signature.to_bytes()
        group = shares[0].public.group_public_key
        assert signing.verify(group, signature, MESSAGE)
        assert noble_verifies(noble, signature.to_bytes(), MESSAGE, group.to_bytes())


def test_noble__all_four_sign__more_than_the_quorum_is_as_good(noble: Noble, shares: tuple[KeyShare, ...]) -> None:
    session = run_session(noble, [(share, by) for share, by in zip(shares, (OURS, ITS, OURS, ITS), strict=True)])
    signature = signing.aggregate(session.package, session.shares)
    assert noble_verifies(noble, signature.to_bytes(), MESSAGE, shares[0].public.group_public_key.to_bytes())


def test_noble__what_is_not_a_signature__is_refused_by_both(noble: Noble) -> None:
    shares = deal(4, 3, os.urandom)
    key = shares[0].public.group_public_key.to_bytes()
    session = run_session(noble, [(share, OURS) for share in shares[:3]])
    good = signing.aggregate(session.package, session.shares).to_bytes()
    z = int.from_bytes(good[33:], "big")
    other = deal(4, 3, os.urandom)[0].public.group_public_key.to_bytes()
    bad = {
        "another message": (good, bytes(32), key),
        "another key": (good, MESSAGE, other),
        "z + 1": (good[:33] + ((z + 1) % ORDER).to_bytes(32, "big"), MESSAGE, key),
        "-z": (good[:33] + (ORDER - z).to_bytes(32, "big"), MESSAGE, key),
        "-R": (bytes([good[0] ^ 1]) + good[1:], MESSAGE, key),
        "z = 0": (good[:33] + bytes(32), MESSAGE, key),
        "z = n": (good[:33] + ORDER.to_bytes(32, "big"), MESSAGE, key),
        "R off the curve": (b"\2" + b"\xff" * 32 + good[33:], MESSAGE, key),
        "cut": (good[:-1], MESSAGE, key),
        "too long": (good + b"\0", MESSAGE, key),
    }
    assert signing.verify_encoded(key, good, MESSAGE)
    assert noble_verifies(noble, good, MESSAGE, key)
    for name, (signature, message, under) in bad.items():
        assert not signing.verify_encoded(under, signature, message), name
        assert not noble_verifies(noble, signature, message, under), name


def test_noble__a_share_is_altered__both_refuse_it_and_the_sum(noble: Noble, shares: tuple[KeyShare, ...]) -> None:
    session = run_session(noble, [(shares[0], OURS), (shares[1], ITS), (shares[3], ITS)])
    liar = session.shares[1]
    session.shares[1] = SignatureShare(liar.identifier, Scalar((liar.z + 1) % ORDER))
    with pytest.raises(InvalidSignature):
        signing.aggregate(session.package, session.shares)
    assert signing.find_culprits(session.package, session.shares) == (liar.identifier,)
    with pytest.raises(NobleError):
        noble_aggregate(noble, session)
    verdicts = {
        share.identifier: noble.ask(
            "verifyShare",
            public=its_public(shares[0].public),
            commitments=session.its,
            message=MESSAGE.hex(),
            identifier=name_of(share.identifier),
            share=share.to_bytes()[2:].hex(),
        )
        for share in session.shares
    }
    assert [who for who, holds in verdicts.items() if not holds] == [liar.identifier]


def test_noble__nonces_used_twice__are_refused(noble: Noble) -> None:
    """The driver of these tests keeps to the rule that it tests: it cannot sign twice with one nonce."""
    shares = deal(4, 3, os.urandom)
    made = noble.ask("commit", secret=its_secret(shares[0]))
    assert isinstance(made, dict)
    nonces = [signing.commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in shares[1:3]]
    handle = made.pop("nonces")
    commitments = [made, *(its_commitment(nonce.commitment) for nonce in nonces)]
    arguments = {
        "secret": its_secret(shares[0]),
        "public": its_public(shares[0].public),
        "nonces": handle,
        "commitments": commitments,
        "message": MESSAGE.hex(),
    }
    assert noble.ask("sign", **arguments)
    with pytest.raises(NobleError):
        noble.ask("sign", **arguments)


def test_noble__signature_types__agree_on_their_bytes(noble: Noble) -> None:
    session = run_session(noble, [(share, ITS) for share in deal(4, 3, os.urandom)[:3]])
    made = noble_aggregate(noble, session)
    assert GroupSignature.from_bytes(made).to_bytes() == made
    assert len(made) == GroupSignature.LENGTH
