"""Who may initialise and govern the Solana program, and what even governance cannot set."""

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM

from bridges.solana import instructions
from bridges.solana.layout import ProgramAddresses
from oracle.protocol.types import (
    Chain,
    CommitteeEpoch,
    Endpoint,
    evm_account,
)
from tests.support import solana_program as sp
from tests.support.solana_program import Bench, bent

# ---- initialise and the authority ----


def test_solana_program_attack__initialise_by_somebody_else__refused() -> None:
    bench, mallory = sp.deploy(), Keypair()
    bench.svm.airdrop(mallory.pubkey(), sp.FUNDS)
    step = instructions.initialise(bench.at, mallory.pubkey(), sp.GENESIS, bench.treasury, sp.group_key(bench.key), 0)
    assert bench.refused(step, signers=(mallory,)) == "NotUpgradeAuthority"
    # The program data of another program, of which she is the upgrade authority.
    other = ProgramAddresses(Pubkey.new_unique())
    bench.svm.add_program(other.program, bytes(bench.account(bench.at.program_data).data)[45:])
    sp.set_upgrade_authority(bench, other.program_data, mallory.pubkey())
    assert bench.refused(bent(step, account_3=other.program_data), signers=(mallory,)) == "WrongAddress"
    unsigned = [AccountMeta(bench.authority.pubkey(), False, True), *step.accounts[1:]]
    assert bench.refused(Instruction(step.program_id, bytes(step.data), unsigned)) == "MissingSignature"


def test_solana_program_attack__initialise_a_program_without_upgrade_authority__refused() -> None:
    bench = sp.deploy()
    sp.set_upgrade_authority(bench, bench.at.program_data, None)
    assert bench.refused(sp.initialise(bench), signers=(bench.authority,)) == "NotUpgradeAuthority"
    # "No authority" is 32 bytes of zeros behind the option: the system program's address must not pass for it.
    step = bent(sp.initialise(bench), account_0=AccountMeta(SYSTEM, False, True))
    assert bench.refused(step) == "MissingSignature"


def test_solana_program_attack__initialise_by_the_authority_that_gave_up__refused() -> None:
    # The loader clears the option's byte alone and leaves the old key behind it.
    bench = sp.deploy()
    found = bench.account(bench.at.program_data)
    stale = bytes(found.data[:12]) + b"\0" + bytes(bench.authority.pubkey()) + bytes(found.data[45:])
    bench.put(bench.at.program_data, stale, found.owner, found.lamports)
    assert bench.refused(sp.initialise(bench), signers=(bench.authority,)) == "NotUpgradeAuthority"


def test_solana_program_attack__initialise_twice__refused(bench: Bench) -> None:
    assert bench.refused(sp.initialise(bench), signers=(bench.authority,)) == "AlreadyExists"


def test_solana_program_attack__governance_by_somebody_else__refused(bench: Bench, mallory: Keypair) -> None:
    evil, her = sp.committee_key("evil"), mallory.pubkey()
    for step in (
        instructions.set_committee(bench.at, her, sp.group_key(evil, 2), 1),
        instructions.register_model(bench.at, her, sp.model(price=0)),
        instructions.register_peer(bench.at, her, Endpoint(Chain.evm(666), evm_account(bytes([6] * 20)))),
    ):
        assert bench.refused(step, signers=(mallory,)) == "NotAuthority"
        unsigned = [AccountMeta(bench.authority.pubkey(), False, True), *step.accounts[1:]]
        assert bench.refused(Instruction(step.program_id, bytes(step.data), unsigned)) == "MissingSignature"


def test_solana_program_attack__committee_epoch_skipped__refused(bench: Bench) -> None:
    step = instructions.set_committee(bench.at, bench.authority.pubkey(), sp.group_key(sp.committee_key("next"), 3), 1)
    current = bent(step, account_2=bench.at.committee(CommitteeEpoch(1)).address)
    assert bench.refused(current, signers=(bench.authority,)) == "WrongEpoch"


def test_solana_program_attack__model_out_of_range__refused(bench: Bench) -> None:
    for change in ({"input_count": 0}, {"input_count": 1025}, {"output_count": 0}, {"output_count": 65}, {"input_scale": 31},
                   {"output_scale": 31}, {"input_bound": 0}, {"input_bound": 1 << 63}):  # fmt: skip
        step = instructions.register_model(bench.at, bench.authority.pubkey(), sp.model(**change))
        assert bench.refused(step, signers=(bench.authority,)) == "InvalidModel"


def test_solana_program_attack__itself_or_nobody_as_a_peer__refused(bench: Bench) -> None:
    for origin in (bench.home, Endpoint(Chain.evm(5), evm_account(bytes(20)))):
        step = instructions.register_peer(bench.at, bench.authority.pubkey(), origin)
        assert bench.refused(step, signers=(bench.authority,)) == "InvalidPeer"
