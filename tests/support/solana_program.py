"""The Sibyl program in LiteSVM (the cluster's own runtime, in process): a bench that posts, delivers and reads, for the program's tests.

A test makes a well-formed instruction with `bridges.solana.instructions` and then bends it; `refused` names the program's error.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from solders.account import Account as ChainAccount
from solders.clock import Clock
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message as TransactionMessage
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from bridges.solana import instructions
from bridges.solana.layout import AccountData, CommitteeAccount, ConfigAccount, ModelAccount, ProgramAddresses
from contracts.solana.build import build_programs
from contracts.solana.errors import program_errors
from oracle.protocol.hashing import batch_signing_hash, merkle_branch
from oracle.protocol.message import (
    InferenceRequest,
    Message,
    Outcome,
    Remote,
    Rotation,
    RotationRemote,
    result_messages,
    rotation_messages,
)
from oracle.protocol.types import (
    Account,
    Chain,
    CommitteeEpoch,
    Endpoint,
    Kind,
    ModelId,
    Policy,
    Sequence,
    Status,
    UnixSeconds,
    evm_account,
)
from tests.support.schnorr import SchnorrKey

UPGRADEABLE_LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
GENESIS = bytes(range(32))
NOW = 1_900_000_000
DEADLINE = UnixSeconds(NOW + 600)
MODEL = ModelId(bytes([7] * 32))
PRICE = 5_000_000
BOUND = 1 << 20
EVM = Endpoint(Chain.evm(31337), evm_account(bytes([0xE1] * 20)))
EVM_HUB = evm_account(bytes([0xE2] * 20))
EVM_USER = evm_account(bytes([0xE3] * 20))
EVM_COMMITTEE = evm_account(bytes([0xE4] * 20))
FUNDS = 10_000_000_000
ACTIVATION_DELAY = 7200


def committee_key(label: str = "committee") -> SchnorrKey:
    """A key whose x is below the group's order, as nearly all are."""
    return SchnorrKey.seeded(label)


def pad(data: bytes) -> Account:
    """A Solana key as a protocol account."""
    return Account(bytes(data))


@dataclass(slots=True)
class Bench:
    """One deployed and initialised program, with a model and an EVM peer."""

    svm: LiteSVM
    at: ProgramAddresses
    authority: Keypair
    user: Keypair
    treasury: Pubkey
    key: SchnorrKey
    units: int = 0
    logs: list[str] = field(default_factory=list)

    @property
    def home(self) -> Endpoint:
        """This program as an origin or destination."""
        return Endpoint(Chain.solana(GENESIS), pad(bytes(self.at.program)))

    # ---- transactions ----

    def run(
        self, *steps: Instruction, signers: tuple[Keypair, ...] = ()
    ) -> TransactionMetadata | FailedTransactionMetadata:
        """One transaction, paid by the user's account, with a fresh blockhash."""
        self.svm.expire_blockhash()
        wanted = {meta.pubkey for step in steps for meta in step.accounts if meta.is_signer} - {self.user.pubkey()}
        everyone = [self.user, *(signer for signer in signers if signer.pubkey() in wanted)]
        budget = set_compute_unit_limit(1_400_000)
        message = TransactionMessage([budget, *steps], self.user.pubkey())
        done = self.svm.send_transaction(Transaction(everyone, message, self.svm.latest_blockhash()))
        meta = done.meta() if isinstance(done, FailedTransactionMetadata) else done
        self.units, self.logs = meta.compute_units_consumed(), meta.logs()
        return done

    def accepted(self, *steps: Instruction, signers: tuple[Keypair, ...] = ()) -> TransactionMetadata:
        """Run, and expect success."""
        done = self.run(*steps, signers=signers)
        assert isinstance(done, TransactionMetadata), self.logs
        return done

    def refused(self, *steps: Instruction, signers: tuple[Keypair, ...] = ()) -> str:
        """Run, expect a refusal by one of the program's own errors, and return its name."""
        done = self.run(*steps, signers=signers)
        assert isinstance(done, FailedTransactionMetadata), "the program accepted it"
        code = getattr(getattr(done.err(), "err", None), "code", None)
        assert code is not None, (str(done.err()), self.logs)
        error = program_errors()[code]
        assert f"Program log: {error.sentence}" in self.logs
        return error.name

    # ---- state ----

    def account(self, address: Pubkey) -> ChainAccount:
        """An account that must exist."""
        found = self.svm.get_account(address)
        assert found is not None, f"{address} does not exist"
        return found

    def data(self, address: Pubkey) -> AccountData:
        """The same for the layouts of `bridges.solana`."""
        found = self.account(address)
        return AccountData(found.owner, found.lamports, bytes(found.data))

    def exists(self, address: Pubkey) -> bool:
        """Whether there is anything at the address."""
        found = self.svm.get_account(address)
        return found is not None and found.lamports > 0

    def lamports(self, address: Pubkey) -> int:
        """Balance; 0 for no account."""
        return self.svm.get_balance(address) or 0

    def rent(self, size: int) -> int:
        """Rent-exempt minimum for `size` bytes."""
        return self.svm.minimum_balance_for_rent_exemption(size)

    def put(self, address: Pubkey, data: bytes, owner: Pubkey, lamports: int = FUNDS) -> None:
        """Place an account as an attacker could have made it (or, with the program's owner, as he could not)."""
        self.svm.set_account(address, ChainAccount(lamports, data, owner))

    def set_time(self, now: int) -> None:
        """Set the cluster's clock."""
        clock = self.svm.get_clock()
        self.svm.set_clock(Clock(clock.slot, 0, clock.epoch, clock.leader_schedule_epoch, now))

    def next_sequence(self) -> Sequence:
        """The configuration's next sequence."""
        return Sequence(self.config().next_sequence)

    # ---- posting ----

    def asked(self, *, fee: int = PRICE, inputs: tuple[int, ...] = (1, -2, BOUND), remotes: tuple[Remote, ...] = (),
              policy: Policy = Policy.ATTESTED) -> InferenceRequest:  # fmt: skip
        """A request that the program takes."""
        return InferenceRequest(MODEL, fee, 100_000, policy, remotes, inputs)

    def request_body(self, asked: InferenceRequest, sequence: Sequence, sender: Pubkey | None = None) -> Message:
        """The body that the program must build for it."""
        return Message(
            Kind.INFERENCE_REQUEST, self.home, self.home, sequence, pad(bytes(sender or self.user.pubkey())),
            self.home.gateway, DEADLINE, asked.to_bytes(),
        )  # fmt: skip

    def post_request(self, asked: InferenceRequest | None = None) -> Message:
        """Ask, and return the request's body."""
        wanted, sequence = asked or self.asked(), self.next_sequence()
        self.accepted(instructions.request(self.at, self.user.pubkey(), sequence, DEADLINE, wanted))
        return self.request_body(wanted, sequence)

    # ---- delivering ----

    def envelope(
        self, message: Message, *others: Message, key: SchnorrKey | None = None, epoch: int = 1
    ) -> instructions.Envelope:
        """A signature over a batch of `message` and `others`, with the branch of `message`."""
        digests = [one.digest for one in (message, *others)]
        signature = (key or self.key).sign(batch_signing_hash(digests))
        return instructions.Envelope(CommitteeEpoch(epoch), signature, merkle_branch(digests, 0))

    def delivery(
        self, message: Message, envelope: instructions.Envelope | None = None, requester: Pubkey | None = None
    ) -> Instruction:
        """A well-formed deliver instruction."""
        own = message.origin == message.destination and message.kind is Kind.INFERENCE_RESULT
        home = instructions.HomeRequest(self.treasury, requester or self.user.pubkey()) if own else None
        return instructions.deliver(self.at, self.user.pubkey(), message, envelope or self.envelope(message), home)

    def inbound(self, *, sequence: int = 1, payload: bytes = b"hello", origin: Endpoint = EVM, expiry: int = 0,
                recipient: bytes | None = None, destination: Endpoint | None = None) -> Message:  # fmt: skip
        """A user's message from the EVM peer to this program."""
        return Message(
            Kind.MESSAGE, origin, destination or self.home, Sequence(sequence), EVM_USER,
            pad(recipient or bytes(self.user.pubkey())), UnixSeconds(expiry), payload,
        )  # fmt: skip

    def rotation(self, key: SchnorrKey, *, epoch: int = 2, sequence: int = 1, overlap: int = 600, members: int = 4,
                 **changes: object) -> Message:  # fmt: skip
        """A rotation from the EVM committee to this program, which brings `key`."""
        facts = {"epoch": CommitteeEpoch(epoch), "group_key": key.px.to_bytes(32), "parity": key.parity,
                 "proof_of_possession": key.proof_of_possession(epoch), "overlap": overlap, "transcript": bytes([5] * 32),
                 "threshold": 2 * members // 3 + 1, "operators": bytes(range(members)),
                 "remotes": (RotationRemote(self.home, self.home.gateway),)}  # fmt: skip
        rotation = Rotation(**(facts | changes))  # type: ignore[arg-type]  # a test's shorthand
        post = Message(
            Kind.ROTATION,
            EVM,
            EVM,
            Sequence(sequence),
            EVM_COMMITTEE,
            EVM_COMMITTEE,
            UnixSeconds(0),
            rotation.to_bytes(),
        )
        return rotation_messages(post)[1]

    def rotate(self, rotation: Message) -> Instruction:
        """What takes it, once it is delivered."""
        return instructions.rotate(self.at, self.user.pubkey(), rotation, self.user.pubkey())

    def committee(self, epoch: int) -> CommitteeAccount:
        """A committee's account."""
        return CommitteeAccount.decode(self.data(self.at.committee(CommitteeEpoch(epoch)).address), self.at.program)

    def config(self) -> ConfigAccount:
        """The configuration."""
        return ConfigAccount.decode(self.data(self.at.config.address), self.at.program)

    def foreign_result(self, *, sequence: int = 1, outcome: Outcome | None = None, policy: Policy = Policy.ATTESTED,
                       consumer: bytes | None = None) -> Message:  # fmt: skip
        """The result, for this chain, of a request on the EVM peer."""
        remote = Remote(policy, self.home, self.home.gateway, pad(consumer or bytes(self.user.pubkey())))
        asked = InferenceRequest(MODEL, 1, 100_000, Policy.BOTH, (remote,), (1, 2, 3))
        request = Message(
            Kind.INFERENCE_REQUEST, EVM, EVM, Sequence(sequence), EVM_USER, EVM_HUB, DEADLINE, asked.to_bytes()
        )
        return result_messages(request, outcome or answered())[1]


def answered(*outputs: int) -> Outcome:
    """An answer; one output by default."""
    return Outcome(Status.ANSWERED, outputs or (-12345,), 13)


def refusal(status: Status = Status.OUT_OF_RANGE) -> Outcome:
    """A signed refusal."""
    return Outcome(status)


def bent(step: Instruction, **changes: object) -> Instruction:
    """The same instruction with other `data`, or with accounts replaced by `account_<index>=`."""
    metas = list(step.accounts)
    for name, value in changes.items():
        if name.startswith("account_"):
            index = int(name.removeprefix("account_"))
            old = metas[index]
            metas[index] = (
                value if isinstance(value, AccountMeta) else AccountMeta(value, old.is_signer, old.is_writable)  # type: ignore[arg-type]  # a key otherwise
            )
    data = changes.get("data", step.data)
    return Instruction(step.program_id, bytes(data), metas)  # type: ignore[call-overload]  # data is bytes in every call


def deploy(key: SchnorrKey | None = None, program: Pubkey | None = None) -> Bench:
    """The program in a fresh runtime, with an upgrade authority, not initialised."""
    svm, at = LiteSVM(), ProgramAddresses(program or Pubkey.new_unique())
    authority, user = Keypair(), Keypair()
    svm.add_program(at.program, build_programs().sibyl_so.read_bytes())
    bench = Bench(svm, at, authority, user, Keypair().pubkey(), key or committee_key())
    set_upgrade_authority(bench, at.program_data, authority.pubkey())
    for one in (authority.pubkey(), user.pubkey(), bench.treasury):
        svm.airdrop(one, FUNDS)
    bench.set_time(NOW)
    return bench


def set_upgrade_authority(bench: Bench, program_data: Pubkey, authority: Pubkey | None) -> None:
    """What the loader writes at deployment; LiteSVM leaves it out."""
    found = bench.account(program_data)
    option = b"\1" + bytes(authority) if authority else bytes(33)
    header = bytes(found.data[:12]) + option
    bench.svm.set_account(program_data, ChainAccount(found.lamports, header + bytes(found.data[45:]), found.owner))


def group_key(key: SchnorrKey, epoch: int = 1) -> instructions.GroupKey:
    """A committee's key with its proof of possession."""
    return instructions.GroupKey(CommitteeEpoch(epoch), key.px.to_bytes(32), key.parity, key.proof_of_possession(epoch))


def initialise(bench: Bench) -> Instruction:
    """The initialise instruction of this bench."""
    return instructions.initialise(
        bench.at, bench.authority.pubkey(), GENESIS, bench.treasury, group_key(bench.key), ACTIVATION_DELAY
    )


def model(**changes: object) -> ModelAccount:
    """The model that the bench registers."""
    facts = {"model_id": MODEL, "active": True, "input_count": 3, "output_count": 1, "input_scale": 10, "output_scale": 13,
             "input_bound": BOUND, "price": PRICE}  # fmt: skip
    return ModelAccount(**(facts | changes))  # type: ignore[arg-type]  # a test's shorthand


def start(key: SchnorrKey | None = None) -> Bench:
    """Deployed, initialised, with the model and the peer."""
    bench = deploy(key)
    authority = bench.authority.pubkey()
    bench.accepted(initialise(bench), signers=(bench.authority,))
    bench.accepted(
        instructions.register_model(bench.at, authority, model()),
        instructions.register_peer(bench.at, authority, EVM),
        signers=(bench.authority,),
    )
    return bench


def copy_account(
    bench: Bench, source: Pubkey, target: Pubkey, owner: Pubkey, change: Callable[[bytearray], None]
) -> None:
    """Place a changed copy of an account at another address, under an owner."""
    data = bytearray(bench.account(source).data)
    change(data)
    bench.put(target, bytes(data), owner)
