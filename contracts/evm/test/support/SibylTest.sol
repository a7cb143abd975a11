// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Committee} from "../../src/Committee.sol";
import {Gateway} from "../../src/Gateway.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {OracleHub} from "../../src/OracleHub.sol";
import {ICommittee} from "../../src/interfaces/ICommittee.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {IModelRegistry} from "../../src/interfaces/IModelRegistry.sol";
import {Bodies} from "./Bodies.sol";
import {HashVerifier, Recorder} from "./Consumers.sol";
import {Vm} from "./Vm.sol";

/// @title A chain with Sibyl on it, a committee of one key, and the words that the tests speak
/// @dev A single key's Schnorr signature z = k + e·s is exactly what a FROST group makes, so it stands for the committee here;
/// signatures that a real group made are in the shared vectors.
abstract contract SibylTest {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    string internal constant VECTORS = "../../tests/vectors/";

    uint8 internal constant MESSAGE = 1;
    uint8 internal constant REQUEST = 2;
    uint8 internal constant RESULT = 3;
    uint8 internal constant NON_DELIVERY = 4;
    uint8 internal constant ROTATION = 5;
    uint8 internal constant ATTESTED = 1;
    uint8 internal constant PROVEN = 2;
    uint8 internal constant BOTH = 3;
    uint8 internal constant RECOMPUTED = 4;
    uint16 internal constant EIP155 = 0;
    uint16 internal constant SOLANA = 2;
    uint256 internal constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 internal constant FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

    bytes32 internal constant CHAIN = bytes32(uint256(31337));
    bytes32 internal constant PEER_CHAIN = bytes32(uint256(7001));
    bytes32 internal constant PEER_GATEWAY = bytes32(uint256(0xBEEF));
    bytes32 internal constant SOLANA_CHAIN = keccak256("a genesis hash");
    bytes32 internal constant SOLANA_PROGRAM = keccak256("a program");
    bytes32 internal constant MODEL = keccak256("a model");
    uint32 internal constant PROOF_LENGTH = 96;
    uint128 internal constant PRICE = 1000;
    uint64 internal constant START = 1_800_000_000;
    uint64 internal constant DEADLINE = START + 600;
    /// @dev Seconds between a new group key and its epoch's begin.
    uint32 internal constant DELAY = 3600;
    /// @dev Four members of four operators, of whom three sign.
    bytes internal constant OPERATORS = hex"00010203";
    uint256 internal constant SECRET = uint256(keccak256("the group secret")) % N;

    Committee internal committee;
    Gateway internal gateway;
    ModelRegistry internal registry;
    OracleHub internal hub;
    Recorder internal recorder;
    address internal treasury = address(0x7EA5);
    address internal alice = address(0xA11CE);
    address internal prover = address(0x9205E2);
    uint256 private _nonces;

    /// @dev Takes ether: some tests ask themselves.
    receive() external payable {}

    function setUp() public virtual {
        vm.chainId(31337);
        vm.warp(START);
        committee = new Committee(address(this), DELAY);
        gateway = new Gateway(address(this), committee);
        committee.setGateway(gateway);
        registry = new ModelRegistry(address(this));
        hub = new OracleHub(address(this), gateway, registry, treasury);
        setFirstKey(committee, SECRET);
        gateway.setHandler(REQUEST, address(hub));
        gateway.setHandler(RESULT, address(hub));
        gateway.setPeer(Bodies.origin(EIP155, PEER_CHAIN, PEER_GATEWAY), true);
        gateway.setPeer(Bodies.origin(SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM), true);
        registry.register(model(MODEL, address(new HashVerifier())));
        recorder = new Recorder();
        vm.deal(alice, 100 ether);
    }

    // ---- the committee

    function setFirstKey(ICommittee committee_, uint256 secret) internal {
        (uint256 px, uint8 parity) = publicKey(secret);
        committee_.setFirstKey(px, parity, 3, OPERATORS, possession(1, secret));
    }

    /// @dev The owner's next key; its epoch begins after {DELAY}.
    function replaceKey(uint32 epoch, uint256 secret, uint32 overlap) internal {
        (uint256 px, uint8 parity) = publicKey(secret);
        committee.replaceKey(px, parity, 3, OPERATORS, overlap, possession(epoch, secret));
    }

    function possession(uint32 epoch, uint256 secret) internal returns (ICommittee.Signature memory proof) {
        (uint256 px, uint8 parity) = publicKey(secret);
        bytes32 registration = keccak256(bytes.concat("SIBYL_KEY_V1", new bytes(20), abi.encode(epoch, px, parity)));
        (proof.rx, proof.ry, proof.z) = schnorr(secret, registration);
    }

    function publicKey(uint256 secret) internal returns (uint256 px, uint8 parity) {
        Vm.Wallet memory wallet = vm.createWallet(secret);
        return (wallet.publicKeyX, uint8(wallet.publicKeyY & 1));
    }

    function schnorr(uint256 secret, bytes32 value) internal returns (uint256 rx, uint256 ry, uint256 z) {
        (uint256 px, uint8 parity) = publicKey(secret);
        uint256 k = uint256(keccak256(abi.encode("nonce", ++_nonces, value))) % N;
        Vm.Wallet memory r = vm.createWallet(k);
        uint256 e = challenge(px, parity, value, r.publicKeyX, r.publicKeyY);
        return (r.publicKeyX, r.publicKeyY, addmod(k, mulmod(e, secret, N), N));
    }

    /// @dev H2 of RFC 9591 section 6.5, plainly.
    function challenge(uint256 px, uint8 parity, bytes32 value, uint256 rx, uint256 ry) internal pure returns (uint256) {
        bytes memory tag = bytes.concat("FROST-secp256k1-SHA256-v1chal", bytes1(uint8(29)));
        bytes memory points = bytes.concat(bytes1(uint8(2 + (ry & 1))), bytes32(rx), bytes1(2 + parity), bytes32(px));
        bytes32 b0 = sha256(bytes.concat(new bytes(64), points, value, bytes3(0x003000), tag));
        bytes32 b1 = sha256(bytes.concat(b0, bytes1(0x01), tag));
        bytes32 b2 = sha256(bytes.concat(b0 ^ b1, bytes1(0x02), tag));
        return addmod(mulmod(uint256(b1), 1 << 128, N), uint256(b2) >> 128, N);
    }

    function sign(bytes32 root) internal returns (IGateway.Attestation memory attestation) {
        attestation.epoch = 1;
        (attestation.rx, attestation.ry, attestation.z) = schnorr(SECRET, Bodies.signedValue(root));
    }

    /// @dev Bodies signed as one batch.
    function attest(bytes[] memory bodies)
        internal
        returns (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries)
    {
        bytes32[] memory digests = new bytes32[](bodies.length);
        for (uint256 i = 0; i < bodies.length; ++i) {
            digests[i] = Bodies.digest(bodies[i]);
        }
        deliveries = new IGateway.Delivery[](bodies.length);
        bytes32 root;
        for (uint256 i = 0; i < bodies.length; ++i) {
            deliveries[i].body = bodies[i];
            (root, deliveries[i].branch) = Bodies.batch(digests, i);
        }
        attestation = sign(root);
    }

    function attest(bytes memory body)
        internal
        returns (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries)
    {
        return attest(list(body));
    }

    function deliver(bytes memory body) internal {
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) = attest(body);
        gateway.deliver(attestation, deliveries);
    }

    /// @dev One body under any key and epoch.
    function attestBy(uint256 secret, uint32 epoch, bytes memory body)
        internal
        returns (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries)
    {
        (attestation, deliveries) = attest(body);
        bytes32 root = keccak256(bytes.concat(bytes1(0), Bodies.digest(body)));
        attestation.epoch = epoch;
        (attestation.rx, attestation.ry, attestation.z) = schnorr(secret, Bodies.signedValue(root));
    }

    // ---- messages

    function message(uint64 sequence, address recipient) internal view returns (Bodies.Body memory) {
        return Bodies.Body({
            kind: MESSAGE,
            originType: EIP155,
            originReference: PEER_CHAIN,
            originGateway: PEER_GATEWAY,
            destinationType: EIP155,
            destinationReference: CHAIN,
            destinationGateway: word(address(gateway)),
            sequence: sequence,
            sender: word(alice),
            recipient: word(recipient),
            expiry: 0,
            payload: abi.encode(keccak256("some"), keccak256("words"))
        });
    }

    /// @dev The committee's word about a message that this gateway posted.
    function nonDelivery(uint64 sequence, address sender, bytes32 digest, bytes memory payload)
        internal
        view
        returns (Bodies.Body memory b)
    {
        b = message(sequence, sender);
        b.kind = NON_DELIVERY;
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.sender, b.payload) = (b.originGateway, bytes.concat(digest, payload));
    }

    /// @dev A key for `epoch`, four members and no remotes.
    function newKey(uint32 epoch, uint256 secret, uint32 overlap) internal returns (Bodies.NewKey memory k) {
        (k.px, k.parity) = publicKey(secret);
        ICommittee.Signature memory proof = possession(epoch, secret);
        (k.epoch, k.proofRx, k.proofRy, k.proofZ) = (epoch, proof.rx, proof.ry, proof.z);
        (k.overlap, k.threshold, k.operators) = (overlap, 3, OPERATORS);
    }

    /// @dev A rotation as this chain's committee posts it.
    function rotationBody(uint64 sequence, bytes memory payload) internal view returns (Bodies.Body memory b) {
        b = message(sequence, address(committee));
        b.kind = ROTATION;
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.sender, b.payload) = (b.recipient, payload);
    }

    // ---- the oracle

    function model(bytes32 id, address verifier) internal pure returns (IModelRegistry.Model memory) {
        return IModelRegistry.Model({
            id: id,
            verifier: verifier,
            inputCount: 3,
            outputCount: 2,
            inputScale: 12,
            outputScale: 13,
            inputBound: 1 << 20,
            proofLength: verifier == address(0) ? 0 : PROOF_LENGTH,
            price: PRICE,
            licence: "Apache-2.0",
            active: true
        });
    }

    function inputs() internal pure returns (int64[] memory values) {
        values = new int64[](3);
        (values[0], values[1], values[2]) = (4096, -77, 1 << 20);
    }

    function outputs() internal pure returns (int64[] memory values) {
        values = new int64[](2);
        (values[0], values[1]) = (-12345, type(int64).max);
    }

    /// @dev Asks as `requester`, and says what body that must have posted.
    function ask(address requester, uint8 policy, uint32 callbackGas, bytes memory remotes)
        internal
        returns (bytes32 id, bytes memory body)
    {
        uint64 sequence = gateway.nextSequence();
        vm.deal(requester, requester.balance + PRICE);
        vm.prank(requester);
        id = hub.request{value: PRICE}(MODEL, inputs(), policy, DEADLINE, callbackGas, remotes);
        body = Bodies.encode(
            Bodies.Body({
                kind: REQUEST,
                originType: EIP155,
                originReference: CHAIN,
                originGateway: word(address(gateway)),
                destinationType: EIP155,
                destinationReference: CHAIN,
                destinationGateway: word(address(gateway)),
                sequence: sequence,
                sender: word(requester),
                recipient: word(address(hub)),
                expiry: DEADLINE,
                payload: Bodies.request(MODEL, PRICE, callbackGas, policy, remotes, inputs())
            })
        );
    }

    function ask(address requester, uint8 policy) internal returns (bytes32 id, bytes memory body) {
        return ask(requester, policy, 300_000, "");
    }

    /// @dev The result of a request of this chain.
    function result(bytes32 id, address requester, uint8 policy) internal pure returns (Bodies.Result memory) {
        return Bodies.Result({
            status: 0,
            policy: policy,
            modelId: MODEL,
            requestId: id,
            inputCommitment: keccak256(Bodies.pack(inputs())),
            requester: word(requester),
            consumer: word(requester),
            callbackGasLimit: 300_000,
            outputScale: 13,
            outputs: outputs()
        });
    }

    function refusal(bytes32 id, address requester, uint8 policy) internal pure returns (Bodies.Result memory r) {
        r = result(id, requester, policy);
        r.status = 3;
        r.outputScale = 0;
        r.outputs = new int64[](0);
    }

    function resultBody(uint64 sequence, Bodies.Result memory r) internal view returns (Bodies.Body memory b) {
        b = message(sequence, address(hub));
        b.kind = RESULT;
        b.originReference = CHAIN;
        b.originGateway = word(address(gateway));
        b.sender = b.originGateway;
        b.expiry = DEADLINE;
        b.payload = Bodies.encode(r);
    }

    /// @dev What {HashVerifier} takes as a proof for these values.
    function zkProof(int64[] memory inputs_, int64[] memory outputs_) internal pure returns (bytes memory) {
        bytes memory packed;
        for (uint256 i = 0; i < inputs_.length + outputs_.length; ++i) {
            int256 value = i < inputs_.length ? inputs_[i] : outputs_[i - inputs_.length];
            packed = bytes.concat(packed, bytes32(value < 0 ? FIELD - uint256(-value) : uint256(value)));
        }
        return bytes.concat(keccak256(packed), new bytes(PROOF_LENGTH - 32));
    }

    function zkProof() internal pure returns (bytes memory) {
        return zkProof(inputs(), outputs());
    }

    // ---- words

    function word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    function list(bytes memory one) internal pure returns (bytes[] memory bodies) {
        bodies = new bytes[](1);
        bodies[0] = one;
    }

    function list(bytes memory one, bytes memory two) internal pure returns (bytes[] memory bodies) {
        bodies = new bytes[](2);
        (bodies[0], bodies[1]) = (one, two);
    }

    function clamp(uint256 value, uint256 least, uint256 most) internal pure returns (uint256) {
        return least + value % (most - least + 1);
    }
}
