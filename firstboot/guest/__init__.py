"""Guests of the pair: their description, their images, their place in the cluster."""
