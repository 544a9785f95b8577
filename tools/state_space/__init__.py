"""Recurrent language models in torch, to be trained on a CPU and saved as published ones are."""
