"""The public implementation of LeWorldModel, loaded by path, and random checkpoints of it.

`tools/fetch_lewm_reference.py` fetches it; SYNAPSE_LEWM_REFERENCE says where it lies.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import pytest

# Of the deviation of what is compared.
TOLERANCE = 5e-4
HF_SIZES = {"tiny": (192, 12, 3)}


def load_public(name: str) -> ModuleType:
    """Return a module of the reference; skips the test where it is not there."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("einops")
    place = Path(os.environ.get("SYNAPSE_LEWM_REFERENCE", "")) / f"{name}.py"
    if not place.is_file():
        pytest.skip("no stable-worldmodel: tools/fetch_lewm_reference.py OUT fetches it")
    spec = importlib.util.spec_from_file_location(f"public_{name}", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_model(config: dict[str, Any]) -> Any:
    """Return the public model of a config.json, with numbers that make agreement mean something."""
    import torch
    import transformers

    module, lewm = load_public("module"), load_public("lewm")
    own = {"_target_", "size", "pretrained", "use_mask_token"}
    encoder = {key: value for key, value in config["encoder"].items() if key not in own}
    width, layers, heads = HF_SIZES[config["encoder"]["size"]]
    options = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    options |= {"intermediate_size": 4 * width, **encoder}
    torch.manual_seed(3)
    vit = transformers.ViTModel(
        transformers.ViTConfig(**options), add_pooling_layer=False, use_mask_token=False
    )

    def head(found: dict[str, Any]) -> Any:
        sizes = {key: found[key] for key in ("input_dim", "hidden_dim", "output_dim")}
        if "norm_fn" not in found:
            return module.MLP(**sizes)
        norm = found["norm_fn"] and getattr(torch.nn, found["norm_fn"]["_target_"].split(".")[-1])
        return module.MLP(**sizes, norm_fn=norm)

    def plain(found: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if key != "_target_"}

    model = lewm.LeWM(
        vit,
        module.Predictor(**plain(config["predictor"])),
        module.Embedder(**plain(config["action_encoder"])),
        head(config["projector"]),
        head(config["pred_proj"]),
    )
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            _fill(name, tensor)
    return model.eval()


def _fill(name: str, tensor: Any) -> None:
    """Norms are not one, biases not zero, statistics not those of a new layer, gates are open."""
    if name.endswith("num_batches_tracked"):
        tensor.fill_(7)
    elif name.endswith("running_var"):
        tensor.uniform_(0.2, 3.0)
    elif name.endswith("running_mean"):
        tensor.normal_(0.0, 0.7)
    elif tensor.ndim == 1 and name.endswith("weight"):
        tensor.normal_(1.0, 0.3)
    elif name.endswith("bias"):
        tensor.normal_(0.0, 0.3)
    elif "adaLN_modulation" in name:
        tensor.normal_(0.0, 0.6 * tensor.shape[1] ** -0.5)
    elif name.endswith(("cls_token", "position_embeddings", "pos_embedding")):
        tensor.normal_(0.0, 0.5)
    else:
        fan = tensor[0].numel()
        tensor.normal_(0.0, 1.5 * fan**-0.5)


# Published files have the names of transformers 4's modules.
PUBLISHED = (
    (".layers.", ".encoder.layer.", "encoder."),
    (".attention.q_proj.", ".attention.attention.query.", "encoder."),
    (".attention.k_proj.", ".attention.attention.key.", "encoder."),
    (".attention.v_proj.", ".attention.attention.value.", "encoder."),
    (".attention.o_proj.", ".attention.output.dense.", "encoder."),
    (".mlp.fc1.", ".intermediate.dense.", "encoder."),
    (".mlp.fc2.", ".output.dense.", "encoder."),
)


def published(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state_dict under the published names."""
    renamed = {}
    for name, tensor in state.items():
        for theirs, ours, begin in PUBLISHED:
            if name.startswith(begin):
                name = name.replace(theirs, ours)
        renamed[name] = tensor
    return renamed


def save(model: Any, config: dict[str, Any], folder: Path, names: str = "published") -> Path:
    """Write a folder of a model: safetensors and config.json."""
    from safetensors.torch import save_file

    state = model.state_dict()
    state = published(state) if names == "published" else state
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@attrs.frozen(eq=False)
class Made:
    """A checkpoint on disk, and what the public implementation makes of some frames and actions.

    Shapes: pixels (n, 3, S, S); actions (T, A); latents (n, D); told (n, D): what it predicts of
    the first n; rolled (T + 1, D).
    """

    folder: Path
    config: dict[str, Any]
    pixels: np.ndarray
    actions: np.ndarray
    latents: np.ndarray
    predicted: np.ndarray
    rolled: np.ndarray
    parameters: int


def make(config: dict[str, Any], folder: Path, *, frames: int, steps: int, seed: int = 5) -> Made:
    """Make a checkpoint and let the public implementation encode, predict and roll out."""
    import torch

    torch.set_num_threads(1)
    model = make_model(config)
    save(model, config, folder)
    rng = np.random.default_rng(seed)
    side, width = config["encoder"]["image_size"], config["action_encoder"]["input_dim"]
    pixels = rng.standard_normal((frames, 3, side, side)).astype(np.float32)
    actions = rng.standard_normal((steps, width)).astype(np.float32)
    with torch.no_grad():
        seen = {"pixels": torch.from_numpy(pixels)[None], "action": torch.from_numpy(actions)[None]}
        told = model.encode({**seen, "action": seen["action"][:, :frames]})
        predicted = model.predict(told["emb"], told["act_emb"])[0]
        info = {"pixels": seen["pixels"][:, None]}
        rolled = model.rollout(info, seen["action"][:, None])["predicted_emb"][0, 0]
    return Made(
        folder,
        config,
        pixels,
        actions,
        told["emb"][0].numpy(),
        predicted.numpy(),
        rolled.numpy(),
        sum(parameter.numel() for parameter in model.parameters()),
    )
