"""committee-key.json: all that is public of a committee's key, with every member's certificate. The same for every operator.

Guarantees: a `KeyFile` has a public package that is consistent and a proof of possession that holds; `require_certified` accepts it only
with the certificate of every member of a committee file over exactly this content. `revision` counts how often the key was handed on to
other members: the key, its epoch and its proof stay, the verifying shares change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bridges.frost.dkg import DkgResult
from bridges.frost.dkg_checks import key_hash
from bridges.frost.dkg_messages import Assembly, Certificate, Phase, Roster, opened
from bridges.frost.group import Identifier, Point
from bridges.frost.group import identifier as checked_identifier
from bridges.frost.keygen import GroupPublicKey, Origin, PublicKeyPackage
from bridges.frost.reshare import ReshareResult
from bridges.frost.reshare_checks import Certified, Resharing
from bridges.frost.signing import verify_encoded
from oracle.errors import ConfigError
from oracle.protocol.errors import ProtocolError
from oracle.protocol.hashing import key_possession_hash
from oracle.protocol.message import Rotation, RotationRemote
from oracle.protocol.types import WORD, CommitteeEpoch

FORMAT = "sibyl-committee-key-2"
MAX_BYTES = 33_554_432
"""Each of 255 certificates quotes 255 members."""
_FIELDS = {
    "format",
    "committee",
    "epoch",
    "revision",
    "group_key",
    "proof_of_possession",
    "quorum",
    "overlap",
    "participants",
    "operators",
    "verifying_shares",
    "transcript_hash",
    "session",
    "round_one_hash",
    "handed_on_from",
    "certificates",
}


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The content of committee-key.json. `transcript` is what operators read to one another."""

    committee: str
    epoch: int
    revision: int
    public: PublicKeyPackage
    proof_of_possession: bytes
    overlap: int
    operators: bytes
    transcript: bytes
    session: bytes
    round_one: bytes
    handed_on_from: bytes
    """What stands for the old side of a resharing; empty for a key as it was made."""
    certificates: Mapping[Identifier, bytes]

    def __post_init__(self) -> None:
        key, lengths = self.public.group_public_key, (len(self.transcript), len(self.session), len(self.round_one))
        if lengths != (WORD,) * 3 or len(self.handed_on_from) != (WORD if self.revision else 0):
            raise ConfigError("a hash of it has another length than hashes have")
        if len(self.operators) != len(self.public.participants):
            raise ConfigError("it does not name one operator for each member")
        hashed = key_possession_hash(self.epoch, key.to_bytes()[1:], key.parity)
        if not verify_encoded(key.to_bytes(), self.proof_of_possession, hashed):
            raise ConfigError("its proof of possession does not hold")

    @classmethod
    def made(cls, roster: Roster, result: DkgResult, operators: bytes, overlap: int) -> "KeyFile":
        """Of a key by key generation."""
        return cls(
            roster.name,
            roster.epoch,
            0,
            result.share.public,
            result.proof_of_possession.to_bytes(),
            overlap,
            operators,
            result.key_hash,
            result.session,
            result.transcript,
            b"",
            result.certificates,
        )

    def handed_on(self, resharing: Resharing, result: ReshareResult, operators: bytes) -> "KeyFile":
        """Of this key, after it went to other members."""
        return KeyFile(
            self.committee,
            self.epoch,
            resharing.revision,
            result.public,
            self.proof_of_possession,
            self.overlap,
            operators,
            result.key_hash,
            result.session,
            result.transcript,
            resharing.origin,
            result.certificates,
        )

    @property
    def group_key(self) -> bytes:
        """33 bytes, compressed."""
        return self.public.group_public_key.to_bytes()

    def rotation(self, remotes: tuple[RotationRemote, ...]) -> Rotation:
        """What is posted to bring this key to the chains. Raises EncodeError for a committee that no chain takes."""
        return Rotation(
            CommitteeEpoch(self.epoch),
            self.group_key[1:],
            self.public.group_public_key.parity,
            self.proof_of_possession,
            self.overlap,
            self.transcript,
            self.public.threshold,
            self.operators,
            remotes,
        )

    def assembly(self, roster: Roster) -> Assembly:
        """Who certified this, given the committee file's members."""
        return Certified(roster, self.handed_on_from, self.revision) if self.revision else roster

    def require_certified(self, roster: Roster) -> None:
        """Raises ConfigError unless every member of the roster certified exactly this."""
        assembly = self.assembly(roster)
        if (self.committee, self.epoch) != (roster.name, roster.epoch):
            raise ConfigError(
                f"it is of committee {self.committee}, epoch {self.epoch}, not {roster.name}, epoch {roster.epoch}"
            )
        if self.public.participants != roster.participants or self.public.threshold != roster.threshold:
            raise ConfigError("it has other members or another quorum than the committee file")
        if self.transcript != key_hash(assembly, self.session, self.round_one, self.public):
            raise ConfigError("its transcript is not that of its content")
        for member in roster.participants:
            self._require_certificate(assembly, member)

    def _require_certificate(self, assembly: Assembly, member: Identifier) -> None:
        try:
            message = opened(assembly, self.certificates[member])
            head, certificate = message.head, Certificate.from_bytes(message.body)
        except (KeyError, ProtocolError) as error:
            raise ConfigError(f"member {member}'s certificate is missing or damaged ({error})") from error
        if (head.phase, head.sender, head.session) != (Phase.CERTIFICATE, member, self.session):
            raise ConfigError(f"member {member}'s certificate is of another message")
        if certificate.key_hash != self.transcript:
            raise ConfigError(f"member {member} certified another key")

    def to_json(self) -> str:
        """The file's text."""
        content = {
            "format": FORMAT,
            "committee": self.committee,
            "epoch": self.epoch,
            "revision": self.revision,
            "group_key": "0x" + self.group_key.hex(),
            "proof_of_possession": "0x" + self.proof_of_possession.hex(),
            "quorum": self.public.threshold,
            "overlap": self.overlap,
            "participants": list(self.public.participants),
            "operators": list(self.operators),
            "verifying_shares": {str(i): "0x" + p.to_bytes().hex() for i, p in self.public.verifying_shares.items()},
            "transcript_hash": self.transcript.hex(),
            "session": self.session.hex(),
            "round_one_hash": self.round_one.hex(),
            "handed_on_from": self.handed_on_from.hex(),
            "certificates": {str(i): data.hex() for i, data in self.certificates.items()},
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "KeyFile":
        """Raises ConfigError with a clause that says what is wrong."""
        try:
            content = json.loads(text)
            if not isinstance(content, dict) or set(content) != _FIELDS or content["format"] != FORMAT:
                raise ConfigError(f"it is not of the format {FORMAT}")
            return cls._read(content)
        except (ProtocolError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(f"it is damaged ({error})") from error

    @classmethod
    def _read(cls, content: Mapping[str, object]) -> "KeyFile":
        shares, certificates = _mapping(content, "verifying_shares"), _mapping(content, "certificates")
        public = PublicKeyPackage(
            GroupPublicKey.from_bytes(_hex(content["group_key"])),
            _whole(content["quorum"]),
            {who: Point.from_bytes(data) for who, data in shares.items()},
            Origin.DKG,
        )
        if content["participants"] != list(public.participants):
            raise ConfigError("its participants are not those with a verifying share")
        operators = content["operators"]
        if not isinstance(operators, list):
            raise ConfigError("its operators are no list")
        return cls(
            str(content["committee"]),
            _whole(content["epoch"]),
            _whole(content["revision"]),
            public,
            _hex(content["proof_of_possession"]),
            _whole(content["overlap"]),
            bytes(map(_whole, operators)),
            _hex(content["transcript_hash"]),
            _hex(content["session"]),
            _hex(content["round_one_hash"]),
            _hex(content["handed_on_from"]),
            certificates,
        )


def _hex(value: object) -> bytes:
    return bytes.fromhex(str(value).removeprefix("0x"))


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ValueError(f"{value!r} is no number of it")
    return value


def _mapping(content: Mapping[str, object], name: str) -> dict[Identifier, bytes]:
    value = content[name]
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return {checked_identifier(int(who)): _hex(data) for who, data in value.items()}


def load_key_file(path: Path, roster: Roster | None = None) -> KeyFile:
    """Read it, and with `roster` check that all its members certified it. Raises ConfigError naming the file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is too large to be a public key file.")
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The public key file {path} cannot be read.") from error
    try:
        file = KeyFile.from_json(text)
        if roster is not None:
            file.require_certified(roster)
    except ConfigError as error:
        raise ConfigError(f"{path} does not show that all members certified this key: {error}.") from error
    return file
