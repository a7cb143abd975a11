"""Adapters to the EVM, to Solana and to the signing committee; none of them knows another."""
