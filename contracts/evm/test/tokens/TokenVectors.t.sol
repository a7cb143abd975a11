// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TokenMetadata} from "../../src/tokens/TokenMetadata.sol";
import {TokenPayload} from "../../src/tokens/TokenPayload.sol";
import {SibylTest} from "../support/SibylTest.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";

/// @dev The library as external functions.
contract PayloadHarness {
    function transfer(bytes calldata payload, bytes32 chain) external pure returns (bytes memory, address, uint64, uint64) {
        (bytes calldata from, address to, uint64 amount, uint64 fee) = TokenPayload.decodeTransfer(payload, chain);
        return (from, to, amount, fee);
    }

    function sent(bytes calldata payload) external view returns (address, bytes32, uint64, uint64) {
        return TokenPayload.decodeSent(payload);
    }

    function encode(address from, bytes32 to, uint256 amount, uint256 fee) external view returns (bytes memory) {
        return TokenPayload.encodeTransfer(from, to, amount, fee);
    }

    function registration(bytes calldata payload) external pure returns (bytes32, uint8, bytes memory, bytes memory) {
        (bytes32 token, uint8 decimals, bytes calldata name, bytes calldata symbol) = TokenPayload.decodeRegistration(payload);
        return (token, decimals, name, symbol);
    }
}

/// @title The shared vectors of tests/vectors/tokens.json, which Python and Zig read as well
contract TokenVectorsTest is SibylTest {
    PayloadHarness private _harness;
    string private _json;
    bytes32 private _chain;

    function setUp() public override {
        _harness = new PayloadHarness();
        _json = vm.readFile(string.concat(VECTORS, "tokens.json"));
        for (uint256 i = 0; _chain == 0; ++i) {
            bytes memory from = _bytes(_at(".transfers", i), ".from");
            if (from.length == 70) (, _chain,) = TokenPayload.parseSolana(from);
        }
    }

    function test_transfer__valid_vectors__decode_here_or_are_what_this_chain_sends() public {
        uint256 count = _count(".transfers");
        vm.assertTrue(count >= 10, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".transfers", i);
            bytes memory payload = _bytes(item, ".payload");
            (bytes memory from, bytes memory to) = (_bytes(item, ".from"), _bytes(item, ".to"));
            uint256 amount = vm.parseJsonUint(_json, string.concat(item, ".amount"));
            uint256 fee = vm.parseJsonUint(_json, string.concat(item, ".fee"));
            vm.assertEq(abi.encode(from, to, amount, fee), payload, "encoding");
            if (vm.parseJsonUint(_json, string.concat(item, ".destination")) != EIP155) {
                _checkSent(payload, from, bytes32(to), amount, fee);
                continue;
            }
            (bytes memory from_, address to_, uint64 amount_, uint64 fee_) = _harness.transfer(payload, _chain);
            vm.assertEq(fee_, fee, "fee");
            vm.assertEq(from_, from, "from");
            vm.assertEq(abi.encodePacked(to_), to, "to");
            vm.assertEq(amount_, amount, "amount");
        }
    }

    /// @dev What the chain of the sender sends, and takes back; no other chain does.
    function _checkSent(bytes memory payload, bytes memory from, bytes32 to, uint256 amount, uint256 fee) private {
        // OpenZeppelin's format of the sender.
        (uint256 chainId, address account) = InteroperableAddress.parseEvmV1(from);
        vm.assertEq(InteroperableAddress.formatEvmV1(chainId, account), from, "sender");
        vm.chainId(chainId);
        vm.assertEq(_harness.encode(account, to, amount, fee), payload, "encoded");
        (address from_, bytes32 to_, uint64 amount_, uint64 fee_) = _harness.sent(payload);
        vm.assertTrue(from_ == account && to_ == to && amount_ == amount && fee_ == fee, "taken back");
        vm.chainId(chainId == 1 ? 2 : 1);
        (bool ok,) = address(_harness).call(abi.encodeCall(PayloadHarness.sent, (payload)));
        vm.assertFalse(ok, "another chain's");
        vm.chainId(31337);
    }

    function test_sent__invalid_vectors__never_taken_back() public {
        uint256 tried;
        uint256[3] memory chains = [uint256(31337), 1, type(uint64).max];
        uint256 count = _count(".invalid_transfers");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".invalid_transfers", i);
            if (vm.parseJsonUint(_json, string.concat(item, ".destination")) == EIP155) continue;
            bytes memory payload = _bytes(item, ".payload");
            for (uint256 j = 0; j < 3; ++j) {
                vm.chainId(chains[j]);
                _refused(abi.encodeCall(PayloadHarness.sent, (payload)), item);
            }
            ++tried;
        }
        vm.assertTrue(tried >= 30, "vectors were read");
    }

    function testFuzz_sent__one_changed_byte__refused_or_another_value(uint64 chain, uint256 place, uint8 change, uint64 amount)
        public
    {
        vm.assume(change != 0 && amount != 0 && chain != 0);
        vm.chainId(chain);
        bytes memory payload = _harness.encode(alice, keccak256("to"), amount, amount - 1);
        place = place % payload.length;
        payload[place] ^= bytes1(change);
        try _harness.sent(payload) returns (address from, bytes32 to, uint64 amount_, uint64 fee) {
            vm.assertEq(_harness.encode(from, to, amount_, fee), payload, "canonical");
        } catch (bytes memory reason) {
            vm.assertEq(reason, abi.encodeWithSelector(TokenPayload.MalformedPayload.selector), "typed");
        }
    }

    function testFuzz_sent__any_bytes__refused(bytes memory payload) public {
        (bool ok, bytes memory reason) = address(_harness).call(abi.encodeCall(PayloadHarness.sent, (payload)));
        vm.assertFalse(ok, "random bytes are no transfer");
        vm.assertEq(reason, abi.encodeWithSelector(TokenPayload.MalformedPayload.selector), "typed");
    }

    function test_transfer__invalid_vectors_and_other_chains__revert() public {
        uint256 count = _count(".invalid_transfers");
        uint256 tried;
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".invalid_transfers", i);
            if (vm.parseJsonUint(_json, string.concat(item, ".destination")) != EIP155) continue;
            ++tried;
            _refused(abi.encodeCall(PayloadHarness.transfer, (_bytes(item, ".payload"), _chain)), item);
        }
        vm.assertTrue(tried >= 30, "vectors were read");
        for (uint256 i = 0; i < _count(".transfers"); ++i) {
            string memory item = _at(".transfers", i);
            bool mine = vm.parseJsonUint(_json, string.concat(item, ".destination")) == EIP155;
            bytes32 chain = mine ? keccak256("another chain") : _chain;
            _refused(abi.encodeCall(PayloadHarness.transfer, (_bytes(item, ".payload"), chain)), item);
        }
    }

    function test_registration__vectors__decode_or_revert() public {
        uint256 count = _count(".registrations");
        vm.assertTrue(count >= 7, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".registrations", i);
            bytes memory payload = _bytes(item, ".payload");
            (bytes32 token, uint8 decimals, bytes memory name, bytes memory symbol) = _harness.registration(payload);
            vm.assertEq(token, vm.parseJsonBytes32(_json, string.concat(item, ".token")), "token");
            vm.assertEq(decimals, vm.parseJsonUint(_json, string.concat(item, ".wire_decimals")), "decimals");
            vm.assertEq(name, _bytes(item, ".token_name"), "name");
            vm.assertEq(symbol, _bytes(item, ".token_symbol"), "symbol");
            vm.assertEq(TokenPayload.encodeRegistration(token, decimals, name, symbol), payload, "encoding");
        }
        count = _count(".invalid_registrations");
        vm.assertTrue(count >= 30, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".invalid_registrations", i);
            _refused(abi.encodeCall(PayloadHarness.registration, (_bytes(item, ".payload"))), item);
        }
    }

    function test_create2__vectors__predicted() public view {
        uint256 count = _count(".create2");
        vm.assertTrue(count >= 6, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".create2", i);
            bytes32 salt = vm.parseJsonBytes32(_json, string.concat(item, ".salt"));
            bytes32 hash = vm.parseJsonBytes32(_json, string.concat(item, ".init_code_hash"));
            address factory = address(bytes20(_bytes(item, ".factory")));
            vm.assertEq(Create2.computeAddress(salt, hash, factory), address(bytes20(_bytes(item, ".address"))), "address");
        }
    }

    /// @dev No two encodings of one transfer: what decodes is what abi.encode gives.
    function testFuzz_transfer__one_changed_byte__refused_or_another_value(uint256 place, uint8 change, uint64 amount)
        public
        view
    {
        vm.assume(change != 0);
        bytes32 chain = keccak256("chain");
        bytes memory from = bytes.concat(hex"0001000220", chain, hex"20", keccak256("account"));
        if (amount == type(uint64).max) return;
        bytes memory payload = abi.encode(from, abi.encodePacked(alice), uint256(amount) + 1, uint256(amount));
        place = place % payload.length;
        payload[place] ^= bytes1(change);
        try _harness.transfer(payload, chain) returns (bytes memory from_, address to_, uint64 amount_, uint64 fee) {
            vm.assertEq(abi.encode(from_, abi.encodePacked(to_), amount_, fee), payload, "canonical");
        } catch (bytes memory reason) {
            vm.assertEq(reason, abi.encodeWithSelector(TokenPayload.MalformedPayload.selector), "typed");
        }
    }

    function testFuzz_registration__any_words__refused_or_canonical(uint256[8] memory words, uint8 nameSize, uint8 symbolSize)
        public
        view
    {
        (words[1], words[2], words[3]) = (words[1] % 11, 128, 192);
        (words[4], words[6]) = (nameSize % 34, symbolSize % 12);
        if (words[0] & 1 == 0) {
            // Otherwise hardly any padding would be zero.
            words[5] = nameSize % 34 < 32 ? words[5] & ~(type(uint256).max >> (8 * (nameSize % 34))) : words[5];
            words[7] = words[7] & ~(type(uint256).max >> (8 * (symbolSize % 12)));
        }
        bytes memory payload = abi.encode(words);
        try _harness.registration(payload) returns (bytes32 token, uint8 decimals, bytes memory name, bytes memory symbol) {
            vm.assertEq(abi.encode(token, decimals, name, symbol), payload, "canonical");
            vm.assertTrue(token != 0 && decimals <= 9 && name.length - 1 < 32 && symbol.length - 1 < 10, "in range");
        } catch (bytes memory reason) {
            vm.assertEq(reason, abi.encodeWithSelector(TokenPayload.MalformedPayload.selector), "typed");
        }
    }

    function _refused(bytes memory call, string memory item) private {
        (bool ok, bytes memory reason) = address(_harness).call(call);
        vm.assertFalse(ok, vm.parseJsonString(_json, string.concat(item, ".name")));
        vm.assertEq(reason, abi.encodeWithSelector(TokenPayload.MalformedPayload.selector), "typed");
    }

    function _at(string memory kind, uint256 i) private pure returns (string memory) {
        return string.concat(kind, "[", vm.toString(i), "]");
    }

    function _count(string memory kind) private view returns (uint256 count) {
        while (vm.keyExistsJson(_json, _at(kind, count))) {
            ++count;
        }
    }

    function _bytes(string memory item, string memory key) private view returns (bytes memory) {
        return vm.parseJsonBytes(_json, string.concat(item, key));
    }
}
