"""Which tensor is which weight."""

from __future__ import annotations

from synapse_core.families import Entry, Ignore, stacked

# In the order in which a layer's modulation has them: twice shift, scale and gate.
MODULATIONS = tuple(
    f"modulation.{half}.{what}"
    for half in ("attention", "ffn")
    for what in ("shift", "scale", "gate")
)
VIT, OURS = "encoder.encoder.layer.{n}", "encoder.layers.{n}"
LAYER, TOLD = "predictor.transformer.layers.{n}", "predictor.layers.{n}"


def _both(ours: str, theirs: str) -> dict[str, Entry]:
    """Return the entries of a weight and its bias."""
    return {f"{ours}.weight": f"{theirs}.weight", f"{ours}.bias": f"{theirs}.bias"}


def _head(name: str) -> dict[str, Entry]:
    statistics: dict[str, Entry] = {
        f"{name}.norm.mean": f"{name}.net.1.running_mean",
        f"{name}.norm.variance": f"{name}.net.1.running_var",
    }
    return {
        **_both(f"{name}.up", f"{name}.net.0"),
        **_both(f"{name}.norm", f"{name}.net.1"),
        **statistics,
        **_both(f"{name}.down", f"{name}.net.3"),
    }


WEIGHTS: dict[str, Entry] = {
    **_both("encoder.patch", "encoder.embeddings.patch_embeddings.projection"),
    "encoder.class": "encoder.embeddings.cls_token",
    "encoder.positions": "encoder.embeddings.position_embeddings",
    **_both(f"{OURS}.attention_norm", f"{VIT}.layernorm_before"),
    **_both(f"{OURS}.attention.q", f"{VIT}.attention.attention.query"),
    **_both(f"{OURS}.attention.k", f"{VIT}.attention.attention.key"),
    **_both(f"{OURS}.attention.v", f"{VIT}.attention.attention.value"),
    **_both(f"{OURS}.attention.o", f"{VIT}.attention.output.dense"),
    **_both(f"{OURS}.ffn_norm", f"{VIT}.layernorm_after"),
    **_both(f"{OURS}.ffn.up", f"{VIT}.intermediate.dense"),
    **_both(f"{OURS}.ffn.down", f"{VIT}.output.dense"),
    **_both("encoder.norm", "encoder.layernorm"),
    **_head("projector"),
    **_both("actions.smooth", "action_encoder.patch_embed"),
    **_both("actions.up", "action_encoder.embed.0"),
    **_both("actions.down", "action_encoder.embed.2"),
    "predictor.positions.weight": "predictor.pos_embedding",
    **_both("predictor.input", "predictor.transformer.input_proj"),
    **_both("predictor.condition", "predictor.transformer.cond_proj"),
    **stacked(f"{LAYER}.adaLN_modulation.1.weight", *(f"{TOLD}.{m}.weight" for m in MODULATIONS)),
    **stacked(f"{LAYER}.adaLN_modulation.1.bias", *(f"{TOLD}.{m}.bias" for m in MODULATIONS)),
    **_both(f"{TOLD}.attention.norm", f"{LAYER}.attn.norm"),
    **stacked(f"{LAYER}.attn.to_qkv.weight", *(f"{TOLD}.attention.{p}.weight" for p in "qkv")),
    **_both(f"{TOLD}.attention.o", f"{LAYER}.attn.to_out.0"),
    **_both(f"{TOLD}.ffn.norm", f"{LAYER}.mlp.net.0"),
    **_both(f"{TOLD}.ffn.up", f"{LAYER}.mlp.net.1"),
    **_both(f"{TOLD}.ffn.down", f"{LAYER}.mlp.net.4"),
    **_both("predictor.norm", "predictor.transformer.norm"),
    **_both("predictor.output", "predictor.transformer.output_proj"),
    **_head("pred_proj"),
}
# How transformers 5 names the modules of its ViT, and so a state_dict saved with it.
RESPELLED = {
    "encoder.encoder.layer.": "encoder.layers.",
    ".attention.attention.query.": ".attention.q_proj.",
    ".attention.attention.key.": ".attention.k_proj.",
    ".attention.attention.value.": ".attention.v_proj.",
    ".attention.output.dense.": ".attention.o_proj.",
    ".intermediate.dense.": ".mlp.fc1.",
    ".output.dense.": ".mlp.fc2.",
}
IGNORES = (
    Ignore("*.num_batches_tracked", "batches that a batch norm has seen; only training counts on"),
    Ignore("encoder.embeddings.mask_token", "stands for hidden patches in training"),
    Ignore("encoder.pooler.*", "the pooler of a ViT; a world model reads the CLS row itself"),
)
