"""How a thing of every kind is used once installed: commands, and what each must print.

All run in one folder, on the checkpoint `mixed` that `python -m synapse_all` writes there: the
family of `all_parts` names the attention, feed-forward, norm, position and op.
"""

from __future__ import annotations

MAKE_CHECKPOINT = ("python", "-m", "synapse_all")
VERIFY = "verify mixed --backend cpu --tokens 1,2,3,4,5 --json"
PREPROCESS = """
import numpy as np
from synapse_core import registry
image = np.random.default_rng(1).integers(0, 256, (9, 7, 3)).astype(np.uint8)
print(registry().get("preprocessor", "mine")().rows(image).shape)
"""
SAME = "import numpy as np; print((np.load('read.npy') == np.load('asked.npy')).all())"
Use = tuple[tuple[str, ...], str]


def synapse(line: str, printed: str) -> Use:
    """A command of `synapse`, and a piece of what it prints."""
    return ("synapse", *line.split()), printed


def is_named(kind: str) -> Use:
    """The config of the checkpoint names `mine` of that kind."""
    return synapse("inspect mixed --json", f'"kind": "{kind}", "name": "mine"')


def shows(printed: str, said: str) -> bool:
    """Whether a piece is in what was printed, in whatever lines and columns."""
    return said in " ".join(printed.split())


AGREES = synapse(VERIFY, '"holds": true')
USES: dict[str, tuple[Use, ...]] = {
    "attention": (is_named("attention"), AGREES),
    "ffn": (is_named("ffn"), AGREES),
    "norm": (is_named("norm"), AGREES),
    "position": (is_named("position"), AGREES),
    "quant_format": (
        synapse("quantize mixed packed --format mine --json", '"given": "mine"'),
        synapse("inspect packed --json", '"i8g16"'),
        synapse("verify packed --backend cpu --json", '"holds": true'),
        synapse("logits packed --tokens 1,2,3 --backend numpy -o read.npy", ""),
        synapse("logits mixed --tokens 1,2,3 --backend numpy --format mine -o asked.npy", ""),
        (("python", "-c", SAME), "True"),
        synapse("perplexity mixed text.txt --format f32 --format mine", "mine"),
        synapse("run packed -n 3 --greedy -p there --json", '"tokens": ['),
    ),
    "weight_loader": (synapse("inspect mixed", "tensors in the file"),),
    "model": (synapse("inspect mixed --json", '"family": "all"'),),
    "tokenizer": (
        synapse("tokenize mixed -p there", "261 257"),
        synapse("run mixed -n 3 --greedy -p there --json", '"prompt_tokens": 2'),
        synapse("perplexity mixed text.txt --json", '"tokens": '),
        synapse("compile mixed -o whole.syn --json", '"bytes": '),
        synapse("tokenize whole.syn -p there", "261 257"),
    ),
    # No verb has images yet: the public way is the registry.
    "preprocessor": ((("python", "-c", PREPROCESS), "(1, 3072)"),),
    "sampler": (synapse("run mixed -n 5 --sampler mine -p there --json", '"tokens": ['),),
    "op": (synapse("graph mixed", "= mine("), AGREES),
    "pass": (synapse("graph mixed --stage mine", "linear"),),
    "backend": (synapse("run mixed -n 2 --backend mine -p a --json", '"backend": "mine"'),),
    "target": (
        synapse("compile mixed --target mine -o exported --json", '"output": "exported"'),
        (("python", "-c", "print(open('exported/manifest.json').read())"), '"target": "mine"'),
    ),
    "command": (synapse("mine mixed -n 1", "embedding.weight"),),
}
