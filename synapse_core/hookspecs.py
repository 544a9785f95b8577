"""Everything a plugin can add to Synapse, on one page.

A plugin is an object (usually a module) behind an entry point of group `synapse.v1`. Each hook
returns a tuple of `Provides` records: names and import paths, nothing heavy. The object behind
`factory` is imported on first use and obeys the protocol of its kind.

    import synapse_core as synapse

    @synapse.hookimpl
    def synapse_attention():
        return (synapse.Provides("attention", "my_attention", "my_pkg.attention:MyAttention",
                                 "Attention with a twist."),)
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs
import pluggy

PROJECT = "synapse"
ENTRY_POINT_GROUP = "synapse.v1"
CONTRACT_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

HOOK_OF_KIND = {
    "attention": "synapse_attention",
    "ffn": "synapse_ffn",
    "norm": "synapse_norm",
    "position": "synapse_position",
    "quant_format": "synapse_quant_formats",
    "weight_loader": "synapse_weight_loaders",
    "model": "synapse_models",
    "tokenizer": "synapse_tokenizers",
    "preprocessor": "synapse_preprocessors",
    "sampler": "synapse_samplers",
    "op": "synapse_ops",
    "pass": "synapse_passes",
    "backend": "synapse_backends",
    "target": "synapse_targets",
    "command": "synapse_commands",
}
KINDS = tuple(HOOK_OF_KIND)


@attrs.frozen
class Provides:
    """One thing a plugin provides: found by (kind, name), imported only when used.

    `factory` and `sample` are import paths, "package.module:object". `sample` is what the thing is
    tried on by `synapse check` (`synapse_core.testing.sample` says what that is for each kind).
    """

    kind: str
    name: str
    factory: str
    summary: str
    sample: str = ""


Provided = tuple[Provides, ...]


class Registry(Protocol):
    """What the layers below the API see of the plugin host: components by kind and name."""

    def get(self, kind: str, name: str) -> Any:
        """Return the object behind (kind, name); `name@distribution` picks among two providers.

        Raises: UnknownComponent, PluginConflict, or PluginError when its import fails.
        """
        ...

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the sorted names of a kind, importing nothing."""
        ...

    def advice(self, kind: str, name: str) -> str:
        """Return what to do where (kind, name) is missed, to put behind an error; may be empty."""
        ...


class SynapseSpec:
    """The hooks. All take no argument and return `Provided`."""

    @hookspec
    def synapse_attention(self) -> Provided:
        """Attention components: mix rows of one slot with each other."""
        return ()

    @hookspec
    def synapse_ffn(self) -> Provided:
        """Feed-forward components: transform each row on its own."""
        return ()

    @hookspec
    def synapse_norm(self) -> Provided:
        """Normalisation components."""
        return ()

    @hookspec
    def synapse_position(self) -> Provided:
        """Position components: rotate q and k, or add a table to the rows."""
        return ()

    @hookspec
    def synapse_quant_formats(self) -> Provided:
        """Weight formats: bytes of a row and back (`synapse_core.formats.WeightFormat`)."""
        return ()

    @hookspec
    def synapse_weight_loaders(self) -> Provided:
        """Readers of checkpoint files (`synapse_core.loaders.WeightLoader`)."""
        return ()

    @hookspec
    def synapse_models(self) -> Provided:
        """Model families (`synapse_core.families.Family`)."""
        return ()

    @hookspec
    def synapse_tokenizers(self) -> Provided:
        """Text to ids and back (`synapse_core.generate.Tokenizer`)."""
        return ()

    @hookspec
    def synapse_preprocessors(self) -> Provided:
        """Images, sounds, … to a function's rows (`synapse_core.generate.Preprocessor`)."""
        return ()

    @hookspec
    def synapse_samplers(self) -> Provided:
        """Choosing the next token from logits (`synapse_core.generate.Sampler`)."""
        return ()

    @hookspec
    def synapse_ops(self) -> Provided:
        """Operations: shape rule, numpy reference and kernels (`synapse_core.ops.Op`)."""
        return ()

    @hookspec
    def synapse_passes(self) -> Provided:
        """Graph to graph rewrites (`synapse_core.passes.Pass`)."""
        return ()

    @hookspec
    def synapse_backends(self) -> Provided:
        """Machines that run a program or a graph here and now (`synapse_core.backends.Backend`)."""
        return ()

    @hookspec
    def synapse_targets(self) -> Provided:
        """Machines that a program is exported to (`synapse_core.backends.Target`)."""
        return ()

    @hookspec
    def synapse_commands(self) -> Provided:
        """Further `synapse` verbs: the object is a `click.Command`."""
        return ()
