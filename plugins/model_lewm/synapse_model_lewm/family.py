"""LeWorldModel: a joint-embedding world model, trained end to end from pixels.

Paper: Maes, Le Lidec, Scieur, LeCun & Balestriero 2026, arXiv 2603.19312.
Reference: `stable-worldmodel` 0.1.1, `wm/lewm/{lewm,module}.py`, with transformers' `ViTModel`.
"""

from __future__ import annotations

from synapse_core.families import Claim, Family
from synapse_model_lewm.graph import build
from synapse_model_lewm.published import from_hf, is_world_model
from synapse_model_lewm.shipped import default_model_path
from synapse_model_lewm.tensors import IGNORES, RESPELLED, WEIGHTS

FAMILY = Family(
    name="lewm",
    claims=(Claim(hf="", when=is_world_model),),
    config={"hf": from_hf},
    weights={"hf": WEIGHTS},
    respelled=RESPELLED,
    ignores=IGNORES,
    # Small, and added to every row.
    keeps=("encoder.positions", "predictor.positions.weight"),
    buffers=("*.running_mean", "*.running_var"),
    build=build,
    aliases={},
    default_checkpoint=default_model_path if default_model_path().is_dir() else None,
    # It continues no text: `synapse run` without a name takes any other first.
    default_rank=-1,
)
