"""`synapse pull`: a model from the hub into its cache."""

from __future__ import annotations

import sys

import click

from synapse_core.cli.output import json_option, print_json
from synapse_core.errors import UsageError


@click.command("pull")
@click.argument("name", metavar="ORG/NAME")
@click.option("--revision", metavar="R", help="A branch, tag or commit; main unless said.")
@click.option("--file", "pattern", metavar="PATTERN", help="Which weights, where there are many.")
@json_option
def pull(name: str, revision: str | None, pattern: str | None, as_json: bool) -> None:
    """Download ORG/NAME: safetensors or GGUF, config and tokenizer, never a pickle or code.

    Prints where it lies; `synapse run ORG/NAME` finds it there. Files that are there already are
    kept. HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE are obeyed.
    """
    from synapse_core.api.hub import HubName
    from synapse_core.api.hub import pull as download

    wanted = HubName.parse(f"{name}@{revision}" if revision else name)
    if wanted is None:
        shown = f"{name} --revision {revision}" if revision else name
        raise UsageError(f"{shown!r} is no name of a model; write ORG/NAME")
    done = download(wanted, pattern=pattern, progress=sys.stderr.isatty() and not as_json)
    files = [{"name": file.name, "bytes": file.stat().st_size} for file in done.files]
    if as_json:
        said = {"model": wanted.repository, "revision": wanted.revision, "commit": done.commit}
        print_json({**said, "path": str(done.path), "files": files})
        return
    total = sum(file.stat().st_size for file in done.files)
    click.echo(f"{wanted} at {done.commit[:12]}: {len(files)} files, {total:,} bytes", err=True)
    click.echo(str(done.path))
