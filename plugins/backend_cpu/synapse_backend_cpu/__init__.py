"""Synapse's C runtime and its plain-C kernels, run on this machine's CPU."""
