"""The Halo2 verifier for Solana programs: Zig sources (`verifier.zig` is the entry), and the build of the probe that tests and measures them."""
