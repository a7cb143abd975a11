"""The demonstration model of the token bridge's guard: how much a transfer looks like a theft. Trained on made-up transfers."""
