"""`synapse verify` of an encoder of images and texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from synapse_core.cli.image_options import given_pixels
from synapse_core.cli.options import open_model
from synapse_core.cli.output import finite, print_json, print_table
from synapse_core.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    import numpy as np

    from synapse_core.api import Agreement, ImageReference, Model, TextReference

NUMPY, TRANSFORMERS = "numpy", "transformers"
# Of classes only: features have no likeliest column.
OF_LOGITS = ("top1", "kl")


def verify_model_of_images(
    tested: Model,
    model: Path,
    against: str,
    original: Path | None,
    pixels: Path | None,
    seed: int,
    tolerance: float | None,
    options: dict[str, Any],
    as_json: bool,
) -> None:
    """Compare every output of images and of texts, print the table, fail where one does not agree.

    Given pixels are compared alone.

    Raises: CheckFailed; UsageError for a reference that does not run images.
    """
    from synapse_core.api import ModelOfImages, ModelOfTexts, TransformersImages, reencodes, rounds
    from synapse_core.api.source import is_program
    from synapse_core.plugins import default_host

    images = tested.images.encoder.image is not None
    if pixels is not None and not images:
        raise UsageError(f"{model} takes no images: it is verified on seeded texts")
    given = given_pixels(tested, pixels) if images else None
    rounded = rounds(tested)
    if against != NUMPY or original is not None:
        rounded = rounded or reencodes(tested, original or model, default_host())
    checked: dict[str, Any] = {"rounded": rounded, "tolerance": tolerance, "seed": seed}
    if against == TRANSFORMERS:
        theirs = TransformersImages(original or model)
        found = _agreements(tested, theirs, theirs, given, checked)
    elif against == NUMPY:
        if original is not None:
            options = {} if is_program(original) else {"image_size": options.get("image_size")}
        with open_model(original or model, NUMPY, **options) as reference:
            both = ModelOfImages(reference), ModelOfTexts(reference)
            found = _agreements(tested, *both, given, checked)
    else:
        raise UsageError(f"--against {against}: it runs no images; use numpy or transformers")
    report: dict[str, Any] = {"model": str(model), "backend": tested.backend, "against": against}
    report |= {"original": str(original or model)}
    rows = [{"output": name, **_plain(name, one)} for name, one in found.items()]
    if as_json:
        print_json(report | {"outputs": rows, "holds": all(row["holds"] for row in rows)})
    else:
        shown = ("output", "max_error", "rms_error", "tolerance", "measure", "holds")
        print_table(shown, [[_cell(row[key]) for key in shown] for row in rows])
    for name, one in found.items():
        if not one.holds:
            raise CheckFailed(
                f"backend {tested.backend!r} against {against}: {one.measure} error {one.error:.3g}"
                f" of a deviation in {name!r}; the tolerance is {one.tolerance:.3g}"
            )


def _agreements(
    tested: Model,
    images: ImageReference,
    texts: TextReference,
    pixels: np.ndarray | None,
    checked: dict[str, Any],
) -> dict[str, Agreement]:
    """Return what agrees by the output's name, those of texts behind "text "."""
    from synapse_core.api import verify_images, verify_texts

    found: dict[str, Agreement] = {}
    if tested.images.encoder.image is not None:
        found |= verify_images(tested, images, pixels=pixels, **checked)
    if tested.images.encoder.text is not None and pixels is None:
        of_texts = verify_texts(tested, texts, **checked)
        found |= {f"text {name}": one for name, one in of_texts.items()}
    return found


def _plain(name: str, found: Agreement) -> dict[str, Any]:
    numbers = {key: finite(value) for key, value in attrs.asdict(found).items()}
    if name != "logits":
        numbers = {key: value for key, value in numbers.items() if key not in OF_LOGITS}
    numbers["rows"] = numbers.pop("tokens")
    return numbers | {"holds": found.holds}


def _cell(value: object) -> object:
    return f"{value:.3g}" if isinstance(value, float) else value
