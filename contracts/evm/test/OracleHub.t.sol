// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../src/interfaces/IGateway.sol";
import {IMessageErrors} from "../src/interfaces/IMessageErrors.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IOracleConsumer} from "../src/interfaces/IOracleConsumer.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {Bodies} from "./support/Bodies.sol";
import {GasMeter, Villain} from "./support/Consumers.sol";
import {SibylTest} from "./support/SibylTest.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract OracleHubTest is SibylTest {
    // ---- asking

    function test_request__valid__posts_the_specified_body_and_escrows_the_fee() public {
        (bytes32 id, bytes memory body) = ask(alice, BOTH, 123_456, _remotes());
        vm.assertEq(id, Bodies.digest(body), "request id");
        IOracleHub.Request memory r = hub.requestOf(id);
        vm.assertEq(r.requester, alice, "requester");
        vm.assertTrue(r.state == IOracleHub.State.Pending, "pending");
        vm.assertEq(r.policy, BOTH, "policy");
        vm.assertEq(r.callbackGasLimit, 123_456, "gas limit");
        vm.assertEq(r.deadline, DEADLINE, "deadline");
        vm.assertEq(r.fee, PRICE, "fee");
        vm.assertEq(address(hub).balance, PRICE, "escrow");
        vm.assertTrue(hub.answerOf(id).state == IOracleHub.State.Pending, "no answer yet");
    }

    function test_request__more_than_the_price__escrowed_whole() public {
        vm.prank(alice);
        bytes32 id = hub.request{value: 3 * PRICE}(MODEL, inputs(), ATTESTED, DEADLINE, 0, "");
        vm.assertEq(hub.requestOf(id).fee, 3 * PRICE, "fee");
    }

    function test_request__what_the_chain_can_know__refused() public {
        int64[] memory short = new int64[](2);
        _refused(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, bytes32(0)), 0, inputs(), 1, DEADLINE, 0, "");
        _refused(abi.encodeWithSelector(IOracleHub.WrongInputCount.selector, 3, 2), MODEL, short, 1, DEADLINE, 0, "");
        _refused(abi.encodeWithSelector(IOracleHub.DeadlinePassed.selector, START), MODEL, inputs(), 1, START, 0, "");
        _refused(
            abi.encodeWithSelector(IOracleHub.CallbackGasTooHigh.selector, 2_000_001, 2_000_000),
            MODEL,
            inputs(),
            1,
            DEADLINE,
            2_000_001,
            ""
        );
        uint8[3] memory policies = [0, 5, 255];
        for (uint256 i = 0; i < policies.length; ++i) {
            _refused(
                abi.encodeWithSelector(IMessageErrors.UnsupportedPolicy.selector, policies[i]),
                MODEL,
                inputs(),
                policies[i],
                DEADLINE,
                0,
                ""
            );
        }
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.FeeTooLow.selector, PRICE, PRICE - 1));
        hub.request{value: PRICE - 1}(MODEL, inputs(), ATTESTED, DEADLINE, 0, "");
        registry.setActive(MODEL, false);
        _refused(abi.encodeWithSelector(IOracleHub.ModelInactive.selector, MODEL), MODEL, inputs(), 1, DEADLINE, 0, "");
    }

    function test_request__input_out_of_bounds__refused() public {
        int64[5] memory values = [int64(1 << 20) + 1, -(1 << 20) - 1, type(int64).min, type(int64).max, type(int64).min + 1];
        for (uint256 i = 0; i < values.length; ++i) {
            int64[] memory bad = inputs();
            bad[1] = values[i];
            _refused(
                abi.encodeWithSelector(IOracleHub.InputOutOfRange.selector, 1, values[i], 1 << 20), MODEL, bad, 1, DEADLINE, 0, ""
            );
        }
        int64[] memory good = inputs();
        good[1] = -(1 << 20);
        vm.prank(alice);
        hub.request{value: PRICE}(MODEL, good, ATTESTED, DEADLINE, 0, "");
    }

    function test_request__model_without_verifier__attested_only() public {
        registry.register(model(keccak256("unproven"), address(0)));
        uint8[2] memory policies = [PROVEN, BOTH];
        for (uint256 i = 0; i < 2; ++i) {
            _refused(
                abi.encodeWithSelector(IMessageErrors.UnsupportedPolicy.selector, policies[i]),
                keccak256("unproven"),
                inputs(),
                policies[i],
                DEADLINE,
                0,
                ""
            );
        }
        vm.prank(alice);
        hub.request{value: PRICE}(keccak256("unproven"), inputs(), ATTESTED, DEADLINE, 0, "");
    }

    function test_request__remotes__refused_unless_servable() public {
        bytes memory good = _remotes();
        _refusedRemotes(IMessageErrors.TooManyRemotes.selector, PROVEN, good);
        _refusedRemotes(IMessageErrors.WrongLength.selector, ATTESTED, bytes.concat(good, hex"00"));
        _refusedRemotes(IMessageErrors.DuplicateChain.selector, ATTESTED, bytes.concat(good, good));
        _refusedRemotes(IMessageErrors.DuplicateChain.selector, ATTESTED, _remote(ATTESTED, EIP155, CHAIN));
        _refusedRemotes(IMessageErrors.UnsupportedPolicy.selector, ATTESTED, _remote(PROVEN, EIP155, PEER_CHAIN));
        _refusedRemotes(IMessageErrors.UnsupportedPolicy.selector, ATTESTED, _remote(BOTH, SOLANA, SOLANA_CHAIN));
        _refusedRemotes(IMessageErrors.UnsupportedPolicy.selector, ATTESTED, _remote(0, EIP155, PEER_CHAIN));
        _refusedRemotes(IMessageErrors.UnknownChainType.selector, ATTESTED, _remote(ATTESTED, 1, PEER_CHAIN));
        _refusedRemotes(IMessageErrors.InvalidChainReference.selector, ATTESTED, _remote(ATTESTED, EIP155, 0));
        _refusedRemotes(
            IMessageErrors.InvalidAddress.selector,
            ATTESTED,
            Bodies.remote(ATTESTED, EIP155, PEER_CHAIN, PEER_GATEWAY, bytes32(type(uint256).max), word(alice))
        );
        bytes memory five;
        for (uint256 i = 1; i <= 5; ++i) {
            if (i == 5) {
                vm.prank(alice);
                hub.request{value: PRICE}(MODEL, inputs(), ATTESTED, DEADLINE, 0, five);
            }
            five = bytes.concat(five, _remote(BOTH, EIP155, bytes32(i)));
        }
        _refusedRemotes(IMessageErrors.TooManyRemotes.selector, ATTESTED, five);
    }

    // ---- attested

    function test_attested__answer__recorded_called_back_and_paid_to_the_treasury() public {
        (bytes32 id,) = ask(address(recorder), ATTESTED);
        vm.expectEmit(true, true, true, true, address(hub));
        emit IOracleHub.Answered(id, address(recorder), ATTESTED, 13, outputs());
        deliver(_answer(1, id, address(recorder), ATTESTED));
        _assertAnswered(id, address(recorder), ATTESTED);
        vm.assertEq(hub.creditOf(treasury), PRICE, "treasury");
        vm.assertEq(address(hub).balance, PRICE, "still held");
        hub.withdrawFor(treasury);
        vm.assertEq(treasury.balance, PRICE, "pulled");
        IOracleConsumer.Answer memory a = recorder.answer();
        vm.assertEq(a.requestId, id, "request id");
        vm.assertEq(a.modelId, MODEL, "model");
        vm.assertEq(a.originChainReference, CHAIN, "origin chain");
        vm.assertEq(a.originGateway, word(address(gateway)), "origin gateway");
        vm.assertEq(a.requester, word(address(recorder)), "requester");
        vm.assertEq(a.inputCommitment, keccak256(Bodies.pack(inputs())), "commitment");
        vm.assertEq(int256(a.outputs[1]), type(int64).max, "output");
    }

    function test_recomputed__answer__recorded_under_its_own_policy() public {
        (bytes32 id,) = ask(address(recorder), RECOMPUTED);
        deliver(_answer(1, id, address(recorder), RECOMPUTED));
        _assertAnswered(id, address(recorder), RECOMPUTED);
        vm.assertEq(recorder.answer().policy, RECOMPUTED, "the consumer sees that nobody proved it");
        vm.assertEq(hub.creditOf(treasury), PRICE, "treasury");
    }

    function test_recomputed__remote__may_be_asked_for() public {
        vm.prank(alice);
        bytes memory remotes = bytes.concat(_remote(RECOMPUTED, EIP155, PEER_CHAIN), _remote(RECOMPUTED, SOLANA, SOLANA_CHAIN));
        hub.request{value: PRICE}(MODEL, inputs(), ATTESTED, DEADLINE, 0, remotes);
    }

    function test_attested__refusal__fee_credited_to_the_requester() public {
        uint8[4] memory policies = [ATTESTED, PROVEN, BOTH, RECOMPUTED];
        for (uint256 i = 0; i < 4; ++i) {
            (bytes32 id,) = ask(address(recorder), policies[i]);
            vm.expectEmit(true, true, true, true, address(hub));
            emit IOracleHub.Refused(id, 3);
            deliver(Bodies.encode(resultBody(uint64(i + 1), refusal(id, address(recorder), policies[i]))));
            IOracleHub.RecordedAnswer memory a = hub.answerOf(id);
            vm.assertTrue(a.state == IOracleHub.State.Refused, "refused");
            vm.assertEq(a.status, 3, "status");
            vm.assertEq(a.outputs.length, 0, "no outputs");
            vm.assertEq(recorder.answer().status, 3, "the consumer hears of it");
        }
        vm.assertEq(hub.creditOf(address(recorder)), 4 * PRICE, "fees back");
        vm.assertEq(hub.creditOf(treasury), 0, "nothing earned");
    }

    function test_attested__field_unlike_the_request__refused() public {
        (bytes32 id,) = ask(alice, ATTESTED);
        Bodies.Result memory r = result(id, alice, ATTESTED);
        r.consumer = word(prover);
        _mismatch(r, "consumer");
        r = result(id, alice, ATTESTED);
        r.requester = word(prover);
        _mismatch(r, "requester");
        r = result(id, alice, ATTESTED);
        r.callbackGasLimit = 1;
        _mismatch(r, "callback_gas_limit");
        (id,) = ask(alice, BOTH);
        _mismatch(result(id, alice, ATTESTED), "policy");
        (id,) = ask(alice, PROVEN);
        _mismatch(result(id, alice, ATTESTED), "policy");
    }

    function test_attested__unknown_request__refused() public {
        bytes32 id = keccak256("never asked");
        _fails(
            Bodies.encode(resultBody(1, result(id, alice, ATTESTED))),
            abi.encodeWithSelector(IOracleHub.NotPending.selector, id, IOracleHub.State.None)
        );
    }

    function test_answerOf__every_output_count__read_back() public {
        for (uint256 count = 1; count <= 64; count += count < 10 ? 1 : 27) {
            Bodies.Result memory r = result(keccak256(abi.encode(count)), alice, ATTESTED);
            r.outputs = new int64[](count);
            for (uint256 i = 0; i < count; ++i) {
                r.outputs[i] = int64(uint64(uint256(keccak256(abi.encode(count, i)))));
            }
            deliver(Bodies.encode(_foreign(uint64(count), r)));
            IOracleHub.RecordedAnswer memory a = hub.answerOf(r.requestId);
            vm.assertEq(a.outputs.length, count, "count");
            for (uint256 i = 0; i < count; ++i) {
                vm.assertEq(int256(a.outputs[i]), int256(r.outputs[i]), "output");
            }
        }
    }

    // ---- proven

    function test_proven__anyone_fulfils__earns_the_fee() public {
        (bytes32 id, bytes memory body) = ask(address(recorder), PROVEN);
        vm.prank(prover);
        hub.fulfil(body, outputs(), zkProof());
        _assertAnswered(id, address(recorder), PROVEN);
        vm.assertEq(hub.creditOf(prover), PRICE, "prover's");
        vm.assertEq(hub.creditOf(treasury), 0, "not the treasury's");
        vm.prank(prover);
        hub.withdraw();
        vm.assertEq(prover.balance, PRICE, "pulled");
    }

    function test_proven__works_while_the_gateway_is_paused() public {
        (, bytes memory body) = ask(address(recorder), PROVEN);
        gateway.pause();
        hub.fulfil(body, outputs(), zkProof());
    }

    function test_proven__inactive_model__pending_request_is_still_answered() public {
        (, bytes memory body) = ask(address(recorder), PROVEN);
        registry.setActive(MODEL, false);
        hub.fulfil(body, outputs(), zkProof());
    }

    function test_proven__other_policy__refused() public {
        (bytes32 id, bytes memory body) = ask(alice, ATTESTED);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.WrongPolicy.selector, id, ATTESTED));
        hub.fulfil(body, outputs(), zkProof());
        (id, body) = ask(alice, BOTH);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.WrongPolicy.selector, id, BOTH));
        hub.fulfil(body, outputs(), zkProof());
    }

    function test_proven__second_answer__refused() public {
        (bytes32 id, bytes memory body) = ask(alice, PROVEN);
        hub.fulfil(body, outputs(), zkProof());
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.NotPending.selector, id, IOracleHub.State.Answered));
        hub.fulfil(body, outputs(), zkProof());
    }

    // ---- both

    function test_both__signature_and_proof__answered() public {
        (bytes32 id, bytes memory body) = ask(address(recorder), BOTH, 300_000, _remotes());
        _fulfilBoth(_answer(1, id, address(recorder), BOTH), body, zkProof());
        _assertAnswered(id, address(recorder), BOTH);
        vm.assertEq(hub.creditOf(treasury), PRICE, "treasury");
    }

    function test_both__foreign_request__answered() public {
        (bytes memory body, Bodies.Result memory r) = _foreignBoth();
        _fulfilBoth(Bodies.encode(_foreign(5, r)), body, zkProof());
        IOracleHub.RecordedAnswer memory a = hub.answerOf(r.requestId);
        vm.assertTrue(a.state == IOracleHub.State.Answered, "answered");
        vm.assertEq(a.consumer, address(recorder), "consumer");
        vm.assertEq(recorder.answer().requester, word(alice), "requester");
        vm.assertEq(recorder.answer().originChainReference, PEER_CHAIN, "origin");
        vm.assertEq(hub.requestOf(r.requestId).fee, 0, "no request of this chain");
        vm.assertEq(hub.requestOf(r.requestId).requester, address(0), "no requester of this chain");
    }

    function test_both__foreign_request__every_field_is_bound() public {
        (bytes memory body, Bodies.Result memory r) = _foreignBoth();
        r.consumer = word(alice);
        _bothMismatch(r, body, "destination");
        (body, r) = _foreignBoth();
        r.requester = word(prover);
        _bothMismatch(r, body, "requester");
        (body, r) = _foreignBoth();
        r.modelId = keccak256("another");
        _bothMismatch(r, body, "model_id");
        (body, r) = _foreignBoth();
        r.inputCommitment = 0;
        _bothMismatch(r, body, "input_commitment");
        (body, r) = _foreignBoth();
        r.callbackGasLimit -= 1;
        _bothMismatch(r, body, "callback_gas_limit");
        (body, r) = _foreignBoth();
        r.outputScale = 12;
        _bothMismatch(r, body, "output_scale");
        (body, r) = _foreignBoth();
        r.requestId = keccak256("another");
        _bothMismatch(r, body, "request_id");
        (body, r) = _foreignBoth();
        Bodies.Body memory b = _foreign(6, r);
        _bothReverts(b, body, _mismatchOf(r.requestId, "sequence"));
        b = _foreign(5, r);
        b.expiry += 1;
        _bothReverts(b, body, _mismatchOf(r.requestId, "expiry"));
        b = _foreign(5, r);
        (b.originType, b.originReference, b.originGateway) = (SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM);
        _bothReverts(b, body, _mismatchOf(r.requestId, "origin"));
    }

    function test_both__foreign_request_names_another_destination__refused() public {
        bytes32 self = word(address(gateway));
        bytes32 hub_ = word(address(hub));
        bytes32 consumer = word(address(recorder));
        bytes[5] memory remotes = [
            Bodies.remote(ATTESTED, EIP155, CHAIN, self, hub_, consumer),
            Bodies.remote(BOTH, EIP155, CHAIN, PEER_GATEWAY, hub_, consumer),
            Bodies.remote(BOTH, EIP155, CHAIN, self, self, consumer),
            Bodies.remote(BOTH, EIP155, bytes32(uint256(9)), self, hub_, consumer),
            bytes("")
        ];
        for (uint256 i = 0; i < remotes.length; ++i) {
            bytes memory body = _foreignRequest(remotes[i]);
            Bodies.Result memory r = _foreignResult(body);
            _bothMismatch(r, body, "destination");
        }
    }

    function test_both__refusal_or_other_policy__not_here() public {
        (bytes32 id, bytes memory body) = ask(alice, BOTH);
        _bothReverts(
            resultBody(1, refusal(id, alice, BOTH)), body, abi.encodeWithSelector(IOracleHub.WrongPolicy.selector, id, BOTH)
        );
        _bothReverts(
            resultBody(1, result(id, alice, ATTESTED)),
            body,
            abi.encodeWithSelector(IOracleHub.WrongPolicy.selector, id, ATTESTED)
        );
        _bothReverts(message(1, address(recorder)), body, abi.encodeWithSelector(IMessageErrors.WrongKind.selector, MESSAGE));
    }

    // ---- foreign, attested

    function test_foreign__attested__recorded_and_called_back() public {
        Bodies.Result memory r = result(keccak256("foreign"), address(recorder), ATTESTED);
        r.requester = word(alice);
        deliver(Bodies.encode(_foreign(1, r)));
        vm.assertTrue(hub.answerOf(r.requestId).state == IOracleHub.State.Answered, "answered");
        vm.assertEq(hub.creditOf(treasury), 0, "the fee is on the other chain");
        vm.assertEq(recorder.answer().originGateway, PEER_GATEWAY, "origin");
    }

    function test_foreign__second_result_for_one_request__refused() public {
        Bodies.Result memory r = result(keccak256("foreign"), address(recorder), ATTESTED);
        deliver(Bodies.encode(_foreign(1, r)));
        _fails(
            Bodies.encode(_foreign(2, r)),
            abi.encodeWithSelector(IOracleHub.NotPending.selector, r.requestId, IOracleHub.State.Answered)
        );
    }

    function test_foreign__gas_limit_over_the_bound__clamped() public {
        Bodies.Result memory r = result(keccak256("foreign"), address(recorder), ATTESTED);
        r.callbackGasLimit = type(uint32).max;
        deliver(Bodies.encode(_foreign(1, r)));
        vm.assertLe(recorder.gasSeen(), 2_000_000, "clamped");
        vm.assertTrue(recorder.gasSeen() > 1_990_000, "to the bound");
    }

    function test_foreign__names_a_request_of_this_chain__refused() public {
        (bytes32 id,) = ask(alice, ATTESTED);
        _fails(
            Bodies.encode(_foreign(1, result(id, alice, ATTESTED))),
            abi.encodeWithSelector(IOracleHub.NotPending.selector, id, IOracleHub.State.Pending)
        );
    }

    // ---- refund, credit, treasury

    function test_refund__after_the_deadline__credited_once_by_anyone() public {
        (bytes32 id,) = ask(alice, ATTESTED);
        vm.warp(DEADLINE);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.DeadlineNotPassed.selector, DEADLINE));
        hub.refund(id);
        vm.warp(DEADLINE + 1);
        vm.expectEmit(true, true, true, true, address(hub));
        emit IOracleHub.Refunded(id, alice, PRICE);
        hub.refund(id);
        vm.assertEq(hub.creditOf(alice), PRICE, "credited");
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.NotPending.selector, id, IOracleHub.State.Refunded));
        hub.refund(id);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.NotPending.selector, bytes32(0), IOracleHub.State.None));
        hub.refund(0);
    }

    function test_withdraw__nothing_credited__refused() public {
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.NothingToWithdraw.selector, alice));
        vm.prank(alice);
        hub.withdraw();
    }

    function test_setTreasury__owner_only_and_not_zero() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        hub.setTreasury(alice);
        vm.expectRevert(IOracleHub.ZeroAddress.selector);
        hub.setTreasury(address(0));
        hub.setTreasury(prover);
        vm.assertEq(hub.treasury(), prover, "set");
    }

    // ---- callbacks

    function test_callback__fails__answer_stays_readable() public {
        Villain villain = new Villain();
        Villain.Mode[3] memory modes = [Villain.Mode.Revert, Villain.Mode.Bomb, Villain.Mode.EatGas];
        for (uint256 i = 0; i < modes.length; ++i) {
            villain.set(modes[i]);
            (bytes32 id, bytes memory body) = ask(address(villain), PROVEN);
            if (modes[i] == Villain.Mode.Revert) {
                vm.expectEmit(true, true, true, true, address(hub));
                emit IOracleHub.CallbackFailed(id, abi.encodeWithSelector(Villain.Villainy.selector));
            }
            hub.fulfil(body, outputs(), zkProof());
            vm.assertTrue(hub.answerOf(id).state == IOracleHub.State.Answered, "answered");
            vm.assertEq(int256(hub.answerOf(id).outputs[0]), -12345, "output");
        }
    }

    function test_callback__no_gas_asked__not_called() public {
        (, bytes memory body) = ask(address(recorder), PROVEN, 0, "");
        hub.fulfil(body, outputs(), zkProof());
        vm.assertEq(recorder.count(), 0, "not called");
    }

    function test_callback__requester_without_code__answered() public {
        (bytes32 id, bytes memory body) = ask(alice, PROVEN);
        hub.fulfil(body, outputs(), zkProof());
        _assertAnswered(id, alice, PROVEN);
    }

    /// @dev Over all gas limits of the transaction: the callback gets its whole gas, or nothing happens at all.
    function testFuzz_callback__any_gas_of_the_caller__whole_or_reverted(uint256 seed, uint32 limit) public {
        limit = uint32(clamp(limit, 30_000, 2_000_000));
        GasMeter meter = new GasMeter();
        (bytes32 id, bytes memory body) = ask(address(meter), PROVEN, limit, "");
        uint256 gasGiven = clamp(seed, 40_000, 2 * uint256(limit) + 400_000);
        bytes memory call = abi.encodeCall(IOracleHub.fulfil, (body, outputs(), zkProof()));
        (bool ok,) = address(hub).call{gas: gasGiven}(call);
        if (ok) {
            // What the consumer saw is its limit, less what it took to get to its first statement.
            vm.assertTrue(meter.gasSeen() + 500 > limit, "whole gas");
            vm.assertLe(meter.gasSeen(), limit, "not more");
        } else {
            vm.assertTrue(hub.requestOf(id).state == IOracleHub.State.Pending, "nothing happened");
        }
    }

    function test_callback__may_ask_again() public {
        Villain asker = new Villain();
        (bytes32 id, bytes memory body) = ask(address(asker), PROVEN, 500_000, "");
        asker.plan(
            Villain.Mode.ReenterCaught,
            address(hub),
            abi.encodeCall(IOracleHub.request, (MODEL, inputs(), PROVEN, DEADLINE, 0, ""))
        );
        registry.setPrice(MODEL, 0);
        hub.fulfil(body, outputs(), zkProof());
        vm.assertTrue(asker.attackWorked(), "asked from within");
        vm.assertTrue(hub.answerOf(id).state == IOracleHub.State.Answered, "answered");
    }

    // ---- words

    function _assertAnswered(bytes32 id, address consumer, uint8 policy) private view {
        IOracleHub.RecordedAnswer memory a = hub.answerOf(id);
        vm.assertTrue(a.state == IOracleHub.State.Answered, "answered");
        vm.assertEq(a.status, 0, "status");
        vm.assertEq(a.policy, policy, "policy");
        vm.assertEq(a.outputScale, 13, "scale");
        vm.assertEq(a.consumer, consumer, "consumer");
        vm.assertEq(a.outputs.length, 2, "outputs");
        vm.assertEq(int256(a.outputs[0]), -12345, "first output");
        vm.assertEq(int256(a.outputs[1]), type(int64).max, "second output");
    }

    function _answer(uint64 sequence, bytes32 id, address requester, uint8 policy) private view returns (bytes memory) {
        return Bodies.encode(resultBody(sequence, result(id, requester, policy)));
    }

    function _foreign(uint64 sequence, Bodies.Result memory r) private view returns (Bodies.Body memory b) {
        b = resultBody(sequence, r);
        (b.originReference, b.originGateway, b.sender) = (PEER_CHAIN, PEER_GATEWAY, PEER_GATEWAY);
    }

    function _foreignRequest(bytes memory remotes) private pure returns (bytes memory) {
        return Bodies.encode(
            Bodies.Body({
                kind: REQUEST,
                originType: EIP155,
                originReference: PEER_CHAIN,
                originGateway: PEER_GATEWAY,
                destinationType: EIP155,
                destinationReference: PEER_CHAIN,
                destinationGateway: PEER_GATEWAY,
                sequence: 5,
                sender: word(address(0xA11CE)),
                recipient: bytes32(uint256(0x4B)),
                expiry: DEADLINE,
                payload: Bodies.request(MODEL, 7, 300_000, ATTESTED, remotes, inputs())
            })
        );
    }

    function _foreignResult(bytes memory body) private view returns (Bodies.Result memory r) {
        r = result(Bodies.digest(body), address(recorder), BOTH);
        r.requester = word(alice);
    }

    function _foreignBoth() private view returns (bytes memory body, Bodies.Result memory r) {
        bytes memory here =
            Bodies.remote(BOTH, EIP155, CHAIN, word(address(gateway)), word(address(hub)), word(address(recorder)));
        body = _foreignRequest(bytes.concat(_remote(ATTESTED, SOLANA, SOLANA_CHAIN), here));
        r = _foreignResult(body);
    }

    function _fulfilBoth(bytes memory answer, bytes memory body, bytes memory proof) private {
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) = attest(answer);
        hub.fulfilBoth(attestation, deliveries[0], body, proof);
    }

    function _bothReverts(Bodies.Body memory answer, bytes memory body, bytes memory expected) private {
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) = attest(Bodies.encode(answer));
        vm.expectRevert(expected);
        hub.fulfilBoth(attestation, deliveries[0], body, zkProof());
    }

    function _bothMismatch(Bodies.Result memory r, bytes memory body, bytes32 field) private {
        _bothReverts(_foreign(5, r), body, _mismatchOf(r.requestId, field));
    }

    function _mismatchOf(bytes32 id, bytes32 field) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IOracleHub.ResultMismatch.selector, id, field);
    }

    function _mismatch(Bodies.Result memory r, bytes32 field) private {
        _fails(Bodies.encode(resultBody(1, r)), _mismatchOf(r.requestId, field));
    }

    function _fails(bytes memory body, bytes memory reason) private {
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) = attest(body);
        vm.expectRevert(abi.encodeWithSelector(IGateway.RecipientReverted.selector, Bodies.digest(body), reason));
        gateway.deliver(attestation, deliveries);
    }

    function _refused(
        bytes memory expected,
        bytes32 modelId,
        int64[] memory values,
        uint8 policy,
        uint64 deadline,
        uint32 gasLimit,
        bytes memory remotes
    ) private {
        vm.prank(alice);
        vm.expectRevert(expected);
        hub.request{value: PRICE}(modelId, values, policy, deadline, gasLimit, remotes);
    }

    function _refusedRemotes(bytes4 expected, uint8 policy, bytes memory remotes) private {
        vm.prank(alice);
        (bool ok, bytes memory reason) =
            address(hub).call{value: PRICE}(abi.encodeCall(IOracleHub.request, (MODEL, inputs(), policy, DEADLINE, 0, remotes)));
        vm.assertFalse(ok, "must be refused");
        vm.assertEq(bytes32(bytes4(reason)), bytes32(expected), "error");
    }

    function _remote(uint8 policy, uint16 chainType, bytes32 chain) private pure returns (bytes memory) {
        return Bodies.remote(policy, chainType, chain, PEER_GATEWAY, PEER_GATEWAY, PEER_GATEWAY);
    }

    function _remotes() private pure returns (bytes memory) {
        return bytes.concat(_remote(ATTESTED, SOLANA, SOLANA_CHAIN), _remote(BOTH, EIP155, PEER_CHAIN));
    }
}
