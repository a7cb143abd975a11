"""A local devnet of real processes: chains and nodes, started and ended together."""
