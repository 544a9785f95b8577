"""Write ./mixed: random numbers as .npy files, which the loader `mine` reads, and texts."""

import json
from pathlib import Path

import numpy as np
from synapse_tokenizer_mine.sample import SAMPLE

from synapse_all.family import FAMILY, from_hf
from synapse_core import registry
from synapse_core.families import Fields, build_graph

CONFIG = {"architectures": ["AllForCausalLM"], "num_hidden_layers": 2}
TEMPLATE = "{% for message in messages %}{{ message.content }} {% endfor %}"

folder = Path("mixed")
folder.mkdir()
(folder / "config.json").write_text(json.dumps(CONFIG))
(folder / "chat_template.jinja").write_text(TEMPLATE)
for name, text in SAMPLE.items():
    (folder / name).write_text(text)
Path("text.txt").write_text("there is a tree and there is the sea. " * 3)
rng = np.random.default_rng(8)
config = from_hf(Fields("config.json", CONFIG))
for name, weight in build_graph(FAMILY, config, registry()).weights.items():
    if weight.source is None:
        shape = (weight.cols,) if weight.rows == 1 else (weight.rows, weight.cols)
        numbers = rng.standard_normal(shape) * (1 if weight.rows == 1 else 2 * weight.cols**-0.5)
        np.save(folder / f"{name}.npy", numbers.astype(np.float32))
