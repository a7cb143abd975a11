// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Committee} from "../src/Committee.sol";
import {Gateway} from "../src/Gateway.sol";
import {ICommittee} from "../src/interfaces/ICommittee.sol";
import {IGateway} from "../src/interfaces/IGateway.sol";
import {IMessageErrors} from "../src/interfaces/IMessageErrors.sol";
import {Bodies} from "./support/Bodies.sol";
import {Harness} from "./support/Harness.sol";
import {SibylTest} from "./support/SibylTest.sol";

/// @title Rotations: a new group key by the old one's signature, and every way to bring a key that nobody should
contract RotationTest is SibylTest {
    uint256 private constant OTHER = uint256(keccak256("another secret")) % N;
    uint256 private constant THIRD = uint256(keccak256("a third secret")) % N;

    // ---- what works

    function test_rotation__proposed_signed_delivered__begins_after_the_delay() public {
        bytes memory payload = Bodies.encode(newKey(2, OTHER, 100));
        bytes memory body = Bodies.encode(rotationBody(1, payload));
        (uint256 px, uint8 parity) = publicKey(OTHER);
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.MessagePosted(1, Bodies.digest(body), body);
        vm.expectEmit(true, true, true, true, address(committee));
        emit ICommittee.RotationProposed(2, Bodies.digest(body), px);
        vm.prank(alice);
        vm.assertEq(committee.proposeRotation(payload), Bodies.digest(body), "digest");
        vm.assertEq(committee.newestEpoch(), 1, "proposing adds nothing");
        vm.expectEmit(true, true, true, true, address(committee));
        emit ICommittee.EpochAdded(2, px, parity, START + DELAY, 3, OPERATORS);
        vm.expectEmit(true, true, true, true, address(committee));
        emit ICommittee.EpochEnds(1, START + DELAY + 100);
        deliver(body);
        vm.assertEq(committee.newestEpoch(), 2, "newest");
        vm.assertEq(committee.activeEpoch(), 1, "not begun");
        bytes memory later = Bodies.encode(message(7, address(recorder)));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attestBy(OTHER, 2, later);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.EpochNotBegun.selector, 2, START + DELAY));
        gateway.deliver(a, d);
        vm.warp(START + DELAY);
        gateway.deliver(a, d);
        vm.assertEq(committee.activeEpoch(), 2, "begun");
    }

    function test_rotation__posted_on_a_peer__taken_with_this_chain_among_its_remotes() public {
        Bodies.NewKey memory k = newKey(2, OTHER, 0);
        k.remotes = Bodies.rotationRemote(EIP155, CHAIN, word(address(gateway)), word(address(committee)));
        Bodies.Body memory b = rotationBody(4, Bodies.encode(k));
        (b.originType, b.originReference, b.originGateway, b.sender) = (SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM, SOLANA_PROGRAM);
        deliver(Bodies.encode(b));
        vm.assertEq(committee.newestEpoch(), 2, "newest");
    }

    function test_proposeRotation__remotes__posted_as_they_are() public {
        Bodies.NewKey memory k = newKey(2, OTHER, 0);
        bytes memory one = Bodies.rotationRemote(SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM, SOLANA_PROGRAM);
        k.remotes = bytes.concat(one, Bodies.rotationRemote(EIP155, PEER_CHAIN, PEER_GATEWAY, PEER_GATEWAY));
        bytes memory payload = Bodies.encode(k);
        bytes32 digest = committee.proposeRotation(payload);
        vm.assertEq(digest, Bodies.digest(Bodies.encode(rotationBody(1, payload))), "digest");
    }

    // ---- attacks

    function test_attack_rotation__replayed__once_and_never_after_a_veto() public {
        bytes memory body = Bodies.encode(rotationBody(1, Bodies.encode(newKey(2, OTHER, 0))));
        deliver(body);
        committee.veto(2);
        bytes memory again = abi.encodeWithSelector(IGateway.AlreadyDelivered.selector, Bodies.digest(body));
        _refused(SECRET, 1, body, again);
        // Nor by the same rotation in a post of its own: anybody could propose it again, and its signers once agreed to it.
        (uint256 px,) = publicKey(OTHER);
        bytes memory vetoed = abi.encodeWithSelector(ICommittee.KeyVetoed.selector, px);
        bytes memory payload = Bodies.encode(newKey(2, OTHER, 0));
        vm.expectRevert(vetoed);
        committee.proposeRotation(payload);
        _refusedByCommittee(SECRET, 1, Bodies.encode(rotationBody(2, payload)), vetoed);
        vm.assertEq(committee.newestEpoch(), 1, "newest");
    }

    function test_attack_rotation__to_the_wrong_chain_gateway_or_committee__refused() public {
        bytes memory payload = Bodies.encode(newKey(2, OTHER, 0));
        Bodies.Body memory b = rotationBody(1, payload);
        b.destinationReference = PEER_CHAIN;
        _refused(SECRET, 1, Bodies.encode(b), _wrongDestination(b));
        b = rotationBody(1, payload);
        b.destinationGateway = PEER_GATEWAY;
        _refused(SECRET, 1, Bodies.encode(b), _wrongDestination(b));
        address[3] memory others = [address(recorder), address(hub), address(0)];
        for (uint256 i = 0; i < others.length; ++i) {
            b = rotationBody(1, payload);
            b.recipient = word(others[i]);
            _refused(SECRET, 1, Bodies.encode(b), abi.encodeWithSelector(IGateway.WrongRecipient.selector, ROTATION, b.recipient));
        }
    }

    function test_attack_rotation__unknown_peer__refused() public {
        Bodies.Body memory b = rotationBody(1, Bodies.encode(newKey(2, OTHER, 0)));
        (b.originReference, b.originGateway) = (PEER_CHAIN, bytes32(uint256(0xBAD)));
        bytes32 origin = Bodies.originHash(EIP155, PEER_CHAIN, b.originGateway);
        _refused(SECRET, 1, Bodies.encode(b), abi.encodeWithSelector(IGateway.UnknownPeer.selector, origin));
    }

    function test_attack_rotation__signed_by_itself_or_a_stranger__refused() public {
        bytes memory body = Bodies.encode(rotationBody(1, Bodies.encode(newKey(2, OTHER, 0))));
        _refused(OTHER, 1, body, abi.encodeWithSelector(ICommittee.InvalidSignature.selector));
        _refused(OTHER, 2, body, abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 2));
        deliver(body);
        // Before its begin it brings no successor, either.
        bytes memory next = Bodies.encode(rotationBody(2, Bodies.encode(newKey(3, THIRD, 0))));
        _refused(OTHER, 2, next, abi.encodeWithSelector(ICommittee.EpochNotBegun.selector, 2, START + DELAY));
    }

    function test_attack_rotation__wrong_possession__refused_at_both_ends() public {
        Bodies.NewKey memory k = newKey(2, OTHER, 0);
        Bodies.NewKey memory other = newKey(2, THIRD, 0);
        (k.proofRx, k.proofRy, k.proofZ) = (other.proofRx, other.proofRy, other.proofZ);
        _refusedKey(k, abi.encodeWithSelector(ICommittee.InvalidProofOfPossession.selector));
        k = newKey(2, OTHER, 0);
        k.proofRy ^= 1; // the other root
        _refusedKey(k, abi.encodeWithSelector(ICommittee.InvalidProofOfPossession.selector));
        k = newKey(3, OTHER, 0);
        k.epoch = 2; // made for another epoch
        _refusedKey(k, abi.encodeWithSelector(ICommittee.InvalidProofOfPossession.selector));
        k = newKey(2, OTHER, 0);
        k.proofRx = 5; // no point has this x
        _refusedKey(k, abi.encodeWithSelector(ICommittee.InvalidProofOfPossession.selector));
        k = newKey(2, OTHER, 0);
        (k.proofRx, k.proofRy, k.proofZ) = (0, 0, 0);
        _refusedKey(k, abi.encodeWithSelector(ICommittee.InvalidProofOfPossession.selector));
        k = newKey(2, OTHER, 0);
        k.px = N;
        _refusedKey(k, abi.encodeWithSelector(ICommittee.InvalidGroupKey.selector, N, k.parity));
    }

    function test_attack_rotation__epoch_skipped_or_repeated__refused() public {
        uint32[4] memory epochs = [uint32(0), 1, 3, type(uint32).max];
        for (uint256 i = 0; i < epochs.length; ++i) {
            Bodies.NewKey memory k = newKey(epochs[i], OTHER, 0);
            _refusedKey(k, abi.encodeWithSelector(ICommittee.EpochNotNext.selector, epochs[i], 2));
        }
    }

    function test_attack_rotation__another_is_pending__refused_until_it_begins() public {
        deliver(Bodies.encode(rotationBody(1, Bodies.encode(newKey(2, OTHER, DELAY)))));
        bytes memory pending = abi.encodeWithSelector(ICommittee.EpochPending.selector, 2, START + DELAY);
        Bodies.NewKey memory k = newKey(3, THIRD, 0);
        _refusedKey(k, pending);
        _refusedKey(newKey(2, THIRD, 0), pending);
        vm.warp(START + DELAY);
        bytes memory body = Bodies.encode(rotationBody(3, Bodies.encode(k)));
        // Then only the epoch in office brings the next: the old one, in its overlap, may have been rotated out for a reason.
        _refusedByCommittee(SECRET, 1, body, abi.encodeWithSelector(ICommittee.NotByNewestEpoch.selector, 1, 2));
        _accept(OTHER, 2, body);
        vm.assertEq(committee.newestEpoch(), 3, "newest");
    }

    function test_attack_rotation__signed_by_an_epoch_that_was_vetoed_or_ended__refused() public {
        deliver(Bodies.encode(rotationBody(1, Bodies.encode(newKey(2, OTHER, 0)))));
        committee.veto(2);
        vm.warp(START + DELAY);
        bytes memory body = Bodies.encode(rotationBody(2, Bodies.encode(newKey(2, THIRD, 0))));
        _refused(OTHER, 2, body, abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 2));
        committee.endEpoch(1, START + 1);
        _refused(SECRET, 1, body, abi.encodeWithSelector(ICommittee.EpochEnded.selector, 1, START + 1));
        vm.assertEq(committee.newestEpoch(), 1, "newest");
    }

    function test_attack_rotation__unsound_committee__refused() public {
        Bodies.NewKey memory k = newKey(2, OTHER, 0);
        k.threshold = 2;
        _refusedKey(k, abi.encodeWithSelector(ICommittee.InvalidThreshold.selector, 2, 3, 4));
        k = newKey(2, OTHER, 0);
        k.operators = hex"00010101";
        _refusedKey(k, abi.encodeWithSelector(ICommittee.OperatorTooHeavy.selector, 1, 1));
        k = newKey(2, OTHER, 0);
        k.operators = hex"000102";
        _refusedKey(k, abi.encodeWithSelector(ICommittee.InvalidMemberCount.selector, 3));
    }

    function test_attack_rotation__remote_on_this_chain_twice_or_malformed__refused() public {
        Bodies.NewKey memory k = newKey(2, OTHER, 0);
        k.remotes = Bodies.rotationRemote(EIP155, CHAIN, word(address(gateway)), word(address(committee)));
        bytes memory payload = Bodies.encode(k);
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.DuplicateChain.selector, EIP155, CHAIN));
        committee.proposeRotation(payload);
        bytes memory peer = Bodies.rotationRemote(EIP155, PEER_CHAIN, PEER_GATEWAY, PEER_GATEWAY);
        k.remotes = bytes.concat(peer, peer);
        _refusedKey(k, abi.encodeWithSelector(IMessageErrors.DuplicateChain.selector, EIP155, PEER_CHAIN));
        bytes32 unpadded = bytes32(uint256(1) << 160);
        k.remotes = Bodies.rotationRemote(EIP155, PEER_CHAIN, PEER_GATEWAY, unpadded);
        _refusedKey(k, abi.encodeWithSelector(IMessageErrors.InvalidAddress.selector, unpadded));
        k.remotes = Bodies.rotationRemote(1, PEER_CHAIN, PEER_GATEWAY, 0);
        _refusedKey(k, abi.encodeWithSelector(IMessageErrors.UnknownChainType.selector, 1));
        k.remotes = new bytes(5 * 98);
        _refusedKey(k, abi.encodeWithSelector(IMessageErrors.TooManyRemotes.selector, 5));
        k.remotes = "";
        payload = bytes.concat(Bodies.encode(k), hex"00");
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.WrongLength.selector, 147, 148));
        committee.proposeRotation(payload);
    }

    function test_attack_poly__message_or_call_to_the_committee__refused() public {
        bytes memory payload = Bodies.encode(newKey(2, OTHER, 0));
        uint8[4] memory kinds = [MESSAGE, REQUEST, RESULT, NON_DELIVERY];
        for (uint256 i = 0; i < kinds.length; ++i) {
            Bodies.Body memory b = rotationBody(1, payload);
            b.kind = kinds[i];
            if (kinds[i] == NON_DELIVERY) b.sender = word(address(gateway));
            _refused(SECRET, 1, Bodies.encode(b), abi.encodeWithSelector(IGateway.WrongRecipient.selector, kinds[i], b.recipient));
        }
        bytes memory sender = abi.encodePacked(hex"00010000027a6914", address(committee));
        vm.expectRevert(abi.encodeWithSelector(ICommittee.OnlyGateway.selector, address(this)));
        committee.receiveMessage(0, sender, payload);
    }

    function test_attack_rotation__gateway_that_is_not_delivering__refused() public {
        // Were the gateway tricked into another call of the committee: no epoch signed it.
        bytes memory payload = Bodies.encode(newKey(2, OTHER, 0));
        vm.prank(address(gateway));
        vm.expectRevert(abi.encodeWithSelector(ICommittee.NotByNewestEpoch.selector, 0, 1));
        committee.receiveMessage(0, "", payload);
    }

    function test_attack_rotation__user_posts_the_kind__refused() public {
        bytes memory payload = Bodies.encode(newKey(2, OTHER, 0));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IGateway.NotHandler.selector, ROTATION, alice));
        gateway.post(ROTATION, word(address(committee)), 0, payload);
        vm.prank(address(hub));
        vm.expectRevert(abi.encodeWithSelector(IGateway.NotHandler.selector, ROTATION, address(hub)));
        gateway.post(ROTATION, word(address(committee)), 0, payload);
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.WrongKind.selector, ROTATION));
        gateway.setHandler(ROTATION, alice);
        vm.assertEq(gateway.handler(ROTATION), address(committee), "handler");
    }

    function test_proposeRotation__before_the_first_key_or_without_a_gateway__refused() public {
        Committee fresh = new Committee(address(this), DELAY);
        bytes memory payload = Bodies.encode(newKey(1, OTHER, 0));
        vm.expectRevert(abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 0));
        fresh.proposeRotation(payload);
        setFirstKey(fresh, SECRET);
        payload = Bodies.encode(newKey(2, OTHER, 0));
        vm.expectRevert(abi.encodeWithSelector(ICommittee.InvalidGateway.selector, address(0)));
        fresh.proposeRotation(payload);
        fresh.setGateway(new Gateway(address(this), fresh));
        fresh.proposeRotation(payload);
    }

    // ---- any input

    function testFuzz_rotation__any_overlap_and_time__old_epoch_ends_so_long_after(uint32 overlap, uint32 wait) public {
        vm.warp(uint256(START) + wait);
        deliver(Bodies.encode(rotationBody(1, Bodies.encode(newKey(2, OTHER, overlap)))));
        uint256 begin = uint256(START) + wait + DELAY;
        vm.assertEq(committee.groupKey(2).validFrom, begin, "begin");
        vm.assertEq(committee.groupKey(1).validUntil, begin + overlap, "end");
    }

    function testFuzz_rotation__one_bit_changed__never_a_new_key(uint256 place) public {
        bytes memory payload = Bodies.encode(newKey(2, OTHER, 60));
        place %= 106 * 8; // epoch, key, proof of possession: what the proof covers, and itself
        payload[place / 8] ^= bytes1(uint8(1 << (place % 8)));
        if (place / 8 >= 102) return; // the overlap is covered by the committee's signature alone
        (bool ok,) = address(committee).call(abi.encodeCall(ICommittee.proposeRotation, (payload)));
        vm.assertFalse(ok, "proposed");
    }

    function testFuzz_decompress__any_point__its_y(uint256 secret, uint256 x) public {
        Harness harness = new Harness();
        (uint256 rx, uint256 ry,) = schnorr(clamp(secret, 1, N - 1), bytes32(x));
        vm.assertEq(harness.decompress(uint8(2 + (ry & 1)), rx), ry, "y");
        vm.assertEq(harness.decompress(uint8(3 - (ry & 1)), rx), P - ry, "the other y");
        uint256 y = harness.decompress(2, x);
        vm.assertTrue(y == 0 || (x < P && mulmod(y, y, P) == addmod(mulmod(mulmod(x, x, P), x, P), 7, P)), "on the curve");
        vm.assertEq(harness.decompress(4, rx), 0, "no such form");
    }

    // ---- words

    uint256 private constant P = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;

    function _refusedKey(Bodies.NewKey memory k, bytes memory reason) private {
        bytes memory payload = Bodies.encode(k);
        vm.expectRevert(reason);
        committee.proposeRotation(payload);
        _refusedByCommittee(SECRET, 1, Bodies.encode(rotationBody(9, payload)), reason);
    }

    function _accept(uint256 secret, uint32 epoch, bytes memory body) private {
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attestBy(secret, epoch, body);
        gateway.deliver(a, d);
    }

    function _refused(uint256 secret, uint32 epoch, bytes memory body, bytes memory reason) private {
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attestBy(secret, epoch, body);
        vm.expectRevert(reason);
        gateway.deliver(a, d);
    }

    function _refusedByCommittee(uint256 secret, uint32 epoch, bytes memory body, bytes memory reason) private {
        bytes memory outer = abi.encodeWithSelector(IGateway.RecipientReverted.selector, Bodies.digest(body), reason);
        _refused(secret, epoch, body, outer);
    }

    function _wrongDestination(Bodies.Body memory b) private pure returns (bytes memory) {
        return abi.encodeWithSelector(
            IGateway.WrongDestination.selector, b.destinationType, b.destinationReference, b.destinationGateway
        );
    }
}
