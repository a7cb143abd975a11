// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {NativeBridge} from "../../src/tokens/NativeBridge.sol";
import {Bodies} from "../support/Bodies.sol";
import {TokenWorld} from "./TokenWorld.sol";
import {BlockingToken, HookToken, PlainToken, SlyToken} from "./Tokens.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev A relayer that is a contract, with a hook that does what it was told.
contract HookedRelayer {
    enum Mode {
        Take,
        Revert,
        Burn,
        Call
    }

    Mode public mode;
    address public target;
    bytes public data;
    bool public worked;

    function plan(Mode mode_, address target_, bytes calldata data_) external {
        (mode, target, data) = (mode_, target_, data_);
    }

    function deliver(IGateway gateway, IGateway.Attestation calldata a, IGateway.Delivery[] calldata d) external {
        gateway.deliver(a, d);
    }

    function tokensReceived() external {
        if (mode == Mode.Revert) revert();
        if (mode == Mode.Burn) {
            while (true) {}
        }
        if (mode == Mode.Call) (worked,) = target.call(data);
    }
}

/// @title What pays whoever delivers
contract TokenFeesTest is TokenWorld {
    address private constant RELAYER = address(0x9E1A);

    // ---- attacks

    function test_attack__token_refuses_the_relayer__the_recipient_gets_all() public {
        BlockingToken blocking = new BlockingToken();
        NativeBridge bridge = _locked(address(blocking));
        blocking.setBlocked(RELAYER, true);
        _deliverAs(RELAYER, fromSolana(address(bridge), payloadTo(prover, 3e9, 1e9)));
        vm.assertEq(blocking.balanceOf(prover), 3 ether, "all");
        vm.assertEq(bridge.locked(), 2e9, "locked");
    }

    function test_attack__token_says_no_after_it_moved_something__not_paid_twice() public {
        SlyToken sly = new SlyToken();
        NativeBridge bridge = _locked(address(sly));
        sly.setFalseFor(RELAYER);
        _deliverAs(RELAYER, fromSolana(address(bridge), payloadTo(prover, 3e9, 1e9)));
        vm.assertEq(sly.balanceOf(prover), 3 ether, "all");
        vm.assertEq(sly.balanceOf(RELAYER), 0, "undone");
        vm.assertEq(sly.balanceOf(address(bridge)), bridge.locked() * SCALE, "vault");
    }

    function test_attack__hook_of_the_relayer_reverts__the_recipient_gets_all() public {
        (NativeBridge bridge, HookToken hook, HookedRelayer relayer) = _hooked();
        relayer.plan(HookedRelayer.Mode.Revert, address(0), "");
        _deliverBy(relayer, fromSolana(address(bridge), payloadTo(prover, 3e9, 1e9)));
        vm.assertEq(hook.balanceOf(prover), 3 ether, "all");
        vm.assertEq(hook.balanceOf(address(relayer)), 0, "nothing");
    }

    function test_attack__hook_of_the_relayer_burns_the_gas__harms_its_own_delivery_alone() public {
        (NativeBridge bridge, HookToken hook, HookedRelayer relayer) = _hooked();
        relayer.plan(HookedRelayer.Mode.Burn, address(0), "");
        bytes memory body = fromSolana(address(bridge), payloadTo(prover, 3e9, 1e9));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        (bool ok,) = address(relayer).call{gas: 3_000_000}(abi.encodeCall(relayer.deliver, (gateway, a, d)));
        if (!ok) _deliverAs(RELAYER, body);
        uint256 fee = ok ? 0 : 1 ether;
        vm.assertEq(hook.balanceOf(prover), 3 ether - fee, "paid");
        vm.assertEq(bridge.locked(), 2e9, "once");
    }

    function test_attack__hook_of_the_relayer_reenters__gains_nothing() public {
        (NativeBridge bridge, HookToken hook, HookedRelayer relayer) = _hooked();
        bridge.setLimits(limits(unlimited(), rate(0, 0)));
        bytes32 waiting = receiveTokens(bridge, address(relayer), 1e9);
        bridge.setLimits(limits(unlimited(), unlimited()));
        vm.warp(START + 1 hours);
        bytes memory other = fromSolana(address(bridge), payloadTo(address(relayer), 1e9, 0));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(other);
        bytes[5] memory calls = [
            abi.encodeCall(ITokenBridge.release, (waiting)),
            abi.encodeCall(NativeBridge.payFee, (address(relayer), 1e9)),
            transferCall(interop(SOL_USER), 1 ether),
            abi.encodeCall(NativeBridge.emergencyExit, (address(relayer), 1)),
            abi.encodeCall(IGateway.deliver, (a, d))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            relayer.plan(HookedRelayer.Mode.Call, i == 4 ? address(gateway) : address(bridge), calls[i]);
            uint256 before = hook.balanceOf(address(relayer));
            _deliverBy(relayer, fromSolana(address(bridge), payloadTo(prover, 4e8, 1e8)));
            vm.assertFalse(relayer.worked(), "within its own payment");
            vm.assertEq(hook.balanceOf(address(relayer)) - before, 0.1 ether, "its fee alone");
            vm.assertEq(hook.balanceOf(address(bridge)), bridge.locked() * SCALE, "vault");
        }
    }

    function test_attack__payFee_called_by_another__refused() public {
        lock(5 ether);
        address[4] memory callers = [alice, address(gateway), address(factory), address(this)];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, callers[i]));
            native.payFee(callers[i], 1);
        }
    }

    function test_attack__recipient_refused_by_the_token__no_fee_either() public {
        // Whoever delivers what cannot be paid is not paid for it.
        BlockingToken blocking = new BlockingToken();
        NativeBridge bridge = _locked(address(blocking));
        blocking.setBlocked(prover, true);
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) =
            attest(fromSolana(address(bridge), payloadTo(prover, 3e9, 1e9)));
        vm.prank(RELAYER);
        vm.expectRevert();
        gateway.deliver(a, d);
        vm.assertEq(blocking.balanceOf(RELAYER), 0, "nothing");
        vm.assertEq(bridge.locked(), 5e9, "locked");
    }

    // ---- who is paid what

    function test_fee__native_and_wrapped__to_who_delivers_and_the_rest_to_the_recipient() public {
        lock(5 ether);
        bytes memory body = fromSolana(address(native), payloadTo(alice, 3e9, 1));
        vm.expectEmit(true, true, true, true, address(native));
        emit ITokenBridge.RelayerPaid(Bodies.digest(body), RELAYER, 1);
        _deliverAs(RELAYER, body);
        vm.assertEq(token.balanceOf(RELAYER), SCALE, "one wire unit");
        vm.assertEq(token.balanceOf(alice), 995 ether + 3 ether - SCALE, "the rest, exactly");
        vm.assertEq(native.locked(), 2e9, "all of it counts");
        _deliverAs(RELAYER, fromSolana(address(wrapped), payloadTo(alice, 10, 9)));
        vm.assertEq(wrappedToken.balanceOf(RELAYER), 9, "minted");
        vm.assertEq(wrappedToken.balanceOf(alice), 1, "the rest");
        vm.assertEq(wrapped.minted(), 10, "counter");
    }

    function test_fee__recipient_delivers_it_itself__gets_all() public {
        lock(5 ether);
        _deliverAs(prover, fromSolana(address(native), payloadTo(prover, 3e9, 1e9)));
        vm.assertEq(token.balanceOf(prover), 3 ether, "all");
    }

    function test_fee__queued__goes_to_the_recipient() public {
        lock(5 ether);
        native.setLimits(limits(unlimited(), rate(0, 0)));
        bytes memory body = fromSolana(address(native), payloadTo(alice, 3e9, 1e9));
        _deliverAs(RELAYER, body);
        vm.warp(START + 1 hours);
        vm.prank(RELAYER);
        native.release(Bodies.digest(body));
        vm.assertEq(token.balanceOf(RELAYER), 0, "no fee");
        vm.assertEq(token.balanceOf(alice), 998 ether, "all");
    }

    function test_fee__not_whole_wire_units_or_not_less_than_the_amount__refused() public {
        uint256[6] memory bad = [uint256(1), SCALE - 1, SCALE + 1, 1 ether, 2 ether, type(uint256).max];
        vm.startPrank(alice);
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.InvalidFee.selector, bad[i], SCALE));
            native.crosschainTransfer(interop(SOL_USER), 1 ether, 0, bad[i]);
        }
        // The dust of the amount does not make room for a fee of all of it.
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.InvalidFee.selector, SCALE, SCALE));
        native.crosschainTransfer(interop(SOL_USER), SCALE + 5, 0, SCALE);
        native.crosschainTransfer(interop(SOL_USER), 2 * SCALE + 5, 0, SCALE);
        vm.stopPrank();
        vm.assertEq(native.locked(), 2, "two units");
    }

    function test_fee__with_a_permit_on_own_terms__one_transaction() public {
        vm.prank(alice);
        token.approve(address(native), 0);
        bytes32 typeHash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash = keccak256(abi.encode(typeHash, alice, address(native), 2 ether, token.nonces(alice), START + 60));
        (uint8 v, bytes32 r, bytes32 s) =
            tokenVm.sign(ALICE_KEY, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), hash)));
        vm.expectEmit(false, true, true, true, address(native));
        emit ITokenBridge.TransferTerms(0, START + 60, 5);
        vm.prank(alice);
        native.crosschainTransferWithPermit(
            interop(SOL_USER), 2 ether, START + 60, 5 * SCALE, ITokenBridge.Permit(START + 60, v, r, s)
        );
        vm.assertEq(native.locked(), 2e9, "locked");
    }

    /// @dev Whatever the amount and the fee: nothing is lost and nothing made.
    function testFuzz_fee__any__sums_up(uint64 amount, uint64 fee) public {
        amount = uint64(clamp(amount, 1, type(uint64).max));
        fee = fee % amount;
        token.mint(alice, uint256(amount) * SCALE);
        lock(uint256(amount) * SCALE);
        _deliverAs(RELAYER, fromSolana(address(native), payloadTo(prover, amount, fee)));
        vm.assertEq(token.balanceOf(RELAYER), uint256(fee) * SCALE, "fee");
        vm.assertEq(token.balanceOf(prover), uint256(amount - fee) * SCALE, "rest");
        vm.assertEq(native.locked() + token.balanceOf(address(native)), 0, "empty");
    }

    // ---- words

    function _deliverAs(address relayer, bytes memory body) private {
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        vm.prank(relayer);
        gateway.deliver(a, d);
    }

    function _deliverBy(HookedRelayer relayer, bytes memory body) private {
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        relayer.deliver(gateway, a, d);
    }

    function _hooked() private returns (NativeBridge bridge, HookToken hook, HookedRelayer relayer) {
        hook = new HookToken();
        bridge = _locked(address(hook));
        relayer = new HookedRelayer();
    }

    /// @dev Five of a token, locked.
    function _locked(address erc20) private returns (NativeBridge bridge) {
        bridge = registerNative(erc20);
        PlainToken(erc20).mint(alice, 5 ether);
        vm.startPrank(alice);
        ERC20(erc20).approve(address(bridge), 5 ether);
        bridge.crosschainTransfer(interop(SOL_USER), 5 ether);
        vm.stopPrank();
    }
}
