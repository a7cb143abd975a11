"""What keeps secrets of a process out of files that the system writes about it.

Guarantees nothing on its own: it asks the system not to dump this process's memory, and says what the system granted.
Does not lock memory (encrypt the swap), and does not keep out the machine's administrator.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

import structlog

_log: Final = structlog.get_logger(__name__)

_PR_SET_DUMPABLE: Final = 4
"""prctl(2)."""


def forbid_core_dumps() -> bool:
    """No core file of this process or its children (RLIMIT_CORE 0), and on Linux no memory for other processes of the same user.

    For a process of its own, never for a library: it cannot be taken back. Returns whether all of it was granted.
    """
    granted = True
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:
        granted = False
        _log.warning("core_dumps_not_forbidden", reason=str(error))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        granted = False
        _log.warning("memory_dumps_not_forbidden", errno=ctypes.get_errno())
    return granted
