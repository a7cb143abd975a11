"""Faults on purpose: a devnet whose wires, nodes, blocks and endpoints fail at random, and the audit of what came of its messages."""
