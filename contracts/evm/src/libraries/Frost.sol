// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Check of RFC 9591 FROST(secp256k1, SHA-256) signatures
/// @notice A signature (R, z) of a group key P over a 32-byte message m is valid when z·G − e·P = R, e = H2(R ‖ P ‖ m).
/// @dev The `ecrecover` precompile computes r⁻¹(s·Q − h·G) for the point Q with x = r. With r = Px, s = e·Px and h = z·Px it gives the
/// address of e·P − z·G, which must be that of −R.
library Frost {
    /// @dev Order of the group.
    uint256 internal constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    /// @dev Prime of the field.
    uint256 internal constant P = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;

    /// @notice Whether (px, parity) has the form of a group key. That the point exists shows in its proof of possession.
    function isGroupKey(uint256 px, uint8 parity) internal pure returns (bool) {
        // ecrecover takes px as a scalar: with px ≥ n another key would be checked.
        return px != 0 && px < N && parity < 2;
    }

    /// @notice y of a point in SEC1's compressed form; 0, which is no point's, when there is none. {isValid} checks the point again.
    /// @param sign 2 for an even y, 3 for an odd one
    function decompress(uint8 sign, uint256 x) internal view returns (uint256 y) {
        if ((sign != 2 && sign != 3) || x >= P) return 0;
        uint256 square = addmod(mulmod(mulmod(x, x, P), x, P), 7, P);
        // P is 3 mod 4, so a square's root is its (P + 1) / 4th power. The precompile fails only when it lacks gas.
        (bool done, bytes memory root) = address(0x05).staticcall(abi.encode(32, 32, 32, square, (P + 1) / 4, P));
        if (!done || root.length != 32) return 0;
        y = uint256(bytes32(root));
        if (mulmod(y, y, P) != square) return 0;
        if (y & 1 != sign & 1) y = P - y;
    }

    /// @notice Whether (rx, ry, z) is a signature over `message`. The key must have passed {isGroupKey}.
    /// @dev e is H2 of RFC 9591 section 6.5: hash_to_field (RFC 9380, expand_message_xmd with SHA-256, L = 48) of R ‖ P ‖ message.
    /// R must be on the curve: e depends on x and on the parity of y alone, so with free values of y a collision of two addresses
    /// (2^80 work) would be a forgery.
    function isValid(uint256 px, uint8 parity, bytes32 message, uint256 rx, uint256 ry, uint256 z)
        internal
        view
        returns (bool valid)
    {
        assembly ("memory-safe") {
            // Assembly: one buffer beyond the free pointer serves five hashes and calls; in Solidity each would allocate, copy and
            // branch, for about twice the gas beside the precompiles' own. The buffer for the three hashes of e, in bytes:
            //   0 zeros (64) | 64 R (33) | 97 P (33) | 130 message (32) | 162 length 48 (2), 0 (1) | 165 DST (29), its length (1) | 195
            // b0 hashes all of it. b1 hashes [132, 195): b0 over bytes 132..163, the counter at 164, then the DST that is there
            // already. b2 likewise with b0 xor b1 and counter 2.
            let m := mload(0x40)
            let tail := add(m, 132)
            let counter := add(m, 164)
            calldatacopy(m, calldatasize(), 64) // zeros
            mstore8(add(m, 64), add(2, and(ry, 1)))
            mstore(add(m, 65), rx)
            mstore8(add(m, 97), add(2, parity))
            mstore(add(m, 98), px)
            mstore(add(m, 130), message)
            // 0x003000 ‖ "FROST-secp256k1-SHA256-v1chal"
            mstore(add(m, 162), 0x00300046524f53542d736563703235366b312d5348413235362d76316368616c)
            mstore8(add(m, 194), 29)
            // SHA-256 fails only when less than its price (144) is left. Then the recovery (3,000) fails too, and the answer is no:
            // its success need not be checked.
            pop(staticcall(gas(), 0x02, m, 195, 0x00, 0x20))
            let b0 := mload(0x00)
            mstore(tail, b0)
            mstore8(counter, 1)
            pop(staticcall(gas(), 0x02, tail, 63, 0x00, 0x20))
            let b1 := mload(0x00)
            mstore(tail, xor(b0, b1))
            mstore8(counter, 2)
            pop(staticcall(gas(), 0x02, tail, 63, 0x00, 0x20))
            // The 48 bytes b1 ‖ b2[..16] as one integer, mod n.
            let e := addmod(mulmod(b1, 0x100000000000000000000000000000000, N), shr(128, mload(0x00)), N)

            mstore(m, rx)
            mstore(add(m, 0x20), sub(P, ry)) // for ry = 0 this is no coordinate, but then R is not on the curve
            let expected := and(keccak256(m, 0x40), 0xffffffffffffffffffffffffffffffffffffffff)
            mstore(m, mulmod(z, px, N))
            mstore(add(m, 0x20), add(27, parity))
            mstore(add(m, 0x40), px)
            mstore(add(m, 0x60), mulmod(e, px, N))
            // A recovery that fails returns no data and leaves this word: zero, which is no point's address.
            mstore(0x00, 0)
            pop(staticcall(gas(), 0x01, m, 0x80, 0x00, 0x20))
            valid := eq(mload(0x00), expected)
            valid := and(valid, lt(sub(z, 1), sub(N, 1))) // 0 < z < n
            valid := and(valid, and(lt(rx, P), lt(ry, P)))
            valid := and(valid, eq(mulmod(ry, ry, P), addmod(mulmod(mulmod(rx, rx, P), rx, P), 7, P)))
        }
    }
}
