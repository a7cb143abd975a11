// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {ITokenFactory} from "../../src/tokens/ITokenFactory.sol";
import {NativeBridge} from "../../src/tokens/NativeBridge.sol";
import {TokenFactory} from "../../src/tokens/TokenFactory.sol";
import {WrappedBridge} from "../../src/tokens/WrappedBridge.sol";
import {WrappedToken} from "../../src/tokens/WrappedToken.sol";
import {Bodies} from "../support/Bodies.sol";
import {TokenWorld} from "./TokenWorld.sol";
import {PlainToken} from "./Tokens.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {BridgeFungible} from "@openzeppelin/contracts/crosschain/bridges/abstract/BridgeFungible.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

/// @title Transfers both ways over both kinds of bridge, registration, pause and permits
contract TokenBridgesTest is TokenWorld {
    // ---- registration

    function test_registerNative__a_token__deploys_where_predicted_and_sends_the_registration() public {
        PlainToken other = new PlainToken("Another", "OTH", 6);
        address expected = factory.predictBridge(word(address(other)), true);
        bytes memory body = _bodyTo(AUTHORITY, address(factory), abi.encode(address(other), 6, bytes("Another"), bytes("OTH")));
        vm.expectEmit(true, true, true, true, address(factory));
        emit ITokenFactory.TokenRegistered(word(address(other)), expected, address(other), true, 6);
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.MessagePosted(gateway.nextSequence(), Bodies.digest(body), body);
        vm.prank(alice);
        (address bridge, bytes32 digest) = factory.registerNative(address(other));
        vm.assertEq(bridge, expected, "predicted");
        vm.assertEq(digest, Bodies.digest(body), "digest");
        vm.assertEq(factory.bridgeOf(word(address(other))), bridge, "bridge");
        vm.assertEq(factory.tokenAt(factory.tokenCount() - 1), word(address(other)), "listed");
        NativeBridge made = NativeBridge(bridge);
        vm.assertEq(address(made.token()), address(other), "token");
        vm.assertEq(made.nativeToken(), word(address(other)), "native token");
        vm.assertEq(made.scale() * 100 + made.wireDecimals(), 106, "scale and decimals");
        (address link, bytes memory counterpart) = made.getLink(bytes.concat(hex"0001000220", SOLANA_CHAIN, hex"00"));
        vm.assertEq(link, address(gateway), "linked gateway");
        vm.assertEq(counterpart, interop(AUTHORITY), "linked counterpart");
        vm.assertEq(made.limits().queueDelay, 1 days, "delay");
        (uint256 out, uint256 in_) = made.available();
        vm.assertTrue(out == type(uint256).max && in_ == type(uint256).max, "no limits at first");
    }

    function test_registerNative__twice_or_no_contract_or_wrapped__refused() public {
        vm.expectRevert(abi.encodeWithSelector(ITokenFactory.AlreadyRegistered.selector, word(address(token)), address(native)));
        factory.registerNative(address(token));
        vm.expectRevert(abi.encodeWithSelector(ITokenFactory.NotAContract.selector, alice));
        factory.registerNative(alice);
        vm.expectRevert(abi.encodeWithSelector(ITokenFactory.NotAContract.selector, address(0)));
        factory.registerNative(address(0));
        vm.expectRevert(abi.encodeWithSelector(ITokenFactory.IsWrapped.selector, address(wrappedToken)));
        factory.registerNative(address(wrappedToken));
        address early = factory.predictToken(keccak256("a mint to come"));
        vm.expectRevert(abi.encodeWithSelector(ITokenFactory.NotAContract.selector, early));
        factory.registerNative(early);
    }

    function test_registerNative__decimals__up_to_66() public {
        uint8[5] memory decimals = [0, 9, 10, 30, 66];
        for (uint256 i = 0; i < decimals.length; ++i) {
            NativeBridge bridge = registerNative(address(new PlainToken("T", "T", decimals[i])));
            uint8 wire = decimals[i] < 9 ? decimals[i] : 9;
            vm.assertEq(bridge.wireDecimals(), wire, "wire decimals");
            vm.assertEq(bridge.scale(), 10 ** uint256(decimals[i] - wire), "scale");
        }
        address many = address(new PlainToken("T", "T", 67));
        vm.expectRevert(abi.encodeWithSelector(ITokenFactory.UnsupportedDecimals.selector, 67));
        factory.registerNative(many);
    }

    function test_announce__registered_token__sends_the_same_payload_again() public {
        bytes memory payload = abi.encode(address(token), 9, bytes("A Token"), bytes("TOK"));
        bytes memory body = _bodyTo(AUTHORITY, address(factory), payload);
        vm.assertEq(factory.announce(address(token)), Bodies.digest(body), "digest");
        vm.expectRevert(abi.encodeWithSelector(ITokenFactory.NotRegistered.selector, word(address(weth))));
        factory.announce(address(weth));
        // A wrapped token is announced by its own chain.
        vm.expectRevert(abi.encodeWithSelector(ITokenFactory.NotRegistered.selector, word(address(wrappedToken))));
        factory.announce(address(wrappedToken));
    }

    function test_registration__from_solana__deploys_token_and_bridge_where_predicted() public {
        bytes32 mint = keccak256("another mint");
        address bridge = factory.predictBridge(mint, false);
        address erc20 = factory.predictToken(mint);
        vm.expectEmit(true, true, true, true, address(factory));
        emit ITokenFactory.TokenRegistered(mint, bridge, erc20, false, 6);
        bytes memory name = "A name of exactly 32 bytes, see.";
        deliver(fromSolana(address(factory), abi.encode(mint, 6, name, bytes("TENSYMBOL!"))));
        WrappedToken made = WrappedToken(erc20);
        vm.assertEq(bytes(made.name()), name, "name");
        vm.assertEq(bytes(made.symbol()), "TENSYMBOL!", "symbol");
        (, string memory domain,,,,,) = made.eip712Domain();
        vm.assertEq(bytes(domain), "A name of exactly 32 bytes, see", "domain name, at most 31 bytes");
        (, domain,,,,,) = wrappedToken.eip712Domain();
        vm.assertEq(bytes(domain), "A Mint", "domain name");
        vm.assertEq(made.decimals(), 6, "decimals");
        vm.assertEq(made.bridge(), bridge, "bridge");
        vm.assertEq(made.nativeToken(), mint, "mint");
        vm.assertTrue(made.supportsInterface(0x33331994), "ERC-7802");
        vm.assertEq(address(WrappedBridge(bridge).token()), erc20, "token of the bridge");
        vm.assertEq(factory.bridgeOf(mint), bridge, "registered");
        vm.assertEq(WrappedBridge(bridge).scale(), 1, "scale");
    }

    function test_registration__again__taken_and_changes_nothing() public {
        uint256 count = factory.tokenCount();
        deliver(fromSolana(address(factory), abi.encode(MINT, 3, bytes("Other Name"), bytes("OTHER"))));
        vm.assertEq(factory.tokenCount(), count, "count");
        vm.assertEq(wrapped.wireDecimals(), 9, "decimals");
        vm.assertEq(bytes(wrappedToken.name()), "A Mint", "name");
    }

    function test_predictions__by_EIP_1014() public view {
        (bytes32 nativeHash, bytes32 wrappedHash, bytes32 tokenHash) = factory.codeHashes();
        vm.assertEq(nativeHash, keccak256(type(NativeBridge).creationCode), "creation code of native bridges");
        vm.assertEq(wrappedHash, keccak256(type(WrappedBridge).creationCode), "creation code of wrapped bridges");
        vm.assertEq(tokenHash, keccak256(type(WrappedToken).creationCode), "creation code of wrapped tokens");
        bytes32 id = word(address(token));
        vm.assertEq(tokenVm.computeCreate2Address(id, nativeHash, address(factory)), address(native), "native");
        vm.assertEq(tokenVm.computeCreate2Address(MINT, wrappedHash, address(factory)), address(wrapped), "wrapped");
        vm.assertEq(tokenVm.computeCreate2Address(MINT, tokenHash, address(factory)), address(wrappedToken), "token");
    }

    function test_factory__malformed_counterpart_or_blueprint__refused() public {
        ITokenFactory.Blueprints memory given = blueprints();
        bytes[4] memory bad = [
            interop(0),
            bytes.concat(interop(AUTHORITY), hex"00"),
            abi.encodePacked(hex"00010000027a6914", alice),
            bytes.concat(hex"0001000220", SOLANA_CHAIN, hex"1f", bytes31(AUTHORITY), hex"00")
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert();
            new TokenFactory(address(this), gateway, bad[i], address(weth), given);
        }
        given.wrappedToken = address(token);
        vm.expectRevert();
        new TokenFactory(address(this), gateway, interop(AUTHORITY), address(weth), given);
    }

    // ---- native: lock and release

    function test_native__transfer__locks_and_sends_wire_units() public {
        uint256 amount = 5 ether + 123; // the 123 are below a wire unit
        bytes memory body = _transferBody(address(native), alice, SOL_USER, 5e9);
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.MessagePosted(gateway.nextSequence(), Bodies.digest(body), body);
        vm.expectEmit(true, true, true, true, address(native));
        emit BridgeFungible.CrosschainFungibleTransferSent(Bodies.digest(body), alice, interop(SOL_USER), 5e9);
        vm.prank(alice);
        bytes32 id = native.crosschainTransfer(interop(SOL_USER), amount);
        vm.assertEq(id, Bodies.digest(body), "send id");
        vm.assertEq(token.balanceOf(address(native)), 5 ether, "vault");
        vm.assertEq(token.balanceOf(alice), 995 ether, "dust stays");
        vm.assertEq(native.locked(), 5e9, "locked");
    }

    function test_native__receive__releases_exactly() public {
        lock(5 ether);
        bytes memory body = fromSolana(address(native), payloadTo(prover, 2e9 + 1));
        vm.expectEmit(true, true, true, true, address(native));
        emit BridgeFungible.CrosschainFungibleTransferReceived(Bodies.digest(body), interop(SOL_USER), prover, 2e9 + 1);
        deliver(body);
        vm.assertEq(token.balanceOf(prover), 2 ether + SCALE, "released");
        vm.assertEq(native.locked(), 3e9 - 1, "locked");
        vm.assertEq(token.balanceOf(address(native)), native.locked() * SCALE, "vault");
    }

    function test_native__more_than_is_locked__stays_undelivered() public {
        lock(5 ether);
        token.mint(address(native), 100 ether); // given, not locked
        bytes memory body = fromSolana(address(native), payloadTo(prover, 5e9 + 1));
        expectRefused(body, abi.encodeWithSelector(ITokenBridge.InsufficientLocked.selector, 5e9 + 1, 5e9));
        lock(SCALE);
        deliver(body);
        vm.assertEq(token.balanceOf(prover), 5 ether + SCALE, "delivered when it can be");
        vm.assertEq(native.locked(), 0, "locked");
    }

    function test_native__amounts_out_of_range__refused_before_anything_moves() public {
        uint256 most = SCALE * type(uint64).max;
        token.mint(alice, most * 2);
        uint256[5] memory bad = [0, 1, SCALE - 1, most + SCALE, type(uint256).max];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.AmountOutOfRange.selector, bad[i], SCALE, most));
            lock(bad[i]);
        }
        lock(SCALE);
        lock(most + SCALE - 1); // the dust beyond is not taken
        vm.assertEq(native.locked(), uint256(type(uint64).max) + 1, "locked");
        vm.assertEq(token.balanceOf(address(native)), most + SCALE, "vault");
    }

    function test_transfer__recipients_that_cannot_own_tokens__refused() public {
        bytes32 program = keccak256("a program id");
        bytes32[] memory programs = new bytes32[](1);
        programs[0] = program;
        factory.setRefusedRecipients(programs, true);
        bytes32[3] memory refused = [bytes32(0), AUTHORITY, program];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.RefusedRecipient.selector, refused[i]));
            native.crosschainTransfer(interop(refused[i]), 1 ether);
        }
        factory.setRefusedRecipients(programs, false);
        vm.prank(alice);
        native.crosschainTransfer(interop(program), 1 ether);
    }

    function test_transfer__recipient_is_no_account_of_the_linked_chain__refused() public {
        bytes[9] memory bad = [
            bytes(""),
            abi.encodePacked(SOL_USER),
            abi.encodePacked(hex"00010000027a6914", alice),
            bytes.concat(hex"0001000220", keccak256("another genesis hash"), hex"20", SOL_USER),
            bytes.concat(interop(SOL_USER), hex"00"),
            bytes.concat(hex"0002000220", SOLANA_CHAIN, hex"20", SOL_USER),
            bytes.concat(hex"0001000320", SOLANA_CHAIN, hex"20", SOL_USER),
            bytes.concat(hex"0001000220", SOLANA_CHAIN, hex"1f", bytes31(SOL_USER), hex"00"),
            bytes.concat(hex"000100021f", bytes31(SOLANA_CHAIN), hex"20", SOL_USER, hex"00")
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.startPrank(alice);
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.InvalidRecipient.selector, bad[i]));
            native.crosschainTransfer(bad[i], 1 ether);
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.InvalidRecipient.selector, bad[i]));
            wrapped.crosschainTransfer(bad[i], 1);
            vm.stopPrank();
        }
    }

    function test_native__no_balance_or_allowance__refused() public {
        vm.prank(prover);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(native), 0, 1 ether));
        native.crosschainTransfer(interop(SOL_USER), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, alice, 1000 ether, 1001 ether));
        lock(1001 ether);
        vm.assertEq(native.locked(), 0, "locked");
    }

    function test_receive__to_nobody_or_to_the_bridge__refused() public {
        lock(5 ether);
        address[2] memory bridges = [address(native), address(wrapped)];
        for (uint256 i = 0; i < 2; ++i) {
            expectRefused(
                fromSolana(bridges[i], payloadTo(address(0), 1)),
                abi.encodeWithSelector(ITokenBridge.RefusedRecipient.selector, bytes32(0))
            );
            expectRefused(
                fromSolana(bridges[i], payloadTo(bridges[i], 1)),
                abi.encodeWithSelector(ITokenBridge.RefusedRecipient.selector, word(bridges[i]))
            );
        }
    }

    // ---- wrapped: mint and burn

    function test_wrapped__receive_and_send_back__mints_and_burns() public {
        bytes memory first = fromSolana(address(wrapped), payloadTo(alice, 7e9));
        vm.expectEmit(true, true, true, true, address(wrapped));
        emit BridgeFungible.CrosschainFungibleTransferReceived(Bodies.digest(first), interop(SOL_USER), alice, 7e9);
        deliver(first);
        vm.assertEq(wrappedToken.balanceOf(alice), 7e9, "minted");
        vm.assertEq(wrapped.minted(), 7e9, "counter");
        bytes memory body = _transferBody(address(wrapped), alice, SOL_USER, 3e9);
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.MessagePosted(gateway.nextSequence(), Bodies.digest(body), body);
        vm.prank(alice);
        wrapped.crosschainTransfer(interop(SOL_USER), 3e9);
        vm.assertEq(wrappedToken.totalSupply(), 4e9, "burnt");
        vm.assertEq(wrapped.minted(), 4e9, "counter");
        vm.assertEq(wrappedToken.balanceOf(alice), 4e9, "balance");
    }

    function test_wrapped__more_than_the_balance__refused() public {
        receiveTokens(wrapped, alice, 10);
        receiveTokens(wrapped, prover, 10);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, alice, 10, 11));
        wrapped.crosschainTransfer(interop(SOL_USER), 11);
        vm.prank(alice);
        vm.expectRevert();
        wrapped.crosschainTransfer(interop(SOL_USER), 21);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.AmountOutOfRange.selector, 0, 1, type(uint64).max));
        wrapped.crosschainTransfer(interop(SOL_USER), 0);
        vm.assertEq(wrapped.minted(), 20, "counter");
    }

    function test_wrappedToken__anyone_but_its_bridge__neither_mints_nor_burns() public {
        receiveTokens(wrapped, alice, 10);
        address[3] memory others = [alice, address(this), address(factory)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(WrappedToken.NotBridge.selector, others[i]));
            wrappedToken.crosschainMint(others[i], 1);
            vm.expectRevert(abi.encodeWithSelector(WrappedToken.NotBridge.selector, others[i]));
            wrappedToken.crosschainBurn(alice, 1);
            vm.stopPrank();
        }
    }

    // ---- permits

    function test_permit__native__one_transaction() public {
        token.mint(alice, 1 ether);
        vm.prank(alice);
        token.approve(address(native), 0);
        (uint8 v, bytes32 r, bytes32 s) = _permit(address(native), 2 ether, START + 60);
        vm.prank(alice);
        native.crosschainTransferWithPermit(interop(SOL_USER), 2 ether, 0, 0, ITokenBridge.Permit(START + 60, v, r, s));
        vm.assertEq(native.locked(), 2e9, "locked");
        vm.assertEq(token.allowance(alice, address(native)), 0, "spent");
    }

    function test_permit__spent_by_another_before__still_works() public {
        vm.prank(alice);
        token.approve(address(native), 0);
        (uint8 v, bytes32 r, bytes32 s) = _permit(address(native), 2 ether, START + 60);
        token.permit(alice, address(native), 2 ether, START + 60, v, r, s);
        vm.prank(alice);
        native.crosschainTransferWithPermit(interop(SOL_USER), 2 ether, 0, 0, ITokenBridge.Permit(START + 60, v, r, s));
        vm.assertEq(native.locked(), 2e9, "locked");
    }

    function test_permit__of_another_or_late__moves_nothing() public {
        vm.prank(alice);
        token.approve(address(native), 0);
        (uint8 v, bytes32 r, bytes32 s) = _permit(address(native), 2 ether, START + 60);
        // Another account uses alice's signature: the tokens would be the caller's.
        vm.prank(prover);
        vm.expectRevert();
        native.crosschainTransferWithPermit(interop(SOL_USER), 2 ether, 0, 0, ITokenBridge.Permit(START + 60, v, r, s));
        vm.warp(START + 61);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(native), 0, 2 ether));
        native.crosschainTransferWithPermit(interop(SOL_USER), 2 ether, 0, 0, ITokenBridge.Permit(START + 60, v, r, s));
        vm.assertEq(token.balanceOf(alice), 1000 ether, "nothing moved");
    }

    function test_permit__wrapped__needs_none() public {
        receiveTokens(wrapped, alice, 10);
        vm.prank(alice);
        wrapped.crosschainTransferWithPermit(interop(SOL_USER), 4, 0, 0, ITokenBridge.Permit(0, 0, 0, 0));
        vm.assertEq(wrapped.minted(), 6, "burnt");
    }

    // ---- ether

    function test_ether__sent__locks_wrapped_ether_and_returns_the_dust() public {
        NativeBridge bridge = registerNative(address(weth));
        bytes memory body = _transferBody(address(bridge), alice, SOL_USER, 1e9);
        vm.prank(alice);
        bytes32 id = bridge.crosschainTransferEther{value: 1 ether + 99}(interop(SOL_USER));
        vm.assertEq(id, Bodies.digest(body), "message");
        vm.assertEq(alice.balance, 99 ether, "dust comes back");
        vm.assertEq(weth.balanceOf(address(bridge)), 1 ether, "vault");
        vm.assertEq(address(bridge).balance, 0, "no ether stays");
        vm.assertEq(bridge.locked(), 1e9, "locked");
        receiveTokens(bridge, prover, 1e9);
        vm.assertEq(weth.balanceOf(prover), 1 ether, "released as WETH");
        vm.prank(prover);
        weth.withdraw(1 ether);
        vm.assertEq(prover.balance, 1 ether, "unwrapped");
    }

    function test_ether__too_little_or_another_token__refused() public {
        NativeBridge bridge = registerNative(address(weth));
        vm.startPrank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(ITokenBridge.AmountOutOfRange.selector, SCALE - 1, SCALE, SCALE * type(uint64).max)
        );
        bridge.crosschainTransferEther{value: SCALE - 1}(interop(SOL_USER));
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.AmountOutOfRange.selector, 0, SCALE, SCALE * type(uint64).max));
        bridge.crosschainTransferEther(interop(SOL_USER));
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotWrappedEther.selector, address(token)));
        native.crosschainTransferEther{value: 1 ether}(interop(SOL_USER));
        vm.stopPrank();
    }

    function test_ether__as_weth__crosses_like_any_token() public {
        NativeBridge bridge = registerNative(address(weth));
        vm.startPrank(alice);
        weth.deposit{value: 2 ether}();
        weth.approve(address(bridge), 2 ether);
        bridge.crosschainTransfer(interop(SOL_USER), 2 ether);
        vm.stopPrank();
        vm.assertEq(bridge.locked(), 2e9, "locked");
    }

    // ---- pause

    function test_pause__by_a_guardian__stops_everything_until_governance_resumes() public {
        lock(5 ether);
        native.setLimits(limits(unlimited(), rate(0, 0)));
        bytes32 id = receiveTokens(native, prover, 1e9);
        vm.prank(GUARDIAN);
        factory.pause(address(native));
        vm.warp(START + 1 days);
        vm.expectRevert(ITokenBridge.BridgePaused.selector);
        lock(1 ether);
        vm.expectRevert(ITokenBridge.BridgePaused.selector);
        native.release(id);
        bytes memory body = fromSolana(address(native), payloadTo(prover, 1));
        expectRefused(body, abi.encodeWithSelector(ITokenBridge.BridgePaused.selector));
        receiveTokens(wrapped, alice, 1); // the others go on
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, GUARDIAN, bytes32(0)));
        factory.unpause(address(native));
        factory.unpause(address(native));
        native.release(id);
        lock(1 ether);
        deliver(body);
    }

    function test_governance__a_timelock__resumes_after_its_delay_alone() public {
        address[] memory proposers = new address[](1);
        proposers[0] = address(this);
        TimelockController timelock = new TimelockController(2 days, proposers, proposers, address(0));
        factory.grantRole(0, address(timelock));
        factory.renounceRole(0, address(this));
        vm.prank(GUARDIAN);
        factory.pause(address(native));
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, address(this), bytes32(0))
        );
        factory.unpause(address(native));
        bytes memory call = abi.encodeCall(factory.unpause, (address(native)));
        timelock.schedule(address(factory), 0, call, 0, 0, 2 days);
        vm.expectRevert();
        timelock.execute(address(factory), 0, call, 0, 0);
        vm.warp(START + 2 days);
        timelock.execute(address(factory), 0, call, 0, 0);
        lock(1 ether);
        // Limits too are the timelock's alone from now on.
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, address(this)));
        native.setLimits(capped(1));
    }

    function test_roles__others__refused() public {
        bytes32 guardian = factory.GUARDIAN_ROLE();
        bytes32[] memory none = new bytes32[](0);
        ITokenBridge.Limits memory some = limits(unlimited(), unlimited());
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, alice, guardian));
        factory.pause(address(native));
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, alice, bytes32(0)));
        factory.unpause(address(native));
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, alice, bytes32(0)));
        factory.setRefusedRecipients(none, true);
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, alice, bytes32(0)));
        factory.grantRole(guardian, alice);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, alice));
        native.setLimits(some);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, alice));
        native.setPaused(true);
        vm.stopPrank();
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, GUARDIAN));
        native.setLimits(some);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, address(this)));
        native.setPaused(true); // governance too goes through the factory
        vm.expectRevert(abi.encodeWithSelector(ITokenFactory.UnknownBridge.selector, alice));
        factory.pause(alice);
    }

    // ---- words

    /// @dev The body that this chain posts next.
    function _bodyTo(bytes32 recipient, address sender, bytes memory payload) private view returns (bytes memory) {
        Bodies.Body memory b = message(gateway.nextSequence(), address(0));
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.destinationType, b.destinationReference, b.destinationGateway) = (SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM);
        (b.sender, b.recipient, b.payload) = (word(sender), recipient, payload);
        // Transfers alone expire.
        if (sender != address(factory)) b.expiry = uint64(block.timestamp) + 1 days;
        return Bodies.encode(b);
    }

    function _transferBody(address bridge, address from, bytes32 to, uint256 amount) private view returns (bytes memory) {
        bytes memory payload = abi.encode(abi.encodePacked(hex"00010000027a6914", from), abi.encodePacked(to), amount, 0);
        return _bodyTo(AUTHORITY, bridge, payload);
    }

    function _permit(address spender, uint256 amount, uint256 deadline) private view returns (uint8, bytes32, bytes32) {
        bytes32 typeHash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash = keccak256(abi.encode(typeHash, alice, spender, amount, token.nonces(alice), deadline));
        return tokenVm.sign(ALICE_KEY, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), hash)));
    }
}
