// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @dev As a token should be, with a permit and an open tap.
contract PlainToken is ERC20Permit {
    uint8 private immutable _decimals;

    constructor(string memory name_, string memory symbol_, uint8 decimals_) ERC20(name_, symbol_) ERC20Permit(name_) {
        _decimals = decimals_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }
}

/// @dev Keeps `feePerMille` of each transfer.
contract FeeToken is ERC20 {
    uint256 public feePerMille = 1;

    constructor() ERC20("Fee", "FEE") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setFee(uint256 perMille) external {
        feePerMille = perMille;
    }

    function _update(address from, address to, uint256 amount) internal override {
        uint256 fee = from == address(0) || to == address(0) ? 0 : amount * feePerMille / 1000;
        super._update(from, to, amount - fee);
        if (fee != 0) super._update(from, address(0), fee);
    }
}

/// @dev Calls out before it moves anything, as tokens with hooks do.
contract ReentrantToken is ERC20 {
    address public target;
    bytes public attack;
    bool public worked;
    bytes public reason;

    constructor() ERC20("Hook", "HOOK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function plan(address target_, bytes calldata attack_) external {
        (target, attack) = (target_, attack_);
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (target != address(0) && from != address(0)) {
            address called = target;
            target = address(0);
            (worked, reason) = called.call(attack);
        }
        super._update(from, to, amount);
    }
}

/// @dev Says false instead of reverting, and moves nothing while it lies.
contract FalseToken is ERC20 {
    bool public lying = true;

    constructor() ERC20("False", "FLS") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setLying(bool lying_) external {
        lying = lying_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return lying ? false : super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return lying ? false : super.transferFrom(from, to, amount);
    }
}

/// @dev Says true and moves nothing.
contract LyingToken is ERC20 {
    constructor() ERC20("Lying", "LIE") {}

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// @dev As old tokens are: no return values, bytes32 metadata, no permit.
contract SilentToken {
    bytes32 public constant name = "Maker of Old";
    bytes32 public constant symbol = "OLD";
    uint8 public constant decimals = 6;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Not a word about itself.
contract NamelessToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

/// @dev Balances follow a factor that anybody turns.
contract RebasingToken is ERC20 {
    uint256 public factor = 1000;

    constructor() ERC20("Rebase", "REB") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function rebase(uint256 perMille) external {
        factor = perMille;
    }

    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) * factor / 1000;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, from == address(0) ? amount : amount * 1000 / factor);
    }
}

/// @dev Refuses whom it lists.
contract BlockingToken is ERC20 {
    error Blocked(address account);

    mapping(address => bool) public blocked;

    constructor() ERC20("Blocking", "BLK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setBlocked(address account, bool blocked_) external {
        blocked[account] = blocked_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (blocked[to]) revert Blocked(to);
        super._update(from, to, amount);
    }
}

/// @dev Answers every question about itself with the same bytes.
contract OddToken {
    bytes private _answer;
    uint8 public decimals = 18;

    constructor(bytes memory answer) {
        _answer = answer;
    }

    function name() external view {
        _return();
    }

    function symbol() external view {
        _return();
    }

    function _return() private view {
        bytes memory answer = _answer;
        assembly {
            return(add(answer, 0x20), mload(answer))
        }
    }
}

/// @dev Refuses nobody by a revert, but says false to one account after it has moved the tokens.
contract SlyToken is ERC20 {
    address public falseFor;

    constructor() ERC20("Sly", "SLY") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setFalseFor(address account) external {
        falseFor = account;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return super.transfer(to, amount) && to != falseFor;
    }
}

/// @dev Tells recipients that are contracts, after the tokens have moved, as ERC-777 does.
contract HookToken is ERC20 {
    constructor() ERC20("Hook", "HK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from == address(0) || to.code.length == 0) return;
        // A bridge has no hook, and needs none.
        (bool ok,) = to.call(abi.encodeWithSignature("tokensReceived()"));
        require(ok || _isBridge(to), "hook");
    }

    function _isBridge(address account) private view returns (bool) {
        (bool ok, bytes memory answer) = account.staticcall(abi.encodeWithSignature("queued()"));
        return ok && answer.length == 32;
    }
}
