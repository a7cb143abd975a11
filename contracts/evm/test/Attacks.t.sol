// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICommittee} from "../src/interfaces/ICommittee.sol";
import {IGateway} from "../src/interfaces/IGateway.sol";
import {IMessageErrors} from "../src/interfaces/IMessageErrors.sol";
import {IOracleConsumer} from "../src/interfaces/IOracleConsumer.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {Bodies} from "./support/Bodies.sol";
import {FalseVerifier, SilentVerifier, TwoVerifier, Villain} from "./support/Consumers.sol";
import {SibylTest} from "./support/SibylTest.sol";

/// @title Attacks that emptied bridges, and their kin, tried on Sibyl
/// @dev Each test first shows that the honest message works, or ends by showing it, so that a refusal is for the attack's own reason.
contract AttacksTest is SibylTest {
    // ---- Wormhole 2022: a signature check that an attacker could point elsewhere

    function test_attack_wormhole__signature_of_a_key_of_ones_own__refused() public {
        uint256 forger = uint256(keccak256("forger")) % N;
        bytes memory body = Bodies.encode(message(1, address(recorder)));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        IGateway.Attestation memory forged;
        (forged.rx, forged.ry, forged.z) = schnorr(forger, Bodies.signedValue(_leaf(body)));
        forged.epoch = 1;
        _refused(forged, d, abi.encodeWithSelector(ICommittee.InvalidSignature.selector));
        forged.epoch = 2;
        _refused(forged, d, abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 2));
        forged.epoch = 0;
        _refused(forged, d, abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 0));
        gateway.deliver(a, d);
    }

    function test_attack_wormhole__degenerate_signatures__refused() public {
        bytes memory body = Bodies.encode(message(1, address(recorder)));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        bytes memory invalid = abi.encodeWithSelector(ICommittee.InvalidSignature.selector);
        uint256 p = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;
        uint256[3][9] memory cases = [
            [a.rx, a.ry, 0],
            [a.rx, a.ry, N],
            [a.rx, a.ry, N - a.z], // the negated scalar
            [a.rx, p - a.ry, a.z], // the negated point
            [a.rx, p - a.ry, N - a.z],
            [uint256(0), 0, a.z],
            [uint256(0), 0, 0],
            [p, a.ry, a.z],
            [a.rx, a.ry ^ 2, a.z] // same parity, so the same challenge, but not on the curve
        ];
        for (uint256 i = 0; i < cases.length; ++i) {
            _refused(IGateway.Attestation(1, cases[i][0], cases[i][1], cases[i][2]), d, invalid);
        }
        if (a.z < type(uint256).max - N) {
            _refused(IGateway.Attestation(1, a.rx, a.ry, a.z + N), d, invalid); // the same scalar, written twice
        }
        gateway.deliver(a, d);
    }

    // ---- Nomad 2022: a zero root that was trusted

    function test_attack_nomad__zero_root_or_no_signature__refused() public {
        bytes memory body = Bodies.encode(message(1, address(recorder)));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        // The zero root, honestly signed: no leaf leads to it, and none is taken from a caller.
        IGateway.Attestation memory zero = sign(bytes32(0));
        _refused(zero, d, abi.encodeWithSelector(ICommittee.InvalidSignature.selector));
        _refused(IGateway.Attestation(0, 0, 0, 0), d, abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 0));
        _refused(IGateway.Attestation(1, 0, 0, 0), d, abi.encodeWithSelector(ICommittee.InvalidSignature.selector));
        vm.assertFalse(gateway.delivered(0, 0), "nothing is delivered by default");
        vm.assertFalse(gateway.isPeer(0), "no origin is trusted by default");
        gateway.deliver(a, d);
    }

    // ---- BNB Bridge 2022: a proof that ignored part of its path

    function test_attack_bnb__forged_branches__refused() public {
        bytes[] memory bodies = new bytes[](3);
        for (uint64 i = 0; i < 3; ++i) {
            bodies[i] = Bodies.encode(message(i + 1, address(recorder)));
        }
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(bodies);
        bytes memory invalid = abi.encodeWithSelector(ICommittee.InvalidSignature.selector);
        // A message of one's own under another's branch.
        _refused(a, _one(Bodies.encode(message(9, address(recorder))), d[0].branch), invalid);
        // Shortened, lengthened, reordered, changed.
        bytes32[] memory branch = d[0].branch;
        bytes32[] memory changed = new bytes32[](1);
        changed[0] = branch[0];
        _refused(a, _one(bodies[0], changed), invalid);
        _refused(a, _one(bodies[0], new bytes32[](0)), invalid);
        changed = new bytes32[](3);
        (changed[0], changed[1], changed[2]) = (branch[0], branch[1], 0);
        _refused(a, _one(bodies[0], changed), invalid);
        changed = new bytes32[](2);
        (changed[0], changed[1]) = (branch[1], branch[0]);
        _refused(a, _one(bodies[0], changed), invalid);
        for (uint256 i = 0; i < 2; ++i) {
            changed = new bytes32[](2);
            (changed[0], changed[1]) = (branch[0], branch[1]);
            changed[i] = bytes32(uint256(changed[i]) ^ 1);
            _refused(a, _one(bodies[0], changed), invalid);
        }
        changed = new bytes32[](17);
        _refused(a, _one(bodies[0], changed), abi.encodeWithSelector(IMessageErrors.BranchTooLong.selector, 17));
        gateway.deliver(a, d);
    }

    function test_attack_bnb__second_message_of_another_root__refused() public {
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(Bodies.encode(message(1, address(recorder))));
        IGateway.Delivery[] memory two = new IGateway.Delivery[](2);
        two[0] = d[0];
        two[1].body = Bodies.encode(message(2, address(recorder)));
        _refused(a, two, abi.encodeWithSelector(IGateway.RootMismatch.selector, Bodies.digest(two[1].body)));
        gateway.deliver(a, d);
    }

    function test_attack_bnb__inner_node_as_a_message__refused() public {
        // A body whose digest would be an inner node proves nothing: leaves and nodes have different prefixes.
        bytes32 left = keccak256("left");
        bytes32 right = keccak256("right");
        vm.assertTrue(
            Bodies.join(left, right) != keccak256(bytes.concat(bytes1(0), keccak256(bytes.concat(left, right)))), "domains"
        );
        bytes memory body = Bodies.encode(message(1, address(recorder)));
        // A signature over the bare digest, or over the leaf, is not one over the batch.
        (, IGateway.Delivery[] memory d) = attest(body);
        IGateway.Attestation memory a;
        a.epoch = 1;
        (a.rx, a.ry, a.z) = schnorr(SECRET, Bodies.digest(body));
        _refused(a, d, abi.encodeWithSelector(ICommittee.InvalidSignature.selector));
        (a.rx, a.ry, a.z) = schnorr(SECRET, _leaf(body));
        _refused(a, d, abi.encodeWithSelector(ICommittee.InvalidSignature.selector));
    }

    // ---- Poly Network 2021: a message that reached a privileged call

    function test_attack_poly__message_to_a_privileged_contract__refused() public {
        address retired = address(hub);
        address[4] memory targets = [address(gateway), address(committee), address(hub), address(0)];
        for (uint256 i = 0; i < 3; ++i) {
            Bodies.Body memory b = message(1, targets[i]);
            b.payload = Bodies.encode(result(keccak256("any"), alice, ATTESTED));
            _refusedBody(b, abi.encodeWithSelector(IGateway.WrongRecipient.selector, MESSAGE, word(targets[i])));
        }
        // Nor after the hub was replaced: it still believes its gateway.
        gateway.setHandler(RESULT, address(recorder));
        _refusedBody(message(1, retired), abi.encodeWithSelector(IGateway.WrongRecipient.selector, MESSAGE, word(retired)));
        _refusedBody(
            message(1, address(recorder)),
            abi.encodeWithSelector(IGateway.WrongRecipient.selector, MESSAGE, word(address(recorder)))
        );
    }

    function test_attack_poly__message_to_a_hub_not_yet_installed__refused_by_the_hub() public {
        // A handler that governance forgot to name: the gateway does not know it, so it must defend itself.
        gateway.setPeer(Bodies.origin(EIP155, PEER_CHAIN, PEER_GATEWAY), true);
        (bytes32 id,) = ask(alice, ATTESTED);
        bytes memory payload = Bodies.encode(result(id, alice, ATTESTED));
        vm.prank(address(gateway));
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.NotAResult.selector, keccak256("digest")));
        hub.receiveMessage(keccak256("digest"), abi.encodePacked(hex"00010000021b5914", alice), payload);
    }

    function test_attack_poly__result_to_another_contract__refused() public {
        (bytes32 id,) = ask(alice, ATTESTED);
        Bodies.Body memory b = resultBody(1, result(id, alice, ATTESTED));
        b.recipient = word(address(recorder));
        _refusedBody(b, abi.encodeWithSelector(IGateway.WrongRecipient.selector, RESULT, b.recipient));
        gateway.setHandler(RESULT, address(0));
        b.recipient = 0;
        _refusedBody(b, abi.encodeWithSelector(IGateway.WrongRecipient.selector, RESULT, b.recipient));
    }

    function test_attack_poly__request_is_never_delivered__refused() public {
        (, bytes memory body) = ask(alice, ATTESTED);
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        _refused(a, d, abi.encodeWithSelector(IGateway.WrongRecipient.selector, REQUEST, word(address(hub))));
    }

    function test_attack_poly__consumer_is_the_protocol_itself__no_call() public {
        address[2] memory consumers = [address(hub), address(gateway)];
        for (uint64 i = 0; i < 2; ++i) {
            Bodies.Result memory r = result(keccak256(abi.encode(i)), consumers[i], ATTESTED);
            Bodies.Body memory b = resultBody(i + 1, r);
            (b.originReference, b.originGateway, b.sender) = (PEER_CHAIN, PEER_GATEWAY, PEER_GATEWAY);
            vm.recordLogs();
            deliver(Bodies.encode(b));
            vm.assertEq(vm.getRecordedLogs().length, 2, "answered and delivered, and no failed call");
        }
    }

    function test_attack_poly__callback_selector__is_no_function_of_the_protocol() public {
        address[4] memory contracts = [address(gateway), address(committee), address(registry), address(hub)];
        IOracleConsumer.Answer memory answer;
        bytes memory call = abi.encodeCall(IOracleConsumer.onAnswer, (answer));
        for (uint256 i = 0; i < contracts.length; ++i) {
            (bool ok, bytes memory reason) = contracts[i].call(call);
            vm.assertFalse(ok, "no such function");
            vm.assertEq(reason.length, 0, "no such function, so no reason");
        }
    }

    function test_attack_poly__hub_called_by_another_than_the_gateway__refused() public {
        (bytes32 id,) = ask(alice, ATTESTED);
        bytes memory payload = Bodies.encode(result(id, alice, ATTESTED));
        bytes memory sender = abi.encodePacked(hex"00010000027a6914", address(gateway));
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.OnlyGateway.selector, address(this)));
        hub.receiveMessage(0, sender, payload);
    }

    // ---- replay, and messages for others

    function test_attack_replay__same_message_again__refused() public {
        bytes memory body = Bodies.encode(message(1, address(recorder)));
        deliver(body);
        // Under a fresh signature, alone and in a batch with itself under another leaf order.
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        _refused(a, d, abi.encodeWithSelector(IGateway.AlreadyDelivered.selector, Bodies.digest(body)));
        vm.assertEq(recorder.count(), 1, "once");
    }

    function test_attack_replay__twice_in_one_call__once() public {
        bytes memory body = Bodies.encode(message(1, address(recorder)));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        IGateway.Delivery[] memory twice = new IGateway.Delivery[](2);
        (twice[0], twice[1]) = (d[0], d[0]);
        gateway.deliver(a, twice);
        vm.assertEq(recorder.count(), 1, "once");
    }

    function test_attack_replay__same_sequence_with_other_content__refused() public {
        deliver(Bodies.encode(message(1, address(recorder))));
        Bodies.Body memory b = message(1, address(recorder));
        b.payload = "other";
        _refusedBody(b, abi.encodeWithSelector(IGateway.AlreadyDelivered.selector, Bodies.digest(Bodies.encode(b))));
    }

    function test_attack_replay__message_for_another_chain_or_gateway__refused() public {
        Bodies.Body memory b = message(1, address(recorder));
        b.destinationReference = bytes32(uint256(1));
        _wrongDestination(b);
        b = message(1, address(recorder));
        b.destinationGateway = word(address(hub));
        _wrongDestination(b);
        b = message(1, address(recorder));
        b.destinationType = SOLANA;
        _wrongDestination(b);
        // A fork of this chain: the same gateway under another chain id takes nothing that was signed for this one.
        b = message(1, address(recorder));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(Bodies.encode(b));
        vm.chainId(31338);
        _refused(a, d, abi.encodeWithSelector(IGateway.WrongDestination.selector, EIP155, CHAIN, word(address(gateway))));
        vm.chainId(31337);
        gateway.deliver(a, d);
    }

    function test_attack_origin__unregistered_peer__refused() public {
        Bodies.Body memory b = message(1, address(recorder));
        b.originGateway = bytes32(uint256(0xBAD));
        _refusedBody(
            b, abi.encodeWithSelector(IGateway.UnknownPeer.selector, Bodies.originHash(EIP155, PEER_CHAIN, b.originGateway))
        );
        // The same 32 bytes on another type of chain are another origin.
        b.originGateway = PEER_GATEWAY;
        b.originType = SOLANA;
        _refusedBody(
            b, abi.encodeWithSelector(IGateway.UnknownPeer.selector, Bodies.originHash(SOLANA, PEER_CHAIN, PEER_GATEWAY))
        );
    }

    // ---- the proof

    function test_attack_proof__doctored_short_long_or_of_other_values__refused() public {
        (bytes32 id, bytes memory body) = ask(alice, PROVEN);
        bytes memory proof = zkProof();
        bytes memory invalid = abi.encodeWithSelector(IOracleHub.InvalidProof.selector, id);
        // Another output than proven, and another proof than for these values.
        int64[] memory lie = outputs();
        lie[0] = 1;
        _refusedProof(body, lie, proof, invalid);
        _refusedProof(body, outputs(), zkProof(inputs(), lie), invalid);
        // A valid proof, of other inputs: somebody else's request.
        int64[] memory others = inputs();
        others[0] += 1;
        _refusedProof(body, outputs(), zkProof(others, outputs()), invalid);
        _refusedProof(
            body, outputs(), bytes.concat(proof, hex"00"), abi.encodeWithSelector(IOracleHub.WrongProofLength.selector, 96, 97)
        );
        _refusedProof(
            body,
            outputs(),
            bytes.concat(proof, new bytes(32)),
            abi.encodeWithSelector(IOracleHub.WrongProofLength.selector, 96, 128)
        );
        _refusedProof(body, outputs(), "", abi.encodeWithSelector(IOracleHub.WrongProofLength.selector, 96, 0));
        int64[] memory more = new int64[](3);
        _refusedProof(body, more, proof, abi.encodeWithSelector(IMessageErrors.InvalidOutputCount.selector, 3));
        proof[0] ^= 0x01;
        _refusedProof(body, outputs(), proof, invalid);
        hub.fulfil(body, outputs(), zkProof());
    }

    function test_attack_proof__body_with_one_bit_changed__unknown_request() public {
        (, bytes memory body) = ask(alice, PROVEN);
        for (uint256 i = 0; i < body.length; i += 13) {
            bytes memory changed = bytes.concat(body);
            changed[i] ^= 0x01;
            vm.expectRevert(abi.encodeWithSelector(IOracleHub.NotPending.selector, Bodies.digest(changed), IOracleHub.State.None));
            hub.fulfil(changed, outputs(), zkProof());
        }
    }

    function test_attack_proof__verifiers_that_do_not_say_yes__refused() public {
        address[3] memory verifiers = [address(new FalseVerifier()), address(new TwoVerifier()), address(new SilentVerifier())];
        for (uint256 i = 0; i < verifiers.length; ++i) {
            bytes32 id = keccak256(abi.encode(i));
            registry.register(model(id, verifiers[i]));
            vm.prank(alice);
            bytes32 requestId = hub.request{value: PRICE}(id, inputs(), PROVEN, DEADLINE, 0, "");
            Bodies.Body memory b = resultBody(gateway.nextSequence() - 1, result(requestId, alice, PROVEN));
            (b.kind, b.sender) = (REQUEST, word(alice));
            b.payload = Bodies.request(id, PRICE, 0, PROVEN, "", inputs());
            _refusedProof(
                Bodies.encode(b), outputs(), zkProof(), abi.encodeWithSelector(IOracleHub.InvalidProof.selector, requestId)
            );
        }
    }

    function test_attack_policy__signature_alone_under_both_or_proven__refused() public {
        (bytes32 id,) = ask(alice, BOTH);
        _refusedByHub(resultBody(1, result(id, alice, BOTH)), abi.encodeWithSelector(IOracleHub.ProofRequired.selector, id));
        (id,) = ask(alice, PROVEN);
        _refusedByHub(resultBody(1, result(id, alice, PROVEN)), abi.encodeWithSelector(IOracleHub.SignedProven.selector, id));
        (id,) = ask(alice, ATTESTED);
        // Nor does an answer that nobody proved pass for one that was asked to be.
        _refusedByHub(
            resultBody(1, result(id, alice, RECOMPUTED)),
            abi.encodeWithSelector(IOracleHub.ResultMismatch.selector, id, bytes32("policy"))
        );
        (id,) = ask(alice, RECOMPUTED);
        _refusedByHub(
            resultBody(1, result(id, alice, ATTESTED)),
            abi.encodeWithSelector(IOracleHub.ResultMismatch.selector, id, bytes32("policy"))
        );
    }

    function test_attack_policy__proof_alone_under_both__refused() public {
        (bytes32 id, bytes memory body) = ask(alice, BOTH);
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) =
            attest(Bodies.encode(resultBody(1, result(id, alice, BOTH))));
        a.z ^= 1;
        vm.expectRevert(ICommittee.InvalidSignature.selector);
        hub.fulfilBoth(a, d[0], body, zkProof());
        a.z ^= 1;
        bytes memory bad = zkProof();
        bad[1] ^= 0x01;
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.InvalidProof.selector, id));
        hub.fulfilBoth(a, d[0], body, bad);
        hub.fulfilBoth(a, d[0], body, zkProof());
    }

    function test_attack_policy__flag_of_both__opens_no_other_message() public {
        // While one request is being fulfilled under BOTH, its consumer tries to slip in another one's bare signature.
        Villain villain = new Villain();
        (bytes32 victim,) = ask(alice, BOTH);
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) =
            attest(Bodies.encode(resultBody(1, result(victim, alice, BOTH))));
        villain.plan(Villain.Mode.ReenterCaught, address(gateway), abi.encodeCall(IGateway.deliver, (a, d)));
        (bytes32 id, bytes memory body) = ask(address(villain), BOTH, 300_000, "");
        IGateway.Attestation memory own;
        IGateway.Delivery[] memory delivery;
        (own, delivery) = attest(Bodies.encode(resultBody(2, result(id, address(villain), BOTH))));
        hub.fulfilBoth(own, delivery[0], body, zkProof());
        vm.assertFalse(villain.attackWorked(), "slipped in");
        vm.assertTrue(hub.requestOf(victim).state == IOracleHub.State.Pending, "victim untouched");
        vm.assertTrue(hub.answerOf(id).state == IOracleHub.State.Answered, "own answered");
        // Nor afterwards in the same transaction.
        _refusedByHub(
            resultBody(1, result(victim, alice, BOTH)), abi.encodeWithSelector(IOracleHub.ProofRequired.selector, victim)
        );
    }

    // ---- re-entrancy

    function test_attack_reentrancy__callback_fulfils_or_refunds_its_own_request__refused() public {
        Villain villain = new Villain();
        (bytes32 id, bytes memory body) = ask(address(villain), PROVEN);
        bytes[2] memory attacks =
            [abi.encodeCall(IOracleHub.fulfil, (body, outputs(), zkProof())), abi.encodeCall(IOracleHub.refund, (id))];
        villain.plan(Villain.Mode.ReenterCaught, address(hub), attacks[0]);
        vm.prank(prover);
        hub.fulfil(body, outputs(), zkProof());
        vm.assertFalse(villain.attackWorked(), "fulfilled twice");
        (id, body) = ask(address(villain), PROVEN);
        villain.plan(Villain.Mode.ReenterCaught, address(hub), abi.encodeCall(IOracleHub.refund, (id)));
        vm.prank(prover);
        hub.fulfil(body, outputs(), zkProof());
        vm.assertFalse(villain.attackWorked(), "refunded an answered request");
        vm.assertEq(hub.creditOf(prover), 2 * PRICE, "each fee once");
        vm.assertEq(address(hub).balance, 2 * PRICE, "escrow exact");
    }

    function test_attack_reentrancy__recipient_delivers_again__refused() public {
        Villain villain = new Villain();
        bytes memory body = Bodies.encode(message(1, address(villain)));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        villain.plan(Villain.Mode.Reenter, address(gateway), abi.encodeCall(IGateway.deliver, (a, d)));
        _refused(
            a,
            d,
            abi.encodeWithSelector(
                IGateway.RecipientReverted.selector,
                Bodies.digest(body),
                abi.encodeWithSelector(IGateway.ReentrantDelivery.selector)
            )
        );
    }

    function test_attack_reentrancy__withdraw_within_withdraw__paid_once() public {
        Thief thief = new Thief(hub);
        vm.deal(address(thief), PRICE);
        bytes32 id = thief.ask(MODEL, inputs(), DEADLINE, PRICE);
        ask(alice, ATTESTED); // somebody else's fee, to be stolen
        vm.warp(DEADLINE + 1);
        hub.refund(id);
        hub.withdrawFor(address(thief));
        vm.assertEq(address(thief).balance, PRICE, "paid once");
        vm.assertEq(address(hub).balance, PRICE, "the other fee stays");
    }

    // ---- money and time

    function test_attack_refund_race__either_answer_or_refund__never_both() public {
        (bytes32 id, bytes memory body) = ask(alice, PROVEN);
        (bytes32 signedId,) = ask(alice, ATTESTED);
        bytes memory answer = Bodies.encode(resultBody(2, result(signedId, alice, ATTESTED)));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(answer);
        vm.warp(DEADLINE + 1);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.DeadlinePassed.selector, DEADLINE));
        hub.fulfil(body, outputs(), zkProof());
        _refused(a, d, abi.encodeWithSelector(IGateway.Expired.selector, Bodies.digest(answer), DEADLINE));
        hub.refund(id);
        // The clock of a chain does not go back; if it did, the refund stands.
        vm.warp(DEADLINE);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.NotPending.selector, id, IOracleHub.State.Refunded));
        hub.fulfil(body, outputs(), zkProof());
        gateway.deliver(a, d);
        vm.warp(DEADLINE + 1);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.NotPending.selector, signedId, IOracleHub.State.Answered));
        hub.refund(signedId);
        vm.assertEq(hub.creditOf(alice) + hub.creditOf(treasury), 2 * PRICE, "each fee once");
    }

    function test_attack_refund_race__result_without_its_expiry__deadline_still_holds() public {
        (bytes32 id,) = ask(alice, ATTESTED);
        Bodies.Body memory b = resultBody(1, result(id, alice, ATTESTED));
        b.expiry = 0;
        vm.warp(DEADLINE + 1);
        _refusedByHub(b, abi.encodeWithSelector(IOracleHub.DeadlinePassed.selector, DEADLINE));
    }

    function test_attack_stuck__requester_that_rejects_ether__blocks_nobody() public {
        Villain villain = new Villain(); // has no receive function
        (bytes32 id,) = ask(address(villain), ATTESTED);
        deliver(Bodies.encode(resultBody(1, refusal(id, address(villain), ATTESTED))));
        vm.assertTrue(hub.answerOf(id).state == IOracleHub.State.Refused, "refused all the same");
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.TransferFailed.selector, address(villain)));
        hub.withdrawFor(address(villain));
        vm.assertEq(hub.creditOf(address(villain)), PRICE, "its credit stays");
        (id,) = ask(address(villain), ATTESTED);
        vm.warp(DEADLINE + 1);
        hub.refund(id);
        vm.assertEq(hub.creditOf(address(villain)), 2 * PRICE, "refunded all the same");
    }

    // ---- words

    function _leaf(bytes memory body) private pure returns (bytes32) {
        return keccak256(bytes.concat(bytes1(0), Bodies.digest(body)));
    }

    function _one(bytes memory body, bytes32[] memory branch) private pure returns (IGateway.Delivery[] memory d) {
        d = new IGateway.Delivery[](1);
        d[0] = IGateway.Delivery(body, branch);
    }

    function _refused(IGateway.Attestation memory a, IGateway.Delivery[] memory d, bytes memory reason) private {
        uint256 before = recorder.count();
        vm.expectRevert(reason);
        gateway.deliver(a, d);
        vm.assertEq(recorder.count(), before, "nothing delivered");
    }

    function _refusedBody(Bodies.Body memory b, bytes memory reason) private {
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(Bodies.encode(b));
        _refused(a, d, reason);
    }

    function _refusedByHub(Bodies.Body memory b, bytes memory reason) private {
        bytes32 digest = Bodies.digest(Bodies.encode(b));
        _refusedBody(b, abi.encodeWithSelector(IGateway.RecipientReverted.selector, digest, reason));
    }

    function _wrongDestination(Bodies.Body memory b) private {
        _refusedBody(
            b,
            abi.encodeWithSelector(
                IGateway.WrongDestination.selector, b.destinationType, b.destinationReference, b.destinationGateway
            )
        );
    }

    function _refusedProof(bytes memory body, int64[] memory values, bytes memory proof, bytes memory reason) private {
        vm.expectRevert(reason);
        hub.fulfil(body, values, proof);
    }
}

/// @dev Takes its refund, and tries to take it again while it is being paid.
contract Thief {
    IOracleHub private immutable _hub;

    constructor(IOracleHub hub) {
        _hub = hub;
    }

    receive() external payable {
        (bool ok,) = address(_hub).call(abi.encodeWithSignature("withdraw()"));
        require(!ok, "paid twice");
    }

    function ask(bytes32 modelId, int64[] calldata values, uint64 deadline, uint256 fee) external returns (bytes32) {
        return _hub.request{value: fee}(modelId, values, 1, deadline, 0, "");
    }
}
