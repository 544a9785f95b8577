"""Reading the config.json that world models are published with: what makes each part, by name.

Defaults are those of the classes that it names (stable-worldmodel 0.1.1, `wm/lewm/module.py`, and
stable-pretraining's `vit_hf`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synapse_core.families import MOST_HEADS, MOST_LAYERS, MOST_WIDTH, Fields
from synapse_model_lewm.config import (
    MOST_FRAMES,
    MOST_PIXELS,
    Actions,
    Encoder,
    Head,
    LewmConfig,
    Predictor,
)

# Width, layers and heads of `vit_hf`; its ffn is four times the width.
SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}
KINDS = {"BatchNorm1d": "batch", "LayerNorm": "layer"}
EPS = 1e-5  # PyTorch's, of both norms
VIT_EPS = 1e-12  # transformers', of a ViT
ACTIVATIONS = {"GELU": "gelu", "SiLU": "silu", "ReLU": "relu"}
VIT_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
    "relu": "relu",
}
MOST_SCALE = 1024


def is_world_model(metadata: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a LeWM."""
    target = metadata.get("_target_")
    return isinstance(target, str) and target.rpartition(".")[2] == "LeWM"


def from_hf(read: Fields) -> LewmConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    if not is_world_model(read.values):
        raise read.error("_target_", f"found {read.values.get('_target_')!r:.60}, expected a LeWM")
    encoder = _encoder(read.object("encoder"))
    predictor = _predictor(read.object("predictor"))
    actions = _actions(read.object("action_encoder"), read)
    projector = _head(read, "projector")
    pred_proj = _head(read, "pred_proj")
    latent = encoder.width if projector is None else projector.output
    told = predictor.output if pred_proj is None else pred_proj.output
    _same(read, "projector.input_dim", projector and projector.input, encoder.width)
    _same(read, "predictor.input_dim", predictor.input, latent)
    _same(read, "action_encoder.emb_dim", actions.output, predictor.input)
    _same(read, "pred_proj.input_dim", pred_proj and pred_proj.input, predictor.output)
    _same(read, "pred_proj.output_dim" if pred_proj else "predictor.output_dim", told, latent)
    return LewmConfig(
        encoder=encoder,
        projector=projector,
        actions=actions,
        predictor=predictor,
        pred_proj=pred_proj,
    )


def _encoder(read: Fields) -> Encoder:
    _target(read, "vit_hf")
    size = read.choice("size", tuple(SIZES), "tiny")
    width, layers, heads = SIZES[size]
    ffn = 4 * width
    width = read.whole("hidden_size", most=MOST_WIDTH, default=width)
    heads = read.whole("num_attention_heads", most=MOST_HEADS, default=heads)
    if width % heads:
        raise read.error("num_attention_heads", f"found {heads}, expected a divisor of {width}")
    if not read.flag("qkv_bias", True):
        raise read.error("qkv_bias", "found false; an encoder without these biases is not read")
    if read.whole("num_channels", most=MOST_PIXELS, default=3) != 3:
        raise read.error("num_channels", "found others than 3, which are not read")
    patch = read.whole("patch_size", most=MOST_PIXELS, default=16)
    image = read.whole("image_size", most=MOST_PIXELS, default=224)
    if image % patch:
        raise read.error("image_size", f"found {image}, expected a multiple of {patch}, patch_size")
    return Encoder(
        width=width,
        layers=read.whole("num_hidden_layers", most=MOST_LAYERS, default=layers),
        heads=heads,
        ffn=read.whole("intermediate_size", most=MOST_WIDTH, default=ffn),
        patch=patch,
        image=image,
        eps=read.number("layer_norm_eps", least=0.0, most=1.0, default=VIT_EPS),
        activation=VIT_ACTIVATIONS[read.choice("hidden_act", tuple(VIT_ACTIVATIONS), "gelu")],
    )


def _predictor(read: Fields) -> Predictor:
    _target(read, "Predictor")
    width = read.whole("input_dim", most=MOST_WIDTH)
    return Predictor(
        frames=read.whole("num_frames", most=MOST_FRAMES),
        input=width,
        hidden=read.whole("hidden_dim", most=MOST_WIDTH),
        output=read.whole("output_dim", most=MOST_WIDTH, default=None) or width,
        layers=read.whole("depth", most=MOST_LAYERS),
        heads=read.whole("heads", most=MOST_HEADS),
        head_dim=read.whole("dim_head", most=MOST_WIDTH, default=64),
        ffn=read.whole("mlp_dim", most=MOST_WIDTH),
    )


def _actions(read: Fields, whole: Fields) -> Actions:
    """Read the encoder of actions; what no key says, the file's tensors do."""
    _target(read, "Embedder")
    output = read.whole("emb_dim", most=MOST_WIDTH, default=10)

    def rows(tensor: str, default: int) -> int:
        found = whole.tensors.get(f"action_encoder.{tensor}")
        return found.shape[0] if found is not None and found.shape else default

    smoothed = read.whole("smoothed_dim", most=MOST_WIDTH, default=0)
    scale = read.whole("mlp_scale", most=MOST_SCALE, default=0)
    return Actions(
        input=read.whole("input_dim", most=MOST_WIDTH, default=10),
        smoothed=smoothed or rows("patch_embed.weight", 10),
        hidden=scale * output or rows("embed.0.weight", 4 * output),
        output=output,
    )


def _head(read: Fields, key: str) -> Head | None:
    """Read a projector; null or no key is none."""
    if not read.has(key):
        return None
    fields = read.object(key)
    if fields.values.get("_target_") == "torch.nn.Identity":
        return None
    _target(fields, "MLP")
    width = fields.whole("input_dim", most=MOST_WIDTH)
    norm, eps = _norm(fields)
    return Head(
        input=width,
        hidden=fields.whole("hidden_dim", most=MOST_WIDTH),
        output=fields.whole("output_dim", most=MOST_WIDTH, default=None) or width,
        norm=norm,
        eps=eps,
        activation=_activation(fields),
    )


def _norm(read: Fields) -> tuple[str, float]:
    if "norm_fn" not in read.values:
        return "layer", EPS
    if not read.has("norm_fn"):
        return "none", 0.0
    fields = read.object("norm_fn")
    kind = KINDS[_target(fields, *KINDS)]
    for key in ("affine", "elementwise_affine", "bias", "track_running_stats"):
        if not fields.flag(key, True):
            raise fields.error(key, "found false; a norm without its numbers is not read")
    return kind, fields.number("eps", least=0.0, most=1.0, default=EPS)


def _activation(read: Fields) -> str:
    if not read.has("act_fn"):
        return "gelu"
    fields = read.object("act_fn")
    kind = ACTIVATIONS[_target(fields, *ACTIVATIONS)]
    tanh = fields.choice("approximate", ("none", "tanh"), "none") == "tanh"
    return "gelu_tanh" if kind == "gelu" and tanh else kind


def _target(read: Fields, *names: str) -> str:
    """Return which of these classes or functions a part is made by."""
    name = read.text("_target_").rpartition(".")[2]
    if name not in names:
        raise read.error("_target_", f"found {name!r:.60}, expected {' or '.join(names)}")
    return name


def _same(read: Fields, key: str, found: int | None, expected: int) -> None:
    if found is not None and found != expected:
        raise read.error(key, f"found {found}, the part it goes with has {expected}")
