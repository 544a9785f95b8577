"""Mamba: selective state spaces."""
