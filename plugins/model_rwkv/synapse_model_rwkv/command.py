"""`synapse import-rwkv`: a folder of a bare file of tensors."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("import-rwkv")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder.")
@click.option(
    "--vocabulary",
    type=click.Path(path_type=Path),
    help="rwkv_vocab_v20230424.txt, to go beside the weights.",
)
def import_rwkv(source: Path, output: Path, vocabulary: Path | None) -> None:
    """Write a model's folder of the .safetensors IN, RWKV-7 in BlinkDL's names.

    A .pth becomes such a file by `synapse import-pt`. The config.json is that of the tensors'
    shapes; the folder appears whole or not at all.
    """
    from synapse_model_rwkv.importing import import_rwkv as convert

    config = convert(source, output, vocabulary)
    layers, width = config["num_hidden_layers"], config["hidden_size"]
    heads, ids = config["num_heads"], config["vocab_size"]
    said = f"{layers} layers of {width}, {heads} heads, {ids} ids"
    click.echo(f"{output}: RWKV-7, {said}", err=True)
