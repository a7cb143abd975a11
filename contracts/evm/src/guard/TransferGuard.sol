// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IOracleConsumer} from "../interfaces/IOracleConsumer.sol";
import {IOracleHub} from "../interfaces/IOracleHub.sol";
import {ITokenBridge} from "../tokens/ITokenBridge.sol";
import {ITokenFactory} from "../tokens/ITokenFactory.sol";
import {ITransferGuard} from "./ITransferGuard.sol";
import {TransferFeatures} from "./TransferFeatures.sol";

/// @title TransferGuard
/// @notice Implements {ITransferGuard}.
/// @dev Holds no tokens, and of ether only fees that came back: its balance and its credit at the hub together cover all credits. Whoever
/// calls {onOutbound} and {onInbound} writes under its own address, which means something only if governance made it a bridge's guard.
contract TransferGuard is ITransferGuard {
    /// @dev A request that the hub has not answered. `bridge` zero: none.
    struct Request {
        bytes32 key;
        bytes32 modelId;
        address bridge;
        bool inbound;
        address asker;
        uint128 fee;
    }

    /// @dev Wire units that moved on one UTC day.
    struct Moved {
        uint64 day;
        uint128 amount;
    }

    /// @dev For how long an answer is waited for.
    uint64 private constant ANSWER_SECONDS = 1 hours;

    ITokenFactory public immutable override factory;
    IOracleHub public immutable override hub;

    mapping(address bridge => Settings) private _settings;
    mapping(bytes32 key => Clearance) private _clearances;
    mapping(bytes32 requestId => Request) private _requests;
    mapping(address bridge => mapping(bool inbound => Moved)) private _moved;
    mapping(address bridge => mapping(bool inbound => mapping(address account => bool))) private _seen;
    mapping(address account => uint256) public override creditOf;

    constructor(ITokenFactory factory_, IOracleHub hub_) {
        (factory, hub) = (factory_, hub_);
    }

    /// @dev Fees that the hub gives back.
    receive() external payable {
        if (msg.sender != address(hub)) revert OnlyHub(msg.sender);
    }

    // ---- asking

    /// @inheritdoc ITransferGuard
    function askInbound(address bridge, bytes32 id) external payable returns (bytes32 requestId) {
        ITokenBridge.Waiting memory entry = ITokenBridge(_known(bridge)).waiting(id);
        if (entry.to == address(0)) revert NotWaiting(id);
        bytes32 key = inboundKey(bridge, id);
        return _ask(key, bridge, entry.to, entry.amount, true);
    }

    /// @inheritdoc ITransferGuard
    function askOutbound(address bridge, bytes32 recipient, uint64 amount) external payable returns (bytes32 requestId) {
        bytes32 key = outboundKey(_known(bridge), msg.sender, recipient, amount);
        return _ask(key, bridge, msg.sender, amount, false);
    }

    /// @inheritdoc IOracleConsumer
    function onAnswer(Answer calldata answer) external {
        if (msg.sender != address(hub)) revert OnlyHub(msg.sender);
        Request memory asked = _open(answer.requestId);
        if (answer.modelId != asked.modelId) revert WrongModel(answer.modelId);
        if (answer.status == C.STATUS_ANSWERED) _answered(answer.requestId, asked, answer.outputs);
        else _unanswered(answer.requestId, asked);
    }

    /// @inheritdoc ITransferGuard
    function settle(bytes32 requestId) external {
        Request memory asked = _open(requestId);
        IOracleHub.Request memory record = hub.requestOf(requestId);
        if (record.state == IOracleHub.State.Pending) {
            if (block.timestamp <= record.deadline) revert StillPending(requestId, record.deadline);
            hub.refund(requestId);
        }
        if (record.state == IOracleHub.State.Answered) _answered(requestId, asked, hub.answerOf(requestId).outputs);
        else _unanswered(requestId, asked);
    }

    /// @inheritdoc ITransferGuard
    function withdraw() external {
        uint256 amount = creditOf[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);
        creditOf[msg.sender] = 0;
        if (address(this).balance < amount) hub.withdraw();
        emit Withdrawn(msg.sender, amount);
        (bool sent,) = msg.sender.call{value: amount}("");
        if (!sent) revert TransferFailed(msg.sender);
    }

    // ---- governance

    /// @inheritdoc ITransferGuard
    function setSettings(address bridge, Settings calldata settings) external {
        if (!_isGovernance()) revert NotAllowed(msg.sender);
        IModelRegistry.Model memory model = hub.registry().model(settings.modelId);
        bool fits = model.inputCount == TransferFeatures.COUNT && model.outputCount == 1;
        bool served = settings.policy >= C.POLICY_ATTESTED && settings.policy <= C.POLICY_BOTH;
        if (!fits || !served || settings.lifetime == 0 || settings.callbackGas > hub.MAX_CALLBACK_GAS()) {
            revert InvalidSettings();
        }
        _settings[bridge] = settings;
        emit SettingsSet(bridge, settings);
    }

    /// @inheritdoc ITransferGuard
    function decide(bytes32 key, bool cleared, uint64 until) external {
        bool allowed = _isGovernance() || (!cleared && factory.hasRole(factory.GUARDIAN_ROLE(), msg.sender));
        if (!allowed) revert NotAllowed(msg.sender);
        // A score that is still to come finds that it is no longer asked for.
        _clearances[key] = Clearance(cleared ? State.Cleared : State.Denied, until, 0, 0);
        emit Decided(key, 0, cleared, 0, until);
    }

    // ---- bridges

    /// @inheritdoc ITransferGuard
    function onOutbound(address sender, bytes32 recipient, uint64 amount, bool guarded) external {
        if (guarded) {
            bytes32 key = outboundKey(msg.sender, sender, recipient, amount);
            if (_standing(key) != State.Cleared) revert NoClearance(key);
            delete _clearances[key];
            emit ClearanceUsed(key, msg.sender);
        }
        _note(sender, amount, false);
    }

    /// @inheritdoc ITransferGuard
    function onInbound(address recipient, uint64 amount) external {
        _note(recipient, amount, true);
    }

    /// @inheritdoc ITransferGuard
    function isCleared(address bridge, bytes32 id) external view returns (bool) {
        return _standing(inboundKey(bridge, id)) == State.Cleared;
    }

    // ---- views

    /// @inheritdoc ITransferGuard
    function clearanceOf(bytes32 key) external view returns (Clearance memory) {
        return _clearances[key];
    }

    /// @inheritdoc ITransferGuard
    function settingsOf(address bridge) external view returns (Settings memory) {
        return _settings[bridge];
    }

    /// @inheritdoc ITransferGuard
    function featuresOf(address bridge, address account, uint64 amount, bool inbound) public view returns (int64[] memory) {
        (uint256 out, uint256 in_) = ITokenBridge(bridge).available();
        return TransferFeatures.inputsOf(
            TransferFeatures.Transfer({
                amount: amount,
                total: uint128(ITokenBridge(bridge).outstanding()),
                bucket: inbound ? in_ : out,
                movedToday: movedToday(bridge, inbound),
                fresh: isFresh(bridge, account, inbound),
                inbound: inbound
            })
        );
    }

    /// @inheritdoc ITransferGuard
    function movedToday(address bridge, bool inbound) public view returns (uint128) {
        Moved memory moved = _moved[bridge][inbound];
        return moved.day == _today() ? moved.amount : 0;
    }

    /// @inheritdoc ITransferGuard
    function isFresh(address bridge, address account, bool inbound) public view returns (bool) {
        return !_seen[bridge][inbound][account];
    }

    /// @inheritdoc ITransferGuard
    function inboundKey(address bridge, bytes32 id) public pure returns (bytes32) {
        return keccak256(abi.encode(bridge, id));
    }

    /// @inheritdoc ITransferGuard
    /// @dev Twice as long as what {inboundKey} hashes: the two kinds never meet.
    function outboundKey(address bridge, address sender, bytes32 recipient, uint64 amount) public pure returns (bytes32) {
        return keccak256(abi.encode(bridge, sender, recipient, amount));
    }

    // ---- within

    function _known(address bridge) private view returns (address) {
        if (_settings[bridge].modelId == 0) revert NoSettings(bridge);
        return bridge;
    }

    function _ask(bytes32 key, address bridge, address account, uint64 amount, bool inbound) private returns (bytes32 requestId) {
        (address guard, uint64 limit) = ITokenBridge(bridge).guard();
        if (guard != address(this) || amount <= limit) revert NotGuarded(bridge, amount);
        State state = _standing(key);
        if (state == State.Asked) revert AlreadyAsked(key, _clearances[key].requestId);
        if (state != State.None) revert AlreadyDecided(key, state);
        Settings memory settings = _settings[bridge];
        int64[] memory features = featuresOf(bridge, account, amount, inbound);
        uint64 deadline = uint64(block.timestamp) + ANSWER_SECONDS;
        requestId = hub.request{value: msg.value}(settings.modelId, features, settings.policy, deadline, settings.callbackGas, "");
        _requests[requestId] = Request(key, settings.modelId, bridge, inbound, msg.sender, uint128(msg.value));
        _clearances[key] = Clearance(State.Asked, 0, 0, requestId);
        emit Asked(key, requestId, bridge, msg.sender, msg.value, features);
    }

    /// @dev Takes an open request, which is closed by that.
    function _open(bytes32 requestId) private returns (Request memory asked) {
        asked = _requests[requestId];
        if (asked.bridge == address(0)) revert NotAsked(requestId);
        delete _requests[requestId];
    }

    function _answered(bytes32 requestId, Request memory asked, int64[] memory outputs) private {
        // Decided by hand meanwhile: that stands.
        if (_clearances[asked.key].requestId != requestId) return;
        Settings memory settings = _settings[asked.bridge];
        // Governance chose another model meanwhile: this one's score says nothing any more, and another may be asked for.
        if (settings.modelId != asked.modelId) {
            delete _clearances[asked.key];
            return;
        }
        bool cleared = outputs.length == 1 && outputs[0] < settings.scoreBound;
        int64 score = outputs.length == 1 ? outputs[0] : int64(0);
        // One message is decided once; what somebody may send again can be asked again.
        uint64 until = asked.inbound ? 0 : uint64(block.timestamp) + settings.lifetime;
        _clearances[asked.key] = Clearance(cleared ? State.Cleared : State.Denied, until, score, requestId);
        emit Decided(asked.key, requestId, cleared, score, until);
    }

    function _unanswered(bytes32 requestId, Request memory asked) private {
        if (_clearances[asked.key].requestId == requestId) delete _clearances[asked.key];
        creditOf[asked.asker] += asked.fee;
        emit Unanswered(asked.key, requestId, asked.asker, asked.fee);
    }

    /// @dev A clearance's state, as far as it still holds.
    function _standing(bytes32 key) private view returns (State) {
        Clearance memory clearance = _clearances[key];
        return clearance.until != 0 && block.timestamp > clearance.until ? State.None : clearance.state;
    }

    function _note(address account, uint64 amount, bool inbound) private {
        Moved storage moved = _moved[msg.sender][inbound];
        uint64 today = _today();
        (moved.day, moved.amount) = (today, moved.day == today ? moved.amount + amount : amount);
        mapping(address => bool) storage seen = _seen[msg.sender][inbound];
        if (!seen[account]) seen[account] = true;
    }

    function _isGovernance() private view returns (bool) {
        return factory.hasRole(0, msg.sender);
    }

    function _today() private view returns (uint64) {
        return uint64(block.timestamp / 1 days);
    }
}
