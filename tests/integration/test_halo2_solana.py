"""The verifier in Zig, run by Solana's runtime: the reference verifier's values at each stage, its verdicts on thousands of mutations, its cost."""

import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from circuits.halo2 import Key, RejectedProof, accepts, examine
from circuits.halo2.constraints import quotient
from circuits.halo2.curve import G1, P, R, inverse, multiply
from circuits.halo2.packed import PACKED_LENGTH, pack, unpack
from circuits.halo2.prepared import MONTGOMERY, hint, prepare
from tests.support import halo2_mutations as mutate
from tests.support.halo2 import Case
from tests.support.halo2_program import STAGES, WHOLE, Probe, honest_hint, lenient_hint

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "halo2.json").read_text())[
    "vectors"
]
FOLDED_AFTER = {"gates": 11, "copies": 16, "ranges": 22}
"""Constraints that the stages have folded in."""
GOAL = 500_000


@cache
def probe() -> Probe:
    return Probe()


@cache
def honest(name: str) -> tuple[Key, Case]:
    vector = next(one for one in VECTORS if one["model"] == name)
    instances = tuple(int(word, 16) for word in vector["instances"])
    return Key.from_bytes(bytes.fromhex(vector["key"])), Case("honest", bytes.fromhex(vector["proof"]), instances)


MODELS = tuple(vector["model"] for vector in VECTORS)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (0, lambda a, b, c, d, e, f: a * b / MONTGOMERY_),
        (1, lambda a, b, c, d, e, f: a * b / MONTGOMERY_ + c),
        (2, lambda a, b, c, d, e, f: (a * b + c * d) / MONTGOMERY_),
        (3, lambda a, b, c, d, e, f: (a * b + c * d + e * f) / MONTGOMERY_),
        (4, lambda a, b, c, d, e, f: a + b),
        (6, lambda a, b, c, d, e, f: a),
    ],
)
def test_field__random_and_extreme_operands__as_by_integers(operation: int, expected: Callable[..., Any]) -> None:
    draw = random.Random(operation)
    edges = (0, 1, R - 1, R, 2**256 - 1, 2**232 - 1, 2**29 - 1)
    for _ in range(40):
        # Sums may not pass 2^256, which the probe's reply holds.
        top = R if operation in (1, 4) else 2**256
        values = [
            draw.choice([x for x in edges if x < top]) if draw.random() < 0.3 else draw.randrange(top) for _ in range(6)
        ]
        found, _ = probe().compute(operation, *values)
        assert (found - expected(*(_Residue(value) for value in values)).value) % R == 0


class _Residue:
    """Just enough arithmetic modulo R to write expectations down."""

    def __init__(self, value: int) -> None:
        self.value = value % R

    def __add__(self, other: "_Residue") -> "_Residue":
        return _Residue(self.value + other.value)

    def __mul__(self, other: "_Residue") -> "_Residue":
        return _Residue(self.value * other.value)

    def __truediv__(self, other: "_Residue") -> "_Residue":
        return _Residue(self.value * inverse(other.value))


MONTGOMERY_ = _Residue(MONTGOMERY)


@pytest.mark.parametrize("value", [R, R + 1, 2**255, 2**256 - 1])
def test_field__not_canonical__not_parsed(value: int) -> None:
    assert probe().compute(8, R - 1)[0] == R - 1
    assert not hasattr(probe().send(bytes([8]) + value.to_bytes(32, "big") + bytes(160)), "return_data")


def _compare(key: Key, case: Case) -> None:
    """Every value that the stages leave, but the pairing's verdict, against the reference verifier's trace."""
    trace = examine(key, case.proof, case.instances)
    known = trace.scalars
    values = [(label, value) for label, value in known.items() if label.startswith("constraint.")]
    for stage, count in FOLDED_AFTER.items():
        after = probe().verify(key, case.proof, case.instances, stages=STAGES.index(stage) + 1)
        assert after.refused is None
        assert after.words[9] % R == quotient(values[:count], known["y"], known["x_n"]), stage
    ran = probe().verify(key, case.proof, case.instances, stages=STAGES.index("combine") + 1)
    expected = [known[c] for c in ("beta", "gamma", "y", "x", "zeta", "nu", "mu", "x_n")]
    expected.append((1 - known["l_last"] - known["l_blind"]) * inverse(known["x_n"] - 1) % R)
    assert [word % R for word in ran.words[:9]] == expected
    scalars = [known["x_n"], *(known[f"set_scalar.{i}"] for i in (1, 2, 3)), known["value"], -known["w_scalar"] % R]
    assert [word % R for word in ran.words[10:16]] == scalars
    assert (ran.words[16], ran.words[17]) == trace.points["pairing_left"]


@pytest.mark.parametrize("name", MODELS)
def test_stages__stored_proofs__values_of_the_reference_verifier(name: str) -> None:
    key, case = honest(name)
    _compare(key, case)
    assert probe().verify(key, case.proof, case.instances).refused is None


@pytest.mark.parametrize("seed", range(24))
def test_stages__random_keys_proofs_and_instances__values_of_the_reference_verifier(seed: int) -> None:
    # Nothing here is a proof of anything, so every value is arbitrary: what honest proofs leave at zero is exercised too.
    draw = random.Random(seed)
    edges = (0, 1, 2**29 - 1, 2**29, 2**63, R - 1, R - 2**29 + 1, R - 2**29, R - 2**29 - 1, R - 2**63, R // 2)

    def scalar() -> int:
        return draw.choice(edges) if draw.random() < 0.4 else draw.randrange(R)

    def point() -> tuple[int, int]:
        found = multiply(G1, draw.randrange(1, R))
        assert found is not None
        return found

    count = draw.choice((1, 2, 3, 17))
    fixed = tuple(None if draw.random() < 0.3 else point() for _ in range(8))
    key = Key(
        draw.randrange(5, 25), count, scalar(), honest("tiny")[0].neg_s_g2, fixed, tuple(point() for _ in range(5))
    )
    words = (
        [c for _ in range(14) for c in point()] + [scalar() for _ in range(29)] + [c for _ in range(2) for c in point()]
    )
    proof = b"".join(word.to_bytes(32, "big") for word in words)
    case = Case("random", proof, tuple(scalar() for _ in range(count)))
    _compare(key, case)
    assert probe().verify(key, case.proof, case.instances).refused == "paired"


@pytest.mark.parametrize("name", MODELS)
def test_stages__one_evaluation_changed__values_of_the_reference_verifier(name: str) -> None:
    key, case = honest(name)
    for one in list(mutate.scalars(case, ("one more",)))[::5]:
        _compare(key, one)


@pytest.mark.parametrize("name", MODELS)
def test_cost__whole_verification__within_the_goal(name: str) -> None:
    key, case = honest(name)
    ran = probe().verify(key, case.proof, case.instances)
    assert tuple(ran.units) == STAGES
    assert sum(ran.units.values()) < GOAL


@pytest.mark.parametrize("name", MODELS)
def test_verify__as_programs_call_it__accepts_for_the_sum_of_its_stages(name: str) -> None:
    key, case = honest(name)
    whole = probe().verify(key, case.proof, case.instances, stages=WHOLE)
    assert whole.refused is None
    assert whole.units["whole"] < sum(probe().verify(key, case.proof, case.instances).units.values()) + 100
    assert probe().accepts(key, case.proof, case.instances)
    given = hint(key, case.proof, case.instances)
    assert probe().verify(key, pack(case.proof), case.instances, given=given, stages=WHOLE).refused is None


def test_cost__large_instances__within_the_goal_too() -> None:
    # Instances far from zero take the long way; whoever answers may choose such outputs, but not make the verification too dear to run.
    key, case = honest("tumour")
    large = tuple(R // 2 - i for i in range(key.instance_count))
    ran = probe().verify(key, case.proof, large, stages=STAGES.index("combine") + 1)
    pairing = probe().verify(key, case.proof, case.instances).units["paired"]
    assert ran.refused is None
    assert sum(ran.units.values()) + pairing < GOAL


def _refused(key: Key, cases: list[Case]) -> None:
    assert [case.name for case in cases if probe().accepts(key, case.proof, case.instances)] == []


def test_verdicts__each_byte_flipped__refused() -> None:
    key, case = honest("tiny")
    cases = list(mutate.flips(case, 32))
    assert len(cases) == len(case.proof) == 1952
    _refused(key, cases)


@pytest.mark.parametrize("name", MODELS)
def test_verdicts__points_scalars_instances_lengths__refused(name: str) -> None:
    key, case = honest(name)
    everything = ("plus r", "r", "max", "one more", "zero")
    cases = [
        *mutate.points(case), *mutate.swaps(case), *mutate.scalars(case, everything), *mutate.instances(case),
        *mutate.lengths(case),
    ]  # fmt: skip
    assert len(cases) > 300
    _refused(key, cases)


@pytest.mark.parametrize("at", mutate.POINT_OFFSETS)
def test_points__infinity_off_the_curve_or_not_canonical__refused_before_the_pairing(at: int) -> None:
    key, case = honest("tiny")
    x, y = mutate.word(case, at), mutate.word(case, at + 32)
    # The curve's syscall reads the two highest bits of y as flags, and takes many a y for infinity: they must not get that far.
    flagged = [(x, y | 1 << 254), (x, y | 1 << 255), (x, y | 3 << 254), (x, 1 << 254), (0, 1 << 254), (0, 1 << 255)]
    bad = {
        "read": [(0, 0), (x + P, y), (x, y + P), (x + P, y + P), (P, 0), (0, P), (P, P), *flagged],
        "combine": [(x, P - y - 1), (x + 1, y), (0, 1), (1, 3), (x, 0)],
    }
    for stage, pairs in bad.items():
        for pair in pairs:
            spoilt = mutate.spliced(case, "", at, b"".join(c.to_bytes(32, "big") for c in pair))
            # A hint that fits the transcript of these very bytes: nothing but the point itself can be at fault.
            ran = probe().verify(
                key, spoilt.proof, case.instances, given=lenient_hint(key, spoilt.proof, case.instances)
            )
            assert ran.refused == stage, pair


def test_verdicts__sampled_mutations__as_by_the_reference_verifier() -> None:
    key, case = honest("tiny")
    pool = [*mutate.flips(case, 2), *mutate.points(case), *mutate.swaps(case), *mutate.instances(case)]
    for one in [case, *random.Random("sample").sample(pool, 60)]:
        found = probe().accepts(key, one.proof, one.instances)
        assert found == accepts(key, one.proof, one.instances), one.name


def test_verdicts__proof_of_another_model__refused() -> None:
    for mine, theirs in (("tiny", "tumour"), ("tumour", "tiny")):
        key, case = honest(mine)
        assert not probe().accepts(key, honest(theirs)[1].proof, case.instances)


def test_hint__wrong_in_any_way__refused() -> None:
    key, case = honest("tiny")
    right = int.from_bytes(hint(key, case.proof, case.instances), "big")
    wrong = dict.fromkeys((0, 1, (right + 1) % R, R - right, MONTGOMERY % R), "invert")
    wrong |= dict.fromkeys((right + R, R, 2**256 - 1), "read")
    wrong |= {right ^ 1 << bit: "invert" for bit in range(0, 253, 11) if right ^ 1 << bit < R}
    for other, stage in wrong.items():
        ran = probe().verify(key, case.proof, case.instances, given=other.to_bytes(32, "big"))
        assert ran.refused == stage, other


def test_hint__of_another_transcript__refused() -> None:
    key, case = honest("tiny")
    given = hint(key, case.proof, (1, 2, 3))
    assert probe().verify(key, case.proof, case.instances, given=given).refused == "invert"


def test_hint__honest_for_a_spoilt_proof__refused_at_the_pairing() -> None:
    # The hint does not decide: with the right one for wrong evaluations all stages pass but the last.
    key, case = honest("tiny")
    spoilt = next(one for one in mutate.scalars(case, ("one more",)))
    assert probe().verify(key, spoilt.proof, spoilt.instances).refused == "paired"


@pytest.mark.parametrize("at", [0, 8, 12, 16, 48, 60, 176, 400, 1000, 1008, 1008 + 72 * 19, 1008 + 72 * 20 + 5])
def test_key__any_part_changed__refused(at: int) -> None:
    key, case = honest("tiny")
    content = bytearray(prepare(key))
    content[at] ^= 1
    given = hint(key, case.proof, case.instances)
    assert probe().verify(bytes(content), case.proof, case.instances, given=given).refused is not None


def test_key__truncated_or_extended__refused() -> None:
    key, case = honest("tiny")
    content, given = prepare(key), hint(key, case.proof, case.instances)
    for other in (b"", content[:8], content[:-1], content[:-144], content + bytes(144)):
        assert probe().verify(other, case.proof, case.instances, given=given).refused == "form"


@pytest.mark.parametrize("name", MODELS)
def test_packed__honest_proof__same_values_and_verdict(name: str) -> None:
    key, case = honest(name)
    short = pack(case.proof)
    assert len(short) == PACKED_LENGTH == 1440
    given = hint(key, case.proof, case.instances)
    ran, whole = (probe().verify(key, form, case.instances, given=given) for form in (short, case.proof))
    assert ran.refused is None
    assert ran.reply == whole.reply
    assert sum(ran.units.values()) < GOAL


def test_packed__bit_of_each_y_turned__other_point_and_refused() -> None:
    key, case = honest("tiny")
    short = pack(case.proof)
    for at in [*range(0, 32 * 14, 32), PACKED_LENGTH - 64, PACKED_LENGTH - 32]:
        turned = short[:at] + bytes([short[at] ^ 0x80]) + short[at + 1 :]
        proof = unpack(turned)
        assert proof != case.proof
        given = hint(key, proof, case.instances)
        assert probe().verify(key, turned, case.instances, given=given).refused == "paired"


@pytest.mark.parametrize("word", [0, 1 << 254, 1 << 255, 3 << 254, P, P + 1, 2**256 - 1, 4, 1 << 254 | 1])
def test_packed__x_of_no_point_or_flags__refused(word: int) -> None:
    # 4³ + 3 is no square; the second highest bit means infinity to the syscall.
    key, case = honest("tiny")
    short = pack(case.proof)
    for at in (0, 32 * 13, PACKED_LENGTH - 32):
        spoilt = short[:at] + word.to_bytes(32, "big") + short[at + 32 :]
        with pytest.raises(RejectedProof):
            unpack(spoilt)
        ran = probe().verify(key, spoilt, case.instances, given=hint(key, case.proof, case.instances))
        assert ran.refused in ("form", "read")


def test_packed__each_flipped_byte__refused() -> None:
    key, case = honest("tiny")
    short = pack(case.proof)
    draw = random.Random("packed")
    for at in draw.sample(range(len(short)), 200):
        spoilt = short[:at] + bytes([short[at] ^ 1 << draw.randrange(8)]) + short[at + 1 :]
        try:
            given = honest_hint(key, unpack(spoilt), case.instances)
        except RejectedProof:
            given = hint(key, case.proof, case.instances)
        assert probe().verify(key, spoilt, case.instances, given=given).refused is not None, at


def test_pack__wrong_length_or_point__refused() -> None:
    _, case = honest("tiny")
    for proof in (case.proof[:-1], case.proof + b"\0", bytes(64) + case.proof[64:]):
        with pytest.raises(RejectedProof):
            pack(proof)
    for short in (b"", bytes(1439), bytes(1441)):
        with pytest.raises(RejectedProof):
            unpack(short)
    assert unpack(pack(case.proof)) == case.proof
