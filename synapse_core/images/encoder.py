"""A session as an encoder: pictures and captions in, their rows out, in calls that fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import attrs
import numpy as np

from synapse_core.backends import Session
from synapse_core.errors import UsageError
from synapse_core.families import ENCODE_IMAGE, PIXELS
from synapse_core.images.ports import ENCODE_TEXT, CaptionPorts, ImagePorts, encoder_ports
from synapse_core.ops import RowTable
from synapse_core.program import Program

Report = Callable[[int], None]


def _silent(done: int) -> None:
    """Hear that so many are done."""


@attrs.frozen(eq=False)
class Encoder:
    """What a session makes of pictures and of captions.

    Every picture and caption of a call has a slot of its own, so that one alone and one among
    others give the same bits.
    """

    session: Session
    image: ImagePorts | None
    text: CaptionPorts | None

    @classmethod
    def open(cls, session: Session, program: Program) -> Encoder:
        """Return the encoder of an opened program.

        Raises: UsageError for a model that takes neither.
        """
        image, text = encoder_ports(program)
        if image is None and text is None:
            raise UsageError(f"the model has no function {ENCODE_IMAGE!r}: it takes no images")
        return cls(session, image, text)

    def images(
        self, rows: Iterable[np.ndarray], outputs: Sequence[str], report: Report = _silent
    ) -> dict[str, np.ndarray]:
        """Return outputs by name, float32 (B, C), or (B, k, C) where an image has k rows.

        `rows` are pixels of an image each, float32 (1, channels·H·W); so many as go into one call
        are held at a time. `report` hears how many are done.

        Raises: UsageError for an output that there is not, or for no images.
        """
        ports = self.image_ports()
        _check_outputs(ENCODE_IMAGE, ports.outputs, outputs)
        found: list[dict[str, np.ndarray]] = []
        done = 0
        for batch in _batches(rows, ports.most):
            count = len(batch)
            table = RowTable(np.arange(count), np.zeros(count, dtype=np.int64))
            inputs = {PIXELS: np.concatenate(batch)}
            made = self.session.run(ENCODE_IMAGE, inputs, {ports.space: table})
            found.append({name: _grouped(made[name], ports.each[name]) for name in outputs})
            done += count
            report(done)
        if not found:
            raise UsageError("no images are given")
        return {name: np.concatenate([part[name] for part in found]) for name in outputs}

    def texts(
        self, texts: Sequence[Sequence[int]], outputs: Sequence[str], report: Report = _silent
    ) -> dict[str, np.ndarray]:
        """Return outputs by name for texts of ids: float32 (B, C).

        Raises: UsageError for an output that there is not or has a row for each token, no texts, or
        one that is empty or too long.
        """
        ports = self.text_ports()
        _check_outputs(
            ENCODE_TEXT, [name for name in ports.outputs if name not in ports.by_token], outputs
        )
        if not texts:
            raise UsageError("no texts are given")
        for number, ids in enumerate(texts):
            if not 1 <= len(ids) <= ports.positions:
                raise UsageError(
                    f"text {number} has {len(ids)} tokens; the model reads 1 to {ports.positions}"
                )
        found: list[dict[str, np.ndarray]] = []
        done = 0
        while done < len(texts):
            batch = _fitting(texts[done:], ports)
            found.append(self._texts(ports, batch, outputs))
            done += len(batch)
            report(done)
        return {name: np.concatenate([part[name] for part in found]) for name in outputs}

    def image_ports(self) -> ImagePorts:
        """Return the ports of images.

        Raises: UsageError for a model that takes none.
        """
        if self.image is None:
            raise UsageError(f"the model has no function {ENCODE_IMAGE!r}: it takes no images")
        return self.image

    def text_ports(self) -> CaptionPorts:
        """Return the ports of captions.

        Raises: UsageError for a model that takes none.
        """
        if self.text is None:
            raise UsageError(f"the model has no function {ENCODE_TEXT!r}: it takes no texts")
        return self.text

    def _texts(
        self, ports: CaptionPorts, batch: Sequence[Sequence[int]], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        lengths = np.array([len(ids) for ids in batch])
        slots = np.repeat(np.arange(len(batch)), lengths)
        places = np.concatenate([np.arange(length) for length in lengths])
        inputs = {
            ports.ids: np.concatenate([np.asarray(ids, dtype=np.int64) for ids in batch]),
            ports.ends: np.cumsum(lengths) - 1,
        }
        made = self.session.run(ENCODE_TEXT, inputs, {ports.tokens: RowTable(slots, places)})
        return {name: made[name].copy() for name in outputs}


def natural_output(outputs: Sequence[str], asked: str | None) -> str:
    """Return the output that is asked for, the function's first unless one is."""
    return outputs[0] if asked is None else asked


def _check_outputs(function: str, there: Sequence[str], asked: Sequence[str]) -> None:
    for name in asked:
        if name not in there:
            raise UsageError(f"{function} has no output {name!r}; it has: {', '.join(there)}")


def _grouped(rows: np.ndarray, each: int) -> np.ndarray:
    return (rows if each == 1 else rows.reshape(-1, each, rows.shape[1])).copy()


def _batches(rows: Iterable[np.ndarray], most: int) -> Iterator[list[np.ndarray]]:
    waiting = iter(rows)
    while batch := list(islice(waiting, most)):
        yield batch


def _fitting(texts: Sequence[Sequence[int]], ports: CaptionPorts) -> Sequence[Sequence[int]]:
    """Return as many of the first texts as one call takes."""
    rows = 0
    for count, ids in enumerate(texts[: ports.most_texts]):
        rows += len(ids)
        if rows > ports.most_tokens:
            return texts[:count]
    return texts[: ports.most_texts]
