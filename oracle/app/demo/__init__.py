"""The demonstration: a real model's answers asked for, proven, signed and used on two chains, and lies refused."""
