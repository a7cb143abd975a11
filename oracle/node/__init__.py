"""The asynchronous shell of a node: it reads, runs what the pipeline says is due, and journals what it learns."""

from oracle.node.core import Node, Ports

__all__ = ["Node", "Ports"]
