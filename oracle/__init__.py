"""Sibyl's oracle node: protocol, pure pipeline, asynchronous shell and command line."""
