// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../src/interfaces/IGateway.sol";
import {IOracleHub} from "../src/interfaces/IOracleHub.sol";
import {Bodies} from "./support/Bodies.sol";
import {Recorder, Villain} from "./support/Consumers.sol";
import {SibylTest} from "./support/SibylTest.sol";

/// @title Random interleavings of everything that can happen to requests and messages
/// @dev Each act is tried whether or not it is allowed, and the handler knows from its own model which it is: an act that should have
/// been refused and was not (or the reverse) fails the run at once.
contract Handler is SibylTest {
    struct Known {
        bytes32 id;
        bytes body;
        address requester;
        uint8 policy;
        uint64 sequence;
        uint64 deadline;
        IOracleHub.State state;
    }

    Known[] public requests;
    uint256 public pendingFees;
    uint256 public credits;
    bool public paused;
    uint256 public messagesDelivered;
    mapping(uint64 sequence => bool) public messageDelivered;
    mapping(bytes32 act => uint256) public done;
    address[] private _actors;

    constructor() {
        setUp();
        _actors.push(alice);
        _actors.push(address(recorder));
        Villain villain = new Villain();
        _actors.push(address(villain));
        villain.set(Villain.Mode.Revert);
    }

    function parts() external view returns (IOracleHub, IGateway, Recorder, address[] memory, address, address) {
        return (hub, gateway, recorder, _actors, treasury, prover);
    }

    function count() external view returns (uint256) {
        return requests.length;
    }

    function askAct(uint256 who, uint8 policy) external {
        address requester = _actors[who % _actors.length];
        policy = uint8(clamp(policy, ATTESTED, BOTH));
        uint64 sequence = gateway.nextSequence();
        vm.deal(requester, requester.balance + PRICE);
        vm.prank(requester);
        (bool ok, bytes memory answer) =
            address(hub).call{value: PRICE}(abi.encodeCall(IOracleHub.request, (MODEL, inputs(), policy, DEADLINE, 300_000, "")));
        vm.assertTrue(ok == (!paused && block.timestamp < DEADLINE), "request");
        if (!ok) return;
        Known storage known = requests.push();
        known.id = abi.decode(answer, (bytes32));
        (known.requester, known.policy, known.sequence) = (requester, policy, sequence);
        (known.deadline, known.state) = (DEADLINE, IOracleHub.State.Pending);
        known.body = _requestBody(known);
        vm.assertEq(Bodies.digest(known.body), known.id, "request id");
        pendingFees += PRICE;
        ++done["ask"];
    }

    function resultAct(uint256 which, bool refused) external {
        if (requests.length == 0) return;
        Known storage known = requests[which % requests.length];
        Bodies.Result memory r =
            refused ? refusal(known.id, known.requester, known.policy) : result(known.id, known.requester, known.policy);
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(Bodies.encode(resultBody(known.sequence, r)));
        (bool ok,) = address(gateway).call(abi.encodeCall(IGateway.deliver, (a, d)));
        bool allowed = !paused && _open(known) && (refused || known.policy == ATTESTED);
        vm.assertTrue(ok == allowed, "result");
        if (!ok) return;
        _close(known, refused ? IOracleHub.State.Refused : IOracleHub.State.Answered);
        ++done[refused ? bytes32("refuse") : bytes32("answer")];
    }

    function fulfilAct(uint256 which, bool honest) external {
        if (requests.length == 0) return;
        Known storage known = requests[which % requests.length];
        bytes memory proof = zkProof();
        if (!honest) proof[0] ^= 0x01;
        vm.prank(prover);
        (bool ok,) = address(hub).call(abi.encodeCall(IOracleHub.fulfil, (known.body, outputs(), proof)));
        vm.assertTrue(ok == (honest && _open(known) && known.policy == PROVEN), "fulfil");
        if (!ok) return;
        _close(known, IOracleHub.State.Answered);
        ++done["fulfil"];
    }

    function bothAct(uint256 which, bool honest) external {
        if (requests.length == 0) return;
        Known storage known = requests[which % requests.length];
        bytes memory proof = zkProof();
        if (!honest) proof[0] ^= 0x01;
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) =
            attest(Bodies.encode(resultBody(known.sequence, result(known.id, known.requester, known.policy))));
        (bool ok,) = address(hub).call(abi.encodeCall(IOracleHub.fulfilBoth, (a, d[0], known.body, proof)));
        vm.assertTrue(ok == (honest && !paused && _open(known) && known.policy == BOTH), "both");
        if (!ok) return;
        _close(known, IOracleHub.State.Answered);
        ++done["both"];
    }

    function refundAct(uint256 which) external {
        if (requests.length == 0) return;
        Known storage known = requests[which % requests.length];
        (bool ok,) = address(hub).call(abi.encodeCall(IOracleHub.refund, (known.id)));
        vm.assertTrue(ok == (known.state == IOracleHub.State.Pending && block.timestamp > known.deadline), "refund");
        if (!ok) return;
        _close(known, IOracleHub.State.Refunded);
        ++done["refund"];
    }

    function withdrawAct(uint256 who) external {
        address[6] memory accounts = [alice, address(recorder), _actors[2], treasury, prover, address(this)];
        address account = accounts[who % 6];
        uint256 credit = hub.creditOf(account);
        (bool ok,) = address(hub).call(abi.encodeCall(IOracleHub.withdrawFor, (account)));
        // The recorder and the villain take no ether: their credit stays.
        vm.assertTrue(ok == (credit != 0 && account != address(recorder) && account != _actors[2]), "withdraw");
        if (!ok) return;
        credits -= credit;
        ++done["withdraw"];
    }

    function messageAct(uint64 sequence, bool two) external {
        sequence = uint64(clamp(sequence, 250, 270)); // over the edge of a word of the bitmap
        bytes memory body = Bodies.encode(message(sequence, address(recorder)));
        bytes memory next = Bodies.encode(message(sequence + 1, address(recorder)));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(two ? list(body, next) : list(body));
        (bool ok,) = address(gateway).call(abi.encodeCall(IGateway.deliver, (a, d)));
        uint256 fresh = messageDelivered[sequence] ? 0 : 1;
        if (two && !messageDelivered[sequence + 1]) ++fresh;
        vm.assertTrue(ok == (!paused && fresh != 0), "message");
        if (!ok) return;
        messageDelivered[sequence] = true;
        if (two) messageDelivered[sequence + 1] = true;
        messagesDelivered += fresh;
        ++done["message"];
    }

    function pauseAct(uint8 dice) external {
        if (paused) gateway.unpause();
        else if (dice < 40) gateway.pause();
        else return;
        paused = !paused;
        ++done["pause"];
    }

    function timeAct(uint256 seconds_) external {
        vm.warp(block.timestamp + clamp(seconds_, 0, 60));
        ++done["time"];
    }

    function _open(Known storage known) private view returns (bool) {
        return known.state == IOracleHub.State.Pending && block.timestamp <= known.deadline;
    }

    function _close(Known storage known, IOracleHub.State state) private {
        known.state = state;
        pendingFees -= PRICE;
        credits += PRICE;
    }

    function _requestBody(Known storage known) private view returns (bytes memory) {
        Bodies.Body memory b = resultBody(known.sequence, result(known.id, known.requester, known.policy));
        (b.kind, b.sender) = (REQUEST, word(known.requester));
        b.payload = Bodies.request(MODEL, PRICE, 300_000, known.policy, "", inputs());
        return Bodies.encode(b);
    }
}

contract InvariantsTest is SibylTest {
    Handler private _handler;
    IOracleHub private _hub;
    IGateway private _gateway;
    Recorder private _recorder;
    address[] private _actors;
    address private _treasury;
    address private _prover;

    function setUp() public override {
        _handler = new Handler();
        (_hub, _gateway, _recorder, _actors, _treasury, _prover) = _handler.parts();
    }

    /// @dev Read by forge: the acts are all that is called.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev Read by forge.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](10);
        selectors[0] = Handler.askAct.selector;
        selectors[1] = Handler.resultAct.selector;
        selectors[2] = Handler.fulfilAct.selector;
        selectors[3] = Handler.bothAct.selector;
        selectors[4] = Handler.refundAct.selector;
        selectors[5] = Handler.withdrawAct.selector;
        selectors[6] = Handler.messageAct.selector;
        selectors[7] = Handler.pauseAct.selector;
        selectors[8] = Handler.timeAct.selector;
        selectors[9] = Handler.askAct.selector; // twice: the others need something to act on
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(_handler), selectors);
    }

    /// @dev Escrow is exact: what the hub holds is what is pending and what is credited, and nothing else.
    function invariant_escrow__balance_is_pending_fees_and_credits() public view {
        vm.assertEq(address(_hub).balance, _handler.pendingFees() + _handler.credits(), "balance");
        uint256 credits = _hub.creditOf(_treasury) + _hub.creditOf(_prover);
        for (uint256 i = 0; i < _actors.length; ++i) {
            credits += _hub.creditOf(_actors[i]);
        }
        vm.assertEq(credits, _handler.credits(), "credits");
    }

    /// @dev The chain's state of each request is the model's: no state was skipped, left or entered twice.
    function invariant_states__as_the_model_says() public view {
        for (uint256 i = 0; i < _handler.count(); ++i) {
            (bytes32 id,, address requester, uint8 policy,,, IOracleHub.State state) = _handler.requests(i);
            IOracleHub.Request memory r = _hub.requestOf(id);
            IOracleHub.RecordedAnswer memory a = _hub.answerOf(id);
            vm.assertTrue(r.state == state && a.state == state, "state");
            vm.assertEq(r.requester, requester, "requester");
            vm.assertEq(r.policy, policy, "policy");
            bool answered = state == IOracleHub.State.Answered;
            vm.assertEq(a.outputs.length, answered ? 2 : 0, "outputs");
            if (answered) vm.assertEq(int256(a.outputs[0]), -12345, "output");
            vm.assertTrue((a.status != 0) == (state == IOracleHub.State.Refused), "status");
        }
    }

    /// @dev Nothing is delivered twice, and nothing counts as delivered that was not.
    function invariant_messages__each_at_most_once() public view {
        bytes32 origin = Bodies.originHash(EIP155, PEER_CHAIN, PEER_GATEWAY);
        uint256 messages;
        for (uint64 sequence = 249; sequence <= 272; ++sequence) {
            bool delivered = _gateway.delivered(origin, sequence);
            vm.assertTrue(delivered == _handler.messageDelivered(sequence), "delivered");
            if (delivered) ++messages;
        }
        vm.assertEq(messages, _handler.messagesDelivered(), "messages");
        uint256 answers;
        for (uint256 i = 0; i < _handler.count(); ++i) {
            (,, address requester,,,, IOracleHub.State state) = _handler.requests(i);
            bool told = state == IOracleHub.State.Answered || state == IOracleHub.State.Refused;
            if (requester == address(_recorder) && told) ++answers;
        }
        vm.assertEq(_recorder.count(), messages + answers, "calls of the recipient");
    }

    /// @dev A run of nothing but refusals would prove nothing: each act must happen where it is allowed.
    function test_handler__each_act__does_something() public {
        for (uint8 policy = 1; policy <= 3; ++policy) {
            for (uint256 i = 0; i < 4; ++i) {
                _handler.askAct(i, policy - 1);
            }
        }
        _handler.resultAct(0, false);
        _handler.resultAct(4, false);
        _handler.resultAct(1, true);
        _handler.fulfilAct(4, false);
        _handler.fulfilAct(4, true);
        _handler.fulfilAct(4, true);
        _handler.bothAct(8, false);
        _handler.bothAct(8, true);
        _handler.messageAct(255, true);
        _handler.messageAct(256, false);
        _handler.pauseAct(1);
        _handler.messageAct(257, true);
        _handler.pauseAct(200);
        for (uint256 i = 0; i < 11; ++i) {
            _handler.timeAct(60);
        }
        _handler.refundAct(8);
        _handler.refundAct(2);
        _handler.withdrawAct(3);
        bytes32[9] memory acts = [bytes32("ask"), "answer", "refuse", "fulfil", "both", "refund", "withdraw", "message", "pause"];
        for (uint256 i = 0; i < acts.length; ++i) {
            vm.assertTrue(_handler.done(acts[i]) != 0, string(abi.encodePacked(acts[i])));
        }
        invariant_escrow__balance_is_pending_fees_and_credits();
        invariant_states__as_the_model_says();
        invariant_messages__each_at_most_once();
    }
}
