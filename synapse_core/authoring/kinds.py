"""What a new plugin of each kind consists of: its module, the object in it, what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs


@attrs.frozen(kw_only=True)
class Start:
    """The start of a plugin of one kind.

    `module` is where the part is, `object` its name there (`{Camel}` and `{UPPER}` stand for the
    plugin's own name), `summary` its line in lists. `use` says what to do with it once installed.
    """

    module: str
    object: str
    summary: str
    use: str
    sample: bool = False


STARTS: Mapping[str, Start] = MappingProxyType(
    {
        "attention": Start(
            module="attention",
            object="{Camel}Attention",
            summary="Causal attention behind a gate: o(sigmoid(gate) · attention).",
            use="A config names it: `ComponentConfig('attention', '{name}', {{...}})`.",
            sample=True,
        ),
        "ffn": Start(
            module="ffn",
            object="{Camel}Ffn",
            summary="down(relu(up(x))²).",
            use="A config names it: `ComponentConfig('ffn', '{name}', {{...}})`.",
            sample=True,
        ),
        "norm": Start(
            module="norm",
            object="{Camel}Norm",
            summary="gamma · tanh(alpha · x) + beta: no statistics of the row.",
            use="A config names it: `ComponentConfig('norm', '{name}')`.",
            sample=True,
        ),
        "position": Start(
            module="position",
            object="{Camel}Position",
            summary="Rotary, with wavelengths spread evenly between two lengths.",
            use="An attention's option `position` names it.",
            sample=True,
        ),
        "quant_format": Start(
            module="format",
            object="{Camel}Format",
            summary="4 bits a number, a float16 scale for each 16.",
            use="`synapse quantize MODEL OUT --format {name}`, then `synapse run OUT`.",
        ),
        "weight_loader": Start(
            module="loader",
            object="{Camel}Loader",
            summary="Folders with config.json and a .npy file for each tensor.",
            use="`synapse inspect FOLDER` reads such a folder.",
            sample=True,
        ),
        "model": Start(
            module="family",
            object="FAMILY",
            summary="A decoder with layernorm, grouped queries and a gated feed-forward.",
            use="`synapse inspect FOLDER` reads a folder whose config.json names "
            "`{Camel}ForCausalLM`.",
            sample=True,
        ),
        "tokenizer": Start(
            module="tokenizer",
            object="{Camel}Reader",
            summary="The longest tokens of a vocabulary file, {name}_vocabulary.txt.",
            use="`synapse run` and other verbs read a model whose folder has "
            "`{name}_vocabulary.txt`.",
            sample=True,
        ),
        "preprocessor": Start(
            module="preprocessor",
            object="{Camel}Preprocessor",
            summary="Images (H, W, 3) to rows of planes, 32 × 32, normalised.",
            use="`synapse_core.registry().get('preprocessor', '{name}')().rows(image)`.",
            sample=True,
        ),
        "sampler": Start(
            module="sampler",
            object="{Camel}Sampler",
            summary="Draws among tokens at least a tenth as likely as the likeliest.",
            use="`synapse run MODEL --sampler {name}`.",
        ),
        "op": Start(
            module="op",
            object="{UPPER}",
            summary="max(x, 0) + slope · min(x, 0), a slope for each column.",
            use="A component adds it: `g.op('{name}', x, slope)`.",
            sample=True,
        ),
        "pass": Start(
            module="rewrite",
            object="{UPPER}",
            summary="Two scalings in a row become one.",
            use="It runs in every build; `synapse graph MODEL --stage {name}` shows it.",
        ),
        "backend": Start(
            module="backend",
            object="{Camel}Backend",
            summary="numpy, a row at a time: the same bits alone and batched.",
            use="`synapse run MODEL --backend {name}`.",
        ),
        "target": Start(
            module="target",
            object="{Camel}Target",
            summary="A folder with the program and a manifest of what is in it.",
            use="`synapse compile MODEL --target {name} -o FOLDER`.",
        ),
        "command": Start(
            module="command",
            object="{name}",
            summary="Say which tensors of a checkpoint are largest.",
            use="`synapse {verb} CHECKPOINT`.",
        ),
    }
)
