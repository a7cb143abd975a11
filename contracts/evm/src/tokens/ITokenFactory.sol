// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IERC7786GatewaySource} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";

/// @title Deploys bridges and wrapped tokens; takes and sends registrations; knows who may pause and set limits (TOKENS.md section 4)
/// @notice A token is named by the account of its native form, 32 bytes: an ERC-20 of this chain left-padded, or a mint of the linked chain.
/// Governance is `DEFAULT_ADMIN_ROLE` (in production an OpenZeppelin `TimelockController`), guardians have `GUARDIAN_ROLE`.
interface ITokenFactory is IAccessControl {
    /// @notice Where the creation code of each kind lies (ERC-5202).
    struct Blueprints {
        address nativeBridge;
        address wrappedBridge;
        address wrappedToken;
    }

    /// @notice What a bridge or a wrapped token reads from the factory in its constructor. Its creation code stays the same for every token,
    /// so that the salt alone decides its address.
    struct Parameters {
        bytes32 nativeToken;
        address bridge;
        address token;
        uint8 wireDecimals;
        uint256 scale;
        bytes name;
        bytes symbol;
    }

    /// @notice What this chain holds of one token, for the nodes' watch (TOKENS.md section 7). Amounts in wire units.
    /// @param nativeToken account of its native form
    /// @param counter what the bridge counts as locked (`native`) or minted
    /// @param held what is really there: the vault's balance, rounded down (`native`), or the wrapped token's supply
    struct Holding {
        bytes32 nativeToken;
        address bridge;
        bool native;
        uint8 wireDecimals;
        uint256 counter;
        uint256 held;
    }

    /// @notice A token got its bridge; `token` is its ERC-20 here.
    event TokenRegistered(
        bytes32 indexed nativeToken, address indexed bridge, address indexed token, bool native, uint8 wireDecimals
    );
    /// @notice A native token's registration went to the linked chain.
    event RegistrationSent(bytes32 indexed nativeToken, bytes32 indexed digest);
    event RefusedRecipientSet(bytes32 indexed recipient, bool refused);

    /// @notice The token has its bridge already.
    error AlreadyRegistered(bytes32 nativeToken, address bridge);
    /// @notice No bridge of this factory stands for it.
    error NotRegistered(bytes32 nativeToken);
    /// @notice Not a bridge of this factory.
    error UnknownBridge(address bridge);
    /// @notice There is no contract at this address.
    error NotAContract(address token);
    /// @notice A wrapped token goes home over its own bridge, and gets no second one.
    error IsWrapped(address token);
    /// @notice More decimals than amounts on the wire can stand for.
    error UnsupportedDecimals(uint256 decimals);
    /// @notice A look at tokens that nobody vouches for needs its full gas: give the call more.
    error InsufficientGas(uint256 available, uint256 required);
    /// @notice The account of a registration is one of this chain, not of the linked one.
    error ForeignToken(bytes32 nativeToken);
    /// @notice The counterpart must be an account on a Solana chain, as a canonical ERC-7930 address.
    error InvalidCounterpart(bytes counterpart);

    /// @notice Deploys a native token's bridge and sends its registration; anyone may call, once a token.
    /// @return bridge as {predictBridge} says beforehand
    /// @return digest of the message that was sent
    function registerNative(address token) external returns (address bridge, bytes32 digest);

    /// @notice Sends the registration of a registered native token again.
    function announce(address token) external returns (bytes32 digest);

    /// @notice Stops a bridge (guardians only).
    function pause(address bridge) external;

    /// @notice Resumes a bridge (governance only).
    function unpause(address bridge) external;

    /// @notice Accounts on the linked chain that no transfer may go to: programs, which own no tokens (governance only).
    function setRefusedRecipients(bytes32[] calldata recipients, bool refused) external;

    /// @notice The bridge of a token; zero: none.
    function bridgeOf(bytes32 nativeToken) external view returns (address);

    /// @notice Where the bridge of a token is or will be. The factory deploys nothing else with this salt.
    function predictBridge(bytes32 nativeToken, bool native) external view returns (address);

    /// @notice Where the wrapped token for a token of the linked chain is or will be.
    function predictToken(bytes32 nativeToken) external view returns (address);

    /// @notice Hashes of the creation codes, from which {predictBridge} and {predictToken} follow (EIP-1014).
    function codeHashes() external view returns (bytes32 nativeBridge, bytes32 wrappedBridge, bytes32 wrappedToken);

    function tokenCount() external view returns (uint256);

    /// @notice Registered tokens in the order of their registration.
    function tokenAt(uint256 index) external view returns (bytes32);

    /// @notice Holdings of at most `count` registered tokens, from number `first` on. A token that does not tell the vault's balance holds 0.
    function holdings(uint256 first, uint256 count) external view returns (Holding[] memory);

    /// @notice For the constructors of what is being deployed at this moment; otherwise what was deployed last, or zero.
    function parameters() external view returns (Parameters memory);

    /// @notice ERC-7786 gateway of all bridges.
    function gateway() external view returns (IERC7786GatewaySource);

    /// @notice The one account that all bridges speak with, as an ERC-7930 address: the bridge authority on Solana.
    function counterpart() external view returns (bytes memory);

    function weth() external view returns (address);

    function isRefusedRecipient(bytes32 recipient) external view returns (bool);

    function GUARDIAN_ROLE() external view returns (bytes32);
}
