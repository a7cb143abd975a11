"""The EVM adapter: reads posts of one gateway and delivers to it, deploys Sibyl's contracts, and asks them.

It implements `oracle.ports.ChainReader` and `ChainSubmitter` on web3.py. Nothing of web3 leaves this package: results are the protocol's
types, errors those of `oracle.errors`.
"""
