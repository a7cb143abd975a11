// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import {IHalo2Verifier} from "../../src/interfaces/IHalo2Verifier.sol";
import {IOracleConsumer} from "../../src/interfaces/IOracleConsumer.sol";
import {IOracleHub} from "../../src/interfaces/IOracleHub.sol";
import {IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";

/// @dev Takes everything, and keeps what it was told last.
contract Recorder is IERC7786Recipient, IOracleConsumer {
    uint256 public count;
    bytes32 public lastId;
    bytes public lastSender;
    bytes public lastPayload;
    Answer private _answer;
    uint256 public gasSeen;

    function receiveMessage(bytes32 id, bytes calldata sender, bytes calldata payload) external payable returns (bytes4) {
        ++count;
        (lastId, lastSender, lastPayload) = (id, sender, payload);
        return this.receiveMessage.selector;
    }

    function onAnswer(Answer calldata answer_) external {
        gasSeen = gasleft();
        ++count;
        lastId = answer_.requestId;
        _answer = answer_;
    }

    function answer() external view returns (Answer memory) {
        return _answer;
    }
}

/// @dev Notes how much gas its callback was given.
contract GasMeter is IOracleConsumer {
    uint256 public gasSeen;

    function onAnswer(Answer calldata) external {
        gasSeen = gasleft();
    }
}

/// @dev A recipient that does nothing: the measure of a delivery's own cost.
contract TrivialRecipient is IERC7786Recipient {
    function receiveMessage(bytes32, bytes calldata, bytes calldata) external payable returns (bytes4) {
        return IERC7786Recipient.receiveMessage.selector;
    }
}

/// @dev Misbehaves on demand, and refuses ether.
contract Villain is IERC7786Recipient, IOracleConsumer {
    enum Mode {
        Revert,
        Bomb,
        EatGas,
        WrongMagic,
        Reenter,
        ReenterCaught
    }

    error Villainy();

    Mode public mode;
    address public target;
    bytes public attack;
    bool public attackWorked;

    function set(Mode mode_) external {
        mode = mode_;
    }

    function plan(Mode mode_, address target_, bytes calldata attack_) external {
        (mode, target, attack) = (mode_, target_, attack_);
    }

    function receiveMessage(bytes32, bytes calldata, bytes calldata) external payable returns (bytes4) {
        _act();
        return mode == Mode.WrongMagic ? bytes4(0xdeadbeef) : this.receiveMessage.selector;
    }

    function onAnswer(Answer calldata) external {
        _act();
    }

    function ask(IOracleHub hub, bytes calldata data) external payable returns (bytes32) {
        (bool ok, bytes memory result) = address(hub).call{value: msg.value}(data);
        require(ok, "asking failed");
        return abi.decode(result, (bytes32));
    }

    function _act() private {
        if (mode == Mode.Revert) revert Villainy();
        if (mode == Mode.EatGas) {
            for (uint256 i = 0;; ++i) {
                target = address(uint160(i));
            }
        }
        if (mode == Mode.Bomb) {
            assembly {
                revert(0, 1000000)
            }
        }
        if (mode == Mode.Reenter || mode == Mode.ReenterCaught) {
            (bool ok, bytes memory reason) = target.call(attack);
            attackWorked = ok;
            if (!ok && mode == Mode.Reenter) {
                assembly {
                    revert(add(reason, 0x20), mload(reason))
                }
            }
        }
    }
}

/// @dev A verifier whose valid proof of some instances is their hash, padded: enough to see which instances it was asked about.
contract HashVerifier is IHalo2Verifier {
    function verifyProof(bytes calldata proof, uint256[] calldata instances) external pure returns (bool) {
        require(bytes32(proof[:32]) == keccak256(abi.encodePacked(instances)));
        return true;
    }
}

/// @dev Verifiers that do not say yes.
contract FalseVerifier {
    fallback(bytes calldata) external returns (bytes memory) {
        return abi.encode(false);
    }
}

contract TwoVerifier {
    fallback(bytes calldata) external returns (bytes memory) {
        return abi.encode(uint256(2));
    }
}

contract SilentVerifier {
    fallback() external {}
}
