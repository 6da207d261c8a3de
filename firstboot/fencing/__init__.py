"""Cutting the peer's power: accounts, identity, and the rehearsal that proves it works."""
