"""The frame of the command line: verbs are imported when used, errors are one line.

Exit codes: 0 ok, 1 a check failed or an internal error, 2 usage, 3 bad or untrusted input,
4 something is unavailable, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from synapse_core import __version__
from synapse_core.cli.output import printable
from synapse_core.errors import SynapseError
from synapse_core.plugins import default_host

INTERRUPTED = 130

# verb: where its click command is, and its line in the help
VERBS = {
    "run": ("synapse_core.cli.run:run", "Let a model continue a text."),
    "chat": ("synapse_core.cli.chat:chat", "Talk with a model."),
    "logits": ("synapse_core.cli.logits:logits", "Write a model's logits for given tokens."),
    "perplexity": (
        "synapse_core.cli.perplexity:perplexity",
        "Score a text, in one weight format or several.",
    ),
    "classify": ("synapse_core.cli.classify:classify", "Say what is to be seen in pictures."),
    "encode": ("synapse_core.cli.encode:encode", "Write pictures or texts as rows of numbers."),
    "similarity": (
        "synapse_core.cli.similarity:similarity",
        "Say how well texts go with pictures.",
    ),
    "tokenize": ("synapse_core.cli.tokenize:tokenize", "Print the ids of a text."),
    "inspect": ("synapse_core.cli.inspect:inspect", "Say what a checkpoint is and needs."),
    "graph": ("synapse_core.cli.graph:graph", "Show a model's graph after any pass."),
    "compile": ("synapse_core.cli.compile:compile", "Write a model as one .syn file."),
    "quantize": (
        "synapse_core.cli.quantize:quantize",
        "Write a checkpoint with its weights in another format.",
    ),
    "import-pt": ("synapse_core.cli.import_pt:import_pt", "Write a torch pickle as safetensors."),
    "pull": ("synapse_core.cli.pull:pull", "Download a model from the hub."),
    "bench": ("synapse_core.cli.bench:bench", "Measure a model's speed and memory."),
    "verify": ("synapse_core.cli.verify:verify", "Hold a model's logits against a reference's."),
    "plugins": ("synapse_core.cli.plugins:plugins", "List installed plugins and their states."),
    "components": ("synapse_core.cli.components:components", "List what plugins provide."),
    "doctor": ("synapse_core.cli.doctor:doctor", "Check this installation."),
    "new-plugin": ("synapse_core.cli.new_plugin:new_plugin", "Write a plugin to begin with."),
    "check": ("synapse_core.cli.check:check", "Hold a plugin to its contracts."),
}


class VerbGroup(click.Group):
    """The core's verbs from the table, then those that plugins provide."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the core's verbs in their order, then plugins' verbs."""
        return [*VERBS, *default_host().names("command")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name in VERBS:
            module, _, name = VERBS[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        if cmd_name in default_host().names("command"):
            found: click.Command = default_host().get("command", cmd_name)
            return found
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs' lines without importing one."""
        host = default_host()
        plugged = [(p.record.name, p.record.summary) for p in host.of_kind("command")]
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()] + plugged)


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="synapse")
def synapse() -> None:
    """Run machine-learning models at the edge."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are one line on stderr."""
    try:
        code = synapse.main(arguments, prog_name="synapse", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SynapseError as error:
        return _say(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`synapse … | head`); what is left unwritten is not wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("SYNAPSE_DEBUG"):
            traceback.print_exc()
        hint = "this is a bug; SYNAPSE_DEBUG=1 shows where"
        return _say(f"{type(error).__name__}: {error} ({hint})", 1)


def _say(text: str, code: int) -> int:
    if os.environ.get("SYNAPSE_DEBUG"):
        traceback.print_exc()
    click.echo(f"synapse: {printable(' '.join(text.split()))}", err=True)
    return code
