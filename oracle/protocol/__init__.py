"""The pure leaf: types, the one wire format, encoding, quorum, finality and errors. No clock, socket, randomness or chain library."""
