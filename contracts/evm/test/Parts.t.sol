// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {FeeSplitter} from "../src/FeeSplitter.sol";
import {ITumourConsumer} from "../src/examples/ITumourConsumer.sol";
import {TumourConsumer} from "../src/examples/TumourConsumer.sol";
import {IFeeSplitter} from "../src/interfaces/IFeeSplitter.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IOracleConsumer} from "../src/interfaces/IOracleConsumer.sol";
import {Bodies} from "./support/Bodies.sol";
import {HashVerifier, Villain} from "./support/Consumers.sol";
import {SibylTest} from "./support/SibylTest.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract ModelRegistryTest is SibylTest {
    bytes32 private constant ID = keccak256("another model");

    function test_register__valid__read_back() public {
        IModelRegistry.Model memory m = model(ID, address(new HashVerifier()));
        vm.expectEmit(true, true, true, true, address(registry));
        emit IModelRegistry.ModelRegistered(ID, m);
        registry.register(m);
        vm.assertEq(abi.encode(registry.model(ID)), abi.encode(m), "model");
        IModelRegistry.Verification memory v = registry.verification(ID);
        vm.assertEq(
            abi.encode(v), abi.encode(m.verifier, m.inputCount, m.outputCount, m.outputScale, m.proofLength), "verification"
        );
    }

    function test_register__again__refused() public {
        IModelRegistry.Model memory m = model(MODEL, address(0));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelExists.selector, MODEL));
        registry.register(m);
    }

    function test_register__field_out_of_bounds__refused() public {
        address verifier = address(new HashVerifier());
        for (uint256 i = 0; i < 12; ++i) {
            IModelRegistry.Model memory m = model(ID, verifier);
            if (i == 0) m.id = 0;
            if (i == 1) m.inputCount = 0;
            if (i == 2) m.inputCount = 1025;
            if (i == 3) m.outputCount = 0;
            if (i == 4) m.outputCount = 65;
            if (i == 5) m.inputScale = 31;
            if (i == 6) m.outputScale = 31;
            if (i == 7) m.inputBound = 0;
            if (i == 8) m.inputBound = 1 << 63;
            if (i == 9) m.proofLength = 0;
            if (i == 10) m.verifier = address(0);
            if (i == 11) m.verifier = address(0xC0DE1E55);
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.InvalidModel.selector, m.id));
            registry.register(m);
        }
        registry.register(model(ID, verifier));
    }

    function test_setters__owner_only_known_models_only() public {
        registry.setPrice(MODEL, 5);
        registry.setActive(MODEL, false);
        vm.assertEq(registry.model(MODEL).price, 5, "price");
        vm.assertFalse(registry.model(MODEL).active, "active");
        bytes memory unknown = abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, ID);
        vm.expectRevert(unknown);
        registry.setPrice(ID, 5);
        vm.expectRevert(unknown);
        registry.setActive(ID, true);
        vm.expectRevert(unknown);
        registry.model(ID);
        vm.expectRevert(unknown);
        registry.verification(ID);
        bytes memory refused = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(refused);
        registry.setPrice(MODEL, 5);
        vm.expectRevert(refused);
        registry.setActive(MODEL, true);
        vm.expectRevert(refused);
        registry.register(model(ID, address(0)));
        vm.stopPrank();
    }
}

contract FeeSplitterTest is SibylTest {
    function test_release__equal_shares__pulled_by_each() public {
        FeeSplitter splitter = _splitter(4);
        hub.setTreasury(address(splitter));
        (bytes32 id,) = ask(alice, ATTESTED);
        deliver(Bodies.encode(resultBody(1, result(id, alice, ATTESTED))));
        hub.withdrawFor(address(splitter));
        for (uint160 i = 1; i <= 4; ++i) {
            vm.assertEq(splitter.due(address(0x1000 + i)), PRICE / 4, "due");
            splitter.release(address(0x1000 + i));
            vm.assertEq(address(0x1000 + i).balance, PRICE / 4, "paid");
        }
        vm.expectRevert(abi.encodeWithSelector(IFeeSplitter.NothingDue.selector, address(0x1001)));
        splitter.release(address(0x1001));
    }

    function test_release__stranger_or_rejecting_payee__refused() public {
        address[] memory payees = new address[](2);
        (payees[0], payees[1]) = (address(new Villain()), alice);
        FeeSplitter splitter = new FeeSplitter(payees);
        vm.deal(address(splitter), 100);
        vm.expectRevert(abi.encodeWithSelector(IFeeSplitter.NotPayee.selector, prover));
        splitter.release(prover);
        vm.expectRevert(abi.encodeWithSelector(IFeeSplitter.TransferFailed.selector, payees[0]));
        splitter.release(payees[0]);
        splitter.release(alice);
        vm.assertEq(splitter.due(payees[0]), 50, "its share stays");
        vm.assertEq(splitter.payees().length, 2, "payees");
    }

    function test_constructor__no_double_or_zero_payee__refused() public {
        address[] memory payees = new address[](0);
        vm.expectRevert(abi.encodeWithSelector(IFeeSplitter.InvalidPayee.selector, address(0)));
        new FeeSplitter(payees);
        payees = new address[](2);
        vm.expectRevert(abi.encodeWithSelector(IFeeSplitter.InvalidPayee.selector, address(0)));
        new FeeSplitter(payees);
        (payees[0], payees[1]) = (alice, alice);
        vm.expectRevert(abi.encodeWithSelector(IFeeSplitter.InvalidPayee.selector, alice));
        new FeeSplitter(payees);
    }

    /// @dev In any order of income and release nobody gets more than a share, and nothing is lost but the rest of the division.
    function testFuzz_release__any_order__equal_shares(uint256 seed, uint8 count, uint64[8] calldata income) public {
        FeeSplitter splitter = _splitter(1 + count % 7);
        uint256 total;
        uint256 shares = splitter.payees().length;
        for (uint256 i = 0; i < income.length; ++i) {
            total += income[i];
            vm.deal(address(this), income[i]);
            (bool ok,) = address(splitter).call{value: income[i]}("");
            vm.assertTrue(ok, "takes ether");
            address payee = address(uint160(0x1001 + uint256(keccak256(abi.encode(seed, i))) % shares));
            if (splitter.due(payee) != 0) splitter.release(payee);
            vm.assertLe(payee.balance, total / shares, "at most a share");
        }
        for (uint256 i = 0; i < shares; ++i) {
            address payee = address(uint160(0x1001 + i));
            if (splitter.due(payee) != 0) splitter.release(payee);
            vm.assertEq(payee.balance, total / shares, "a share");
        }
        vm.assertEq(address(splitter).balance, total % shares, "the rest");
    }

    function _splitter(uint256 count) private returns (FeeSplitter) {
        address[] memory payees = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            payees[i] = address(uint160(0x1001 + i));
        }
        return new FeeSplitter(payees);
    }
}

contract TumourConsumerTest is SibylTest {
    bytes32 private constant TUMOUR = keccak256("the tumour model");
    TumourConsumer private _clinic;

    function setUp() public override {
        super.setUp();
        IModelRegistry.Model memory m = model(TUMOUR, address(new HashVerifier()));
        m.outputCount = 1;
        registry.register(m);
        _clinic = new TumourConsumer(alice, hub, TUMOUR);
    }

    function test_ask__answered__decision_is_the_sign_of_the_logit() public {
        int64[4] memory logits = [int64(5000), -5000, 0, 1];
        for (uint64 i = 0; i < 4; ++i) {
            bytes32 id = _ask();
            deliver(Bodies.encode(resultBody(i + 1, _result(id, logits[i]))));
            ITumourConsumer.Diagnosis memory d = _clinic.diagnosisOf(id);
            vm.assertTrue(d.known, "known");
            vm.assertTrue(d.malignant == (logits[i] > 0), "decision");
            vm.assertEq(int256(d.logit), int256(logits[i]), "logit");
            vm.assertEq(d.scale, 13, "scale");
            vm.assertEq(d.policy, ATTESTED, "policy");
            vm.assertEq(d.decidedAt, START, "time");
        }
    }

    function test_ask__refused__no_decision_and_the_fee_comes_back() public {
        bytes32 id = _ask();
        Bodies.Result memory r = refusal(id, address(_clinic), ATTESTED);
        r.modelId = TUMOUR;
        deliver(Bodies.encode(resultBody(1, r)));
        ITumourConsumer.Diagnosis memory d = _clinic.diagnosisOf(id);
        vm.assertTrue(d.known && !d.malignant && d.status == 3, "refused");
        uint256 before = alice.balance;
        _clinic.collect();
        vm.assertEq(alice.balance - before, PRICE, "fee");
    }

    function test_ask__stranger__refused() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        _clinic.ask(inputs(), ATTESTED, DEADLINE, 300_000, "");
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        _clinic.setSource(SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM, word(alice), true);
    }

    function test_onAnswer__not_the_hub__refused() public {
        IOracleConsumer.Answer memory answer;
        vm.expectRevert(abi.encodeWithSelector(ITumourConsumer.OnlyHub.selector, address(this)));
        _clinic.onAnswer(answer);
    }

    function test_onAnswer__wrong_model_or_outputs__refused() public {
        bytes32 id = _ask();
        IOracleConsumer.Answer memory answer;
        answer.requestId = id;
        answer.modelId = MODEL;
        vm.prank(address(hub));
        vm.expectRevert(abi.encodeWithSelector(ITumourConsumer.WrongModel.selector, MODEL));
        _clinic.onAnswer(answer);
        answer.modelId = TUMOUR;
        vm.prank(address(hub));
        vm.expectRevert(abi.encodeWithSelector(ITumourConsumer.WrongOutputCount.selector, 0));
        _clinic.onAnswer(answer);
    }

    function test_onAnswer__foreign_requester__only_the_configured_one() public {
        // Anybody on a peer chain may name this consumer: unasked answers change nothing.
        _foreign(1, "one", word(prover));
        vm.assertFalse(_clinic.diagnosisOf("one").known, "not configured");
        _clinicSource(word(prover), true);
        _foreign(2, "two", word(prover));
        vm.assertTrue(_clinic.diagnosisOf("two").known, "configured");
        _foreign(3, "three", word(treasury));
        vm.assertFalse(_clinic.diagnosisOf("three").known, "another requester");
        _clinicSource(word(prover), false);
        _foreign(4, "four", word(prover));
        vm.assertFalse(_clinic.diagnosisOf("four").known, "configured no longer");
    }

    function _ask() private returns (bytes32) {
        vm.prank(alice);
        return _clinic.ask{value: PRICE}(inputs(), ATTESTED, DEADLINE, 300_000, "");
    }

    function _result(bytes32 id, int64 logit) private view returns (Bodies.Result memory r) {
        r = result(id, address(_clinic), ATTESTED);
        r.modelId = TUMOUR;
        r.outputs = new int64[](1);
        r.outputs[0] = logit;
    }

    function _clinicSource(bytes32 requester, bool trusted) private {
        vm.prank(alice);
        _clinic.setSource(EIP155, PEER_CHAIN, PEER_GATEWAY, requester, trusted);
    }

    function _foreign(uint64 sequence, bytes32 id, bytes32 requester) private {
        Bodies.Result memory r = _result(id, 1);
        r.requester = requester;
        Bodies.Body memory b = resultBody(sequence, r);
        (b.originReference, b.originGateway, b.sender) = (PEER_CHAIN, PEER_GATEWAY, PEER_GATEWAY);
        deliver(Bodies.encode(b));
    }
}
