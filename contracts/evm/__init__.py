"""The EVM contracts: their Foundry project, their build, and their compiled form."""
