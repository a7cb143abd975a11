// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOracleConsumer} from "../interfaces/IOracleConsumer.sol";
import {IOracleHub} from "../interfaces/IOracleHub.sol";
import {ITokenFactory} from "../tokens/ITokenFactory.sol";

/// @title Clears large transfers of token bridges by a risk score of the oracle (TOKENS.md section 6)
/// @notice A bridge that governance gave this guard tells it of each transfer, and lets one above its limit pass with a clearance alone. A
/// clearance is of one waiting inbound transfer, or of one (sender, recipient, amount) on the way out, which it serves once.
/// Governance and guardians are those of the token factory.
interface ITransferGuard is IOracleConsumer {
    /// @notice None → Asked → Cleared | Denied; Asked → None when the oracle gave no answer. Governance may go anywhere from anywhere.
    enum State {
        None,
        Asked,
        Cleared,
        Denied
    }

    /// @notice What governance set for a bridge.
    /// @param modelId a registered model of six inputs and one output: the score
    /// @param policy POLICY_* under which the score is taken; under POLICY_PROVEN no committee can clear anything
    /// @param scoreBound a transfer is cleared when its score (at the model's output scale) is below it
    /// @param lifetime seconds for which a decision on a transfer out holds
    /// @param callbackGas gas of the hub's callback
    struct Settings {
        bytes32 modelId;
        uint8 policy;
        int64 scoreBound;
        uint32 lifetime;
        uint32 callbackGas;
    }

    /// @notice What was decided of one transfer. `until`: last Unix second at which it holds; 0: for good.
    struct Clearance {
        State state;
        uint64 until;
        int64 score;
        bytes32 requestId;
    }

    /// @notice A score was asked for; `features` are the model's inputs.
    event Asked(
        bytes32 indexed key, bytes32 indexed requestId, address indexed bridge, address asker, uint256 fee, int64[] features
    );
    /// @notice A transfer was cleared or denied: by a score, or by hand (`requestId` zero).
    event Decided(bytes32 indexed key, bytes32 indexed requestId, bool cleared, int64 score, uint64 until);
    /// @notice The oracle refused, or did not answer in time: the asker has the fee back, and may ask again.
    event Unanswered(bytes32 indexed key, bytes32 indexed requestId, address indexed asker, uint256 fee);
    /// @notice A transfer went out by its clearance, which is gone.
    event ClearanceUsed(bytes32 indexed key, address indexed bridge);
    event SettingsSet(address indexed bridge, Settings settings);
    event Withdrawn(address indexed account, uint256 amount);

    error OnlyHub(address caller);
    /// @notice Only governance (or, for a denial, a guardian) of the token factory.
    error NotAllowed(address caller);
    /// @notice Governance set nothing for this bridge.
    error NoSettings(address bridge);
    /// @notice The model takes six inputs and gives one output, the policy is one that this chain serves, and a decision lives a while.
    error InvalidSettings();
    /// @notice The bridge does not ask this guard about a transfer of this size.
    error NotGuarded(address bridge, uint256 amount);
    /// @notice No transfer of this id waits at the bridge.
    error NotWaiting(bytes32 id);
    /// @notice This score was asked for and is still to come.
    error AlreadyAsked(bytes32 key, bytes32 requestId);
    /// @notice Decided already.
    error AlreadyDecided(bytes32 key, State state);
    /// @notice No open request of this guard.
    error NotAsked(bytes32 requestId);
    /// @notice The answer is of another model than the one that was asked.
    error WrongModel(bytes32 modelId);
    /// @notice The answer may still come, until `deadline`.
    error StillPending(bytes32 requestId, uint64 deadline);
    /// @notice The transfer needs a clearance and has none that holds.
    error NoClearance(bytes32 key);
    error NothingToWithdraw(address account);
    error TransferFailed(address account);

    /// @notice Asks for the score of a waiting inbound transfer; anyone may, and pays the model's price with the call.
    /// @return requestId of the oracle
    function askInbound(address bridge, bytes32 id) external payable returns (bytes32 requestId);

    /// @notice Asks for the score of a transfer out that the caller wants to make.
    /// @param recipient account on the linked chain
    /// @param amount wire units, fee included
    function askOutbound(address bridge, bytes32 recipient, uint64 amount) external payable returns (bytes32 requestId);

    /// @notice Takes the hub's record of a request whose callback failed, or gives the fee back when it was refused or not answered in time;
    /// anyone may call.
    function settle(bytes32 requestId) external;

    /// @notice Clears (governance) or denies (governance or a guardian) by hand, whatever was decided or asked before.
    /// @param until last Unix second at which the decision holds; 0: for good
    function decide(bytes32 key, bool cleared, uint64 until) external;

    /// @notice Sends the caller the fees that came back.
    function withdraw() external;

    /// @notice Sets what is asked for a bridge (governance only).
    function setSettings(address bridge, Settings calldata settings) external;

    // ---- for bridges; each speaks for itself alone

    /// @notice A transfer is about to leave. A guarded one uses up its clearance, and reverts without.
    function onOutbound(address sender, bytes32 recipient, uint64 amount, bool guarded) external;

    /// @notice A transfer is about to be paid.
    function onInbound(address recipient, uint64 amount) external;

    /// @notice Whether a waiting transfer may be paid.
    function isCleared(address bridge, bytes32 id) external view returns (bool);

    // ---- views

    /// @notice Name of a waiting inbound transfer's clearance.
    function inboundKey(address bridge, bytes32 id) external pure returns (bytes32);

    /// @notice Name of the clearance of a transfer out.
    function outboundKey(address bridge, address sender, bytes32 recipient, uint64 amount) external pure returns (bytes32);

    function clearanceOf(bytes32 key) external view returns (Clearance memory);

    function settingsOf(address bridge) external view returns (Settings memory);

    /// @notice What the model would see of a transfer at this moment.
    function featuresOf(address bridge, address account, uint64 amount, bool inbound) external view returns (int64[] memory);

    /// @notice Wire units that moved in this direction since the UTC day began.
    function movedToday(address bridge, bool inbound) external view returns (uint128);

    /// @notice Whether the account is new to the bridge: never paid by it (inbound), or never a sender (outbound).
    function isFresh(address bridge, address account, bool inbound) external view returns (bool);

    /// @notice Fees that came back to an account.
    function creditOf(address account) external view returns (uint256);

    function hub() external view returns (IOracleHub);

    function factory() external view returns (ITokenFactory);
}
