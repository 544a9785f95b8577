"""The small world model that ships with this plugin."""

from importlib.resources import files
from pathlib import Path


def default_model_path() -> Path:
    """Return the folder of the shipped model: config.json and weights."""
    return Path(str(files("synapse_model_lewm") / "default_model"))
