"""Writes `tokens.json`: the shared vectors of the token bridge that Python, Solidity and Zig read (TOKENS.md §1–3).

Run as `python tests/vectors/make_tokens.py`; a test checks that the committed file is what this script writes. Amounts are decimal strings;
bytes are 0x-hex. A transfer's `origin` and `destination` are ERC-7930 chain types (0 EVM, 2 Solana).
"""

import json
from pathlib import Path
from typing import Any

from oracle.protocol.hashing import keccak256
from oracle.protocol.interop import InteropAddress
from oracle.protocol.tokens import TokenRegistration, TokenTransfer, create2_address
from oracle.protocol.types import Account, Chain, ChainType, evm_account

TARGET = Path(__file__).with_name("tokens.json")
U64_MAX = (1 << 64) - 1


def _seeded(label: str, size: int = 32) -> bytes:
    return keccak256(b"sibyl token vectors", label.encode())[:size]


EVM = Chain.evm(31337)
SOLANA = Chain.solana(_seeded("genesis"))
EVM_ALICE, EVM_BOB = evm_account(_seeded("alice", 20)), evm_account(_seeded("bob", 20))
SOL_ALICE, SOL_BOB = Account(_seeded("sol alice")), Account(_seeded("sol bob"))
ERC20, SPL_MINT = evm_account(_seeded("an ERC-20", 20)), Account(_seeded("an SPL mint"))
WRAPPED_SOL = Account(bytes.fromhex("069b8857feab8184fb687f634618c035dac439dc1aeb3b5598a0f00000000001"))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def transfers() -> dict[str, TokenTransfer]:
    def out(chain: Chain, amount: int, fee: int = 0) -> TokenTransfer:
        return TokenTransfer(InteropAddress(chain, EVM_ALICE), ChainType.SOLANA, SOL_BOB, amount, fee)

    def back(amount: int, fee: int = 0) -> TokenTransfer:
        return TokenTransfer(InteropAddress(SOLANA, SOL_ALICE), ChainType.EIP155, EVM_BOB, amount, fee)

    return {
        "evm to solana": out(EVM, 1_234_567_890),
        "evm to solana, with a fee": out(EVM, 1_234_567_890, 1_000),
        "evm to solana, least": out(EVM, 1),
        "evm to solana, largest fee": out(EVM, U64_MAX, U64_MAX - 1),
        "evm to solana, most": out(EVM, U64_MAX),
        "evm to solana, chain id of one byte": out(Chain.evm(1), 10**9),
        "evm to solana, sender fills a word": out(Chain.evm((1 << 48) - 1), 5),
        "evm to solana, sender of two words": out(Chain.evm(1 << 48), 6),
        "evm to solana, longest chain id": out(Chain.evm(U64_MAX), 7),
        "solana to evm": back(9_876_543_210),
        "solana to evm, with a fee": back(9_876_543_210, 77),
        "solana to evm, least": back(1),
        "solana to evm, most": back(U64_MAX),
    }


def registrations() -> dict[str, TokenRegistration]:
    return {
        "an ERC-20": TokenRegistration(ERC20, 9, b"Wrapped Ether", b"WETH"),
        "an ERC-20 of 6 decimals": TokenRegistration(evm_account(_seeded("usd", 20)), 6, b"USD Example", b"USDX"),
        "an ERC-20 without decimals, shortest": TokenRegistration(evm_account(_seeded("zero", 20)), 0, b"N", b"S"),
        "an ERC-20 without metadata": TokenRegistration(
            ERC20, 9, b"0x" + ERC20[12:].hex()[:30].encode(), b"0x" + ERC20[12:].hex()[:8].encode()
        ),
        "an SPL mint": TokenRegistration(SPL_MINT, 9, "Żółty żeton".encode(), b"ZZ"),
        "an SPL mint, longest": TokenRegistration(SPL_MINT, 9, b"n" * 32, b"s" * 10),
        "the native mint of Solana": TokenRegistration(WRAPPED_SOL, 9, b"Wrapped SOL", b"SOL"),
    }


def _abi(*words: int | bytes) -> bytes:
    """Words as they are given: numbers, or bytes padded on the right to whole words."""
    return b"".join(w.to_bytes(32) if isinstance(w, int) else w + bytes(-len(w) % 32) for w in words)


def _changed(source: bytes, offset: int, new: bytes) -> bytes:
    assert len(source) >= offset + len(new)
    return source[:offset] + new + source[offset + len(new) :]


def invalid_transfers() -> list[dict[str, Any]]:
    """Each is one change to a valid payload, or one value out of its range."""
    out, back = transfers()["evm to solana"].to_bytes(), transfers()["solana to evm"].to_bytes()
    evm_from, sol_from = InteropAddress(EVM, EVM_ALICE).to_bytes(), InteropAddress(SOLANA, SOL_ALICE).to_bytes()
    spare = _abi(0)

    def to_solana(sender: bytes, to: bytes = SOL_BOB, amount: int = 5, fee: int = 0) -> bytes:
        size = -(-len(sender) // 32) * 32
        return _abi(128, 160 + size, amount, fee, len(sender), sender, len(to), to)

    def to_evm(sender: bytes, to: bytes = EVM_BOB[12:], amount: int = 5, fee: int = 0) -> bytes:
        size = -(-len(sender) // 32) * 32
        return _abi(128, 160 + size, amount, fee, len(sender), sender, len(to), to)

    assert to_solana(evm_from, SOL_BOB, 1_234_567_890) == out
    assert to_evm(sol_from, EVM_BOB[12:], 9_876_543_210) == back
    solana = {
        "empty": b"",
        "a head alone": out[:128],
        "cut by a byte": out[:-1],
        "cut by a word": out[:-32],
        "a trailing byte": out + b"\0",
        "a trailing word of zeros": out + spare,
        "amount 0": _changed(out, 64, _abi(0)),
        "amount 2^64": _changed(out, 64, _abi(1 << 64)),
        "amount 2^256 - 1": _changed(out, 64, b"\xff" * 32),
        "fee of the whole amount": to_solana(evm_from, SOL_BOB, 5, 5),
        "fee over the amount": to_solana(evm_from, SOL_BOB, 5, 6),
        "fee 2^256 - 1": _changed(out, 96, b"\xff" * 32),
        "fee with a high bit": _changed(out, 96, b"\x80"),
        "no word for the fee": _abi(96, 128 + 32, 5, len(evm_from), evm_from, 32, SOL_BOB),
        "amount with a high bit": _changed(out, 64, b"\x80"),
        "offset of from one word on": _abi(160, 256, 5, 0, 0, len(evm_from), evm_from, 32, SOL_BOB),
        "offset of from points at to": _changed(out, 0, out[32:64]),
        "offset of from 2^256 - 32": _changed(out, 0, b"\xff" * 31 + b"\xe0"),
        "offset of from with a high bit": _changed(out, 0, b"\x80"),
        "offset of to points at from": _changed(out, 32, out[:32]),
        "offset of to one word on": _abi(128, 224, 5, 0, len(evm_from), evm_from, 0, 32, SOL_BOB),
        "offset of to one byte less": _changed(out, 63, bytes([out[63] - 1])),
        "offset of to 2^256 - 32": _changed(out, 32, b"\xff" * 31 + b"\xe0"),
        "from and to in the other order": _abi(192, 128, 5, 0, 32, SOL_BOB, len(evm_from), evm_from),
        "length of from 2^256 - 1": _changed(out, 128, b"\xff" * 32),
        "length of from 2^64": _changed(out, 128, _abi(1 << 64)),
        "length of from one more": _changed(out, 159, bytes([len(evm_from) + 1])),
        "length of to 2^256 - 1": _changed(out, 192, b"\xff" * 32),
        "padding of from not zero": _changed(out, 128 + 32 + 31, b"\1"),
        "from empty": to_solana(b""),
        "from of another version": to_solana(b"\0\2" + evm_from[2:]),
        "from of an unknown chain type": to_solana(evm_from[:2] + b"\0\3" + evm_from[4:]),
        "from with a leading zero in its chain id": to_solana(bytes.fromhex("0001000003007a6914") + EVM_ALICE[12:]),
        "from without a chain": to_solana(bytes.fromhex("000100000014") + EVM_ALICE[12:]),
        "from without an address": to_solana(bytes.fromhex("00010000027a6900")),
        "from with a trailing byte": to_solana(evm_from + b"\0"),
        "from with a chain id over 64 bits": to_solana(
            bytes.fromhex("000100000901000000000000000014") + EVM_ALICE[12:]
        ),
        "from an EVM address of 19 bytes": to_solana(bytes.fromhex("00010000027a6913") + EVM_ALICE[13:]),
        "from a bare address": to_solana(EVM_ALICE[12:]),
        "from on Solana": to_solana(sol_from),
        "to of 20 bytes": to_solana(evm_from, EVM_BOB[12:]),
        "to of 31 bytes": to_solana(evm_from, SOL_BOB[:31]),
        "to of 33 bytes": to_solana(evm_from, SOL_BOB + b"\0"),
        "to of 64 bytes": to_solana(evm_from, SOL_BOB + SOL_ALICE),
        "to empty": to_solana(evm_from, b""),
        "to an ERC-7930 address": to_solana(evm_from, InteropAddress(SOLANA, SOL_BOB).to_bytes()),
        "packed, not ABI": evm_from + SOL_BOB + _abi(5),
    }
    evm = {
        "empty": b"",
        "cut by a byte": back[:-1],
        "cut by a word": back[:-32],
        "a trailing byte": back + b"\0",
        "a trailing word of zeros": back + spare,
        "amount 0": _changed(back, 64, _abi(0)),
        "amount 2^64": _changed(back, 64, _abi(1 << 64)),
        "amount with a high bit": _changed(back, 64, b"\x80"),
        "fee of the whole amount": to_evm(sol_from, EVM_BOB[12:], 1, 1),
        "fee over the amount": to_evm(sol_from, EVM_BOB[12:], 5, 1 << 64),
        "fee with a high bit": _changed(back, 96, b"\x80"),
        "no word for the fee": _abi(96, 128 + 96, 5, 70, sol_from, 20, EVM_BOB[12:]),
        "offset of from one byte more": _changed(back, 31, b"\x81"),
        "offset of from with a high bit": _changed(back, 0, b"\x80"),
        "offset of to with a high bit": _changed(back, 32, b"\x80"),
        "offset of to points at from": _changed(back, 32, back[:32]),
        "offset of to one word on": _abi(128, 288, 5, 0, 70, sol_from, 0, 20, EVM_BOB[12:]),
        "offset of to past the end": _changed(back, 32, _abi(len(back))),
        "from and to in the other order": _abi(192, 128, 5, 0, 20, EVM_BOB[12:], 70, sol_from),
        "length of from one less": _changed(back, 159, b"\x45"),
        "length of from 2^256 - 1": _changed(back, 128, b"\xff" * 32),
        "length of to 2^256 - 1": _changed(back, 256, b"\xff" * 32),
        "padding of from not zero, first byte": _changed(back, 160 + 70, b"\1"),
        "padding of from not zero, last byte": _changed(back, 160 + 95, b"\1"),
        "padding of to not zero, first byte": _changed(back, 288 + 20, b"\1"),
        "padding of to not zero, last byte": _changed(back, 288 + 31, b"\1"),
        "from empty": to_evm(b""),
        "from of another version": to_evm(b"\0\2" + sol_from[2:]),
        "from of an unknown chain type": to_evm(sol_from[:2] + b"\0\3" + sol_from[4:]),
        "from with a short genesis hash": to_evm(sol_from[:4] + b"\x1f" + sol_from[6:]),
        "from with a short account": to_evm(sol_from[:37] + b"\x1f" + sol_from[39:]),
        "from with a trailing byte": to_evm(sol_from + b"\0"),
        "from a bare account": to_evm(SOL_ALICE),
        "from on an EVM chain": to_evm(evm_from),
        "to of 32 bytes": to_evm(sol_from, EVM_BOB),
        "to of 19 bytes": to_evm(sol_from, EVM_BOB[13:]),
        "to of 21 bytes": to_evm(sol_from, EVM_BOB[12:] + b"\0"),
        "to empty": to_evm(sol_from, b""),
        "to an ERC-7930 address": to_evm(sol_from, InteropAddress(EVM, EVM_BOB).to_bytes()),
    }
    directions = ((ChainType.EIP155, ChainType.SOLANA, solana), (ChainType.SOLANA, ChainType.EIP155, evm))
    return [
        {
            "name": f"{'evm to solana' if origin is ChainType.EIP155 else 'solana to evm'}: {name}",
            "origin": int(origin),
            "destination": int(destination),
            "payload": _hex(payload),
        }
        for origin, destination, cases in directions
        for name, payload in cases.items()
    ]


def invalid_registrations() -> dict[str, bytes]:
    """Each is one change to a valid payload, or one value out of its range."""
    valid = registrations()["an ERC-20"].to_bytes()

    def made(name: bytes, symbol: bytes, decimals: int = 9) -> bytes:
        return _abi(ERC20, decimals, 128, 160 + -(-len(name) // 32) * 32, len(name), name, len(symbol), symbol)

    assert made(b"Wrapped Ether", b"WETH") == valid
    return {
        "empty": b"",
        "a head alone": valid[:128],
        "cut by a byte": valid[:-1],
        "cut by a word": valid[:-32],
        "a trailing byte": valid + b"\0",
        "a trailing word of zeros": valid + _abi(0),
        "token zero": _changed(valid, 0, _abi(0)),
        "10 decimals": made(b"Wrapped Ether", b"WETH", 10),
        "256 decimals": made(b"Wrapped Ether", b"WETH", 256),
        "decimals with a high bit": _changed(valid, 32, b"\x80"),
        "name empty": made(b"", b"WETH"),
        "name empty with a word": _changed(valid, 128, _abi(0)),
        "name of 33 bytes": made(b"n" * 33, b"WETH"),
        "name of 64 bytes": made(b"n" * 64, b"WETH"),
        "name of 2^256 - 1 bytes": _changed(valid, 128, b"\xff" * 32),
        "symbol empty": made(b"Wrapped Ether", b""),
        "symbol empty with a word": _changed(valid, 192, _abi(0)),
        "symbol of 11 bytes": made(b"Wrapped Ether", b"s" * 11),
        "symbol of 33 bytes": made(b"Wrapped Ether", b"s" * 33),
        "symbol of 2^256 - 1 bytes": _changed(valid, 192, b"\xff" * 32),
        "offset of name one word on": _abi(ERC20, 9, 160, 224, 0, 13, b"Wrapped Ether", 4, b"WETH"),
        "offset of name points at symbol": _changed(valid, 64, _abi(192)),
        "offset of name with a high bit": _changed(valid, 64, b"\x80"),
        "offset of symbol points at name": _changed(valid, 96, _abi(128)),
        "offset of symbol one word on": _abi(ERC20, 9, 128, 224, 13, b"Wrapped Ether", 0, 4, b"WETH"),
        "offset of symbol with a high bit": _changed(valid, 96, b"\x80"),
        "name and symbol in the other order": _abi(ERC20, 9, 192, 128, 4, b"WETH", 13, b"Wrapped Ether"),
        "padding of name not zero": _changed(valid, 160 + 13, b"\1"),
        "padding of name not zero, last byte": _changed(valid, 160 + 31, b"\1"),
        "padding of symbol not zero": _changed(valid, 224 + 4, b"\1"),
        "padding of symbol not zero, last byte": _changed(valid, 224 + 31, b"\1"),
        "a transfer": transfers()["evm to solana"].to_bytes(),
    }


def predictions() -> list[dict[str, str]]:
    """CREATE2 addresses (EIP-1014); the hashes stand for the creation code of each kind of contract."""
    factory = evm_account(_seeded("factory", 20))
    example = {  # the EIP's own example, for those who doubt all of this
        "name": "EIP-1014, example 3",
        "factory": _hex(bytes.fromhex("deadbeef00000000000000000000000000000000")),
        "salt": _hex(bytes.fromhex("000000000000000000000000feed000000000000000000000000000000000000")),
        "init_code_hash": _hex(keccak256(b"\0")),
        "address": "0xd04116cdd17bebe565eb2422f2497e06cc1c9833",
    }
    kinds = {
        "native bridge": (ERC20,),
        "wrapped bridge": (SPL_MINT, WRAPPED_SOL),
        "wrapped token": (SPL_MINT, WRAPPED_SOL),
    }
    made = [
        {
            "name": f"{kind} {number}",
            "factory": _hex(factory[12:]),
            "salt": _hex(token),
            "init_code_hash": _hex(_seeded(f"creation code of the {kind}")),
            "address": _hex(create2_address(factory, token, _seeded(f"creation code of the {kind}"))[12:]),
        }
        for kind, tokens in kinds.items()
        for number, token in enumerate(tokens, 1)
    ]
    return [example, *made]


def document() -> str:
    """The file's text."""
    content = {
        "transfers": [
            {
                "name": name,
                "origin": int(transfer.sender.chain.chain_type),
                "destination": int(transfer.destination),
                "from": _hex(transfer.sender.to_bytes()),
                "to": _hex(transfer.recipient[12:] if transfer.destination is ChainType.EIP155 else transfer.recipient),
                "amount": str(transfer.amount),
                "fee": str(transfer.fee),
                "payload": _hex(transfer.to_bytes()),
            }
            for name, transfer in transfers().items()
        ],
        "invalid_transfers": invalid_transfers(),
        "registrations": [
            {
                "name": name,
                "token": _hex(entry.token),
                "wire_decimals": entry.wire_decimals,
                "token_name": _hex(entry.name),
                "token_symbol": _hex(entry.symbol),
                "payload": _hex(entry.to_bytes()),
            }
            for name, entry in registrations().items()
        ],
        "invalid_registrations": [
            {"name": name, "payload": _hex(payload)} for name, payload in invalid_registrations().items()
        ],
        "create2": predictions(),
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document())
