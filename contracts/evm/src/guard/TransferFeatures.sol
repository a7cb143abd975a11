// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title What the risk model sees of a transfer: six fixed-point numbers (circuits/models/risk/features.py is the reference)
/// @dev Integers and floor divisions alone; no intermediate passes 2^138. The vectors are tests/vectors/risk_features.json.
library TransferFeatures {
    /// @notice A transfer just before it happens; amounts are wire units.
    /// @param amount at least 1
    /// @param total locked or minted before it
    /// @param bucket what the rate of this direction lets through at this moment; 2^256 - 1: no limit
    /// @param movedToday moved in this direction earlier in the block's UTC day
    /// @param fresh whether the account is new to the bridge in this direction
    /// @param inbound a payout on this chain
    struct Transfer {
        uint64 amount;
        uint128 total;
        uint256 bucket;
        uint128 movedToday;
        bool fresh;
        bool inbound;
    }

    uint256 internal constant COUNT = 6;
    /// @dev 1.0 with 10 bits after the point.
    uint256 internal constant ONE = 1 << 10;
    uint256 private constant LOG_STEP = ONE / 4;
    uint256 private constant MOST_RECENT = 4;

    /// @notice The model's inputs, in the order of its request.
    function inputsOf(Transfer memory transfer) internal pure returns (int64[] memory inputs) {
        inputs = new int64[](COUNT);
        inputs[0] = _value((Math.log2(transfer.amount) + 1) * LOG_STEP);
        inputs[1] = _ratio(transfer.amount, transfer.total, 1);
        if (transfer.bucket != type(uint256).max) inputs[2] = _ratio(transfer.amount, transfer.bucket, 1);
        inputs[3] = _ratio(transfer.movedToday, transfer.total, MOST_RECENT);
        if (transfer.fresh) inputs[4] = _value(ONE);
        if (transfer.inbound) inputs[5] = _value(ONE);
    }

    /// @dev `part / whole`, cut off at `most`; of nothing it is `most`, unless the part is nothing too.
    function _ratio(uint256 part, uint256 whole, uint256 most) private pure returns (int64) {
        if (whole == 0) return part == 0 ? int64(0) : _value(most * ONE);
        return _value(Math.min(most * ONE, part * ONE / whole));
    }

    /// @dev Every result is at most 16 · ONE.
    function _value(uint256 value) private pure returns (int64) {
        return int64(uint64(value));
    }
}
