"""The outermost layer: command line, setup, devnet and demo; everything is wired together here."""
