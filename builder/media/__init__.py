"""Source ISO and tree in, one bootable medium out."""
