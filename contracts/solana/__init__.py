"""The Solana program: its Zig sources, and the build, link and deploy steps of their own (no platform tools needed)."""
