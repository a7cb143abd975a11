"""On-chain parts of Sibyl: constants' generator, EVM contracts, Solana programs, and their builds."""
