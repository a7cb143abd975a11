// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The cheatcodes of halmos that these proofs use
interface Svm {
    function createBytes(uint256 size, string memory name) external returns (bytes memory);
    function createBytes32(string memory name) external returns (bytes32);
    function createUint256(string memory name) external returns (uint256);
    function createUint(uint256 bits, string memory name) external returns (uint256);
    function createAddress(string memory name) external returns (address);
    function createBool(string memory name) external returns (bool);
    /// @dev Every slot of the account may hold anything from here on.
    function enableSymbolicStorage(address account) external;
}

/// @title The cheatcodes of forge that halmos knows too
interface HalmosVm {
    function assume(bool condition) external pure;
    function warp(uint256 timestamp) external;
    function prank(address sender) external;
    function etch(address account, bytes calldata code) external;
}

/// @dev A proof is a function that begins with `check_`: halmos looks for inputs with which one of its assertions fails.
abstract contract Symbolic {
    Svm internal constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));
    HalmosVm internal constant vm = HalmosVm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev The code of `original` at an account whose storage may hold anything: what a constructor wrote, halmos would keep.
    function _arbitrary(address original, address account) internal returns (address) {
        vm.etch(account, original.code);
        svm.enableSymbolicStorage(account);
        return account;
    }
}

/// @dev Says yes to every signature: what is proven holds for whatever a committee signs.
contract YesCommittee {
    function verify(uint32, bytes32, uint256, uint256, uint256) external pure {}
}
