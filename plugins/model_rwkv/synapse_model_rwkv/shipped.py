"""The small language model that ships with this plugin."""

from importlib.resources import files
from pathlib import Path


def default_model_path() -> Path:
    """Return the folder of the shipped model: config.json, weights and tokenizer.json."""
    return Path(str(files("synapse_model_rwkv") / "default_model"))
