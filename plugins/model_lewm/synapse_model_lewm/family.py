"""LeWorldModel: a joint-embedding world model, trained end to end from pixels.

Paper: Maes, Le Lidec, Scieur, LeCun & Balestriero 2026, arXiv 2603.19312.
Reference: `stable-worldmodel` 0.1.1, `wm/lewm/{lewm,module}.py`, with transformers' `ViTModel`.
"""

from __future__ import annotations

from synapse_core.families import Claim, Family
from synapse_model_lewm.config import LewmConfig
from synapse_model_lewm.graph import build
from synapse_model_lewm.published import from_hf, is_world_model
from synapse_model_lewm.shipped import default_model_path
from synapse_model_lewm.tensors import IGNORES, RESPELLED, WEIGHTS

# Few numbers do not even the rounding of weights out, and a rollout carries it on: behind 20 steps
# of a model of 96 columns the cosine is 0.981 in q8_0, and 0.998 with these and exact products.
NARROW = (
    "projector.*",
    "pred_proj.*",
    "actions.*",
    "predictor.input.*",
    "predictor.condition.*",
    "predictor.output.*",
)


def narrow_keeps(config: LewmConfig) -> tuple[str, ...]:
    """Return the matrices around the latents of a narrow model, which stay as they are stored."""
    return NARROW if config.narrow else ()


FAMILY = Family(
    name="lewm",
    claims=(Claim(hf="", when=is_world_model),),
    config={"hf": from_hf},
    weights={"hf": WEIGHTS},
    respelled=RESPELLED,
    ignores=IGNORES,
    # Small, and added to every row.
    keeps_of=narrow_keeps,
    keeps=("encoder.positions", "predictor.positions.weight"),
    buffers=("*.running_mean", "*.running_var"),
    build=build,
    aliases={},
    default_checkpoint=default_model_path if default_model_path().is_dir() else None,
    # It continues no text: `synapse run` without a name takes any other first.
    default_rank=-1,
)
