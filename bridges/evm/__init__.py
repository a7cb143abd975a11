"""The EVM adapter: reads posts of one gateway and delivers to it, deploys Sibyl's contracts, and asks them.

It implements `oracle.ports.ChainReader` and `ChainSubmitter` on web3.py. Nothing of web3 leaves this package: results are the protocol's
types, errors those of `oracle.errors`.
"""

import sys
from importlib import import_module

# Importing web3 imports py_ecc, which raises the whole process's recursion limit to 100,000. With that limit a deeply nested JSON answer,
# from an endpoint or from anyone else, ends the process by a stack overflow instead of a RecursionError. Nothing here needs it.
_LIMIT = sys.getrecursionlimit()
import_module("web3")
sys.setrecursionlimit(_LIMIT if _LIMIT <= 10_000 else 1_000)
