// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenBridge} from "./ITokenBridge.sol";

/// @title A token bucket in one storage slot
/// @dev A zero slot is a bucket without a limit: what has none is read, and never written.
library TokenBucket {
    struct Bucket {
        bool limited;
        uint64 capacity;
        uint64 refillPerSecond;
        uint64 level;
        uint40 updatedAt;
    }

    /// @notice Takes `amount`, or nothing when it is not there.
    function tryTake(Bucket storage self, uint64 amount) internal returns (bool) {
        Bucket memory bucket = self;
        if (!bucket.limited) return true;
        uint64 level = _level(bucket);
        if (amount > level) return false;
        (bucket.level, bucket.updatedAt) = (level - amount, uint40(block.timestamp));
        _store(self, bucket);
        return true;
    }

    /// @notice Sets the limit. What was available stays so up to the new capacity; without a limit before, the bucket begins full.
    function set(Bucket storage self, ITokenBridge.Rate calldata rate) internal {
        Bucket memory bucket = self;
        uint64 level = bucket.limited ? _level(bucket) : type(uint64).max;
        if (level > rate.capacity) level = rate.capacity;
        if (rate.limited) {
            _store(self, Bucket(true, rate.capacity, rate.refillPerSecond, level, uint40(block.timestamp)));
        } else {
            _store(self, Bucket(false, 0, 0, 0, 0));
        }
    }

    /// @notice What could be taken at this moment; 2^256 - 1: any amount.
    function available(Bucket storage self) internal view returns (uint256) {
        Bucket memory bucket = self;
        return bucket.limited ? _level(bucket) : type(uint256).max;
    }

    function rateOf(Bucket storage self) internal view returns (ITokenBridge.Rate memory) {
        return ITokenBridge.Rate(self.limited, self.capacity, self.refillPerSecond);
    }

    function _level(Bucket memory bucket) private view returns (uint64) {
        // At most 2^64 + 2^40 · 2^64: no overflow of 256 bits.
        uint256 level = bucket.level + (block.timestamp - bucket.updatedAt) * uint256(bucket.refillPerSecond);
        return level < bucket.capacity ? uint64(level) : bucket.capacity;
    }

    function _store(Bucket storage self, Bucket memory bucket) private {
        // Field by field: the compiler makes one write of the whole slot out of it.
        self.limited = bucket.limited;
        self.capacity = bucket.capacity;
        self.refillPerSecond = bucket.refillPerSecond;
        self.level = bucket.level;
        self.updatedAt = bucket.updatedAt;
    }
}
