"""A loaded model: logits, texts and images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs
import numpy as np

from synapse_core.api.build import Built
from synapse_core.api.images import DIRECTION, LOGITS, QUERY, ImageModel, Label, Picture
from synapse_core.backends import Session
from synapse_core.errors import UsageError
from synapse_core.families import ENCODE_IMAGE
from synapse_core.generate import (
    PREFILL_TOKENS,
    SINKS,
    ChatTemplate,
    Chooser,
    Decoder,
    Generation,
    Guesser,
    Guide,
    Message,
    Penalties,
    PromptCache,
    Sampler,
    Scheduler,
    Serving,
    Tokenizer,
    has_tokenizer,
    make_sampler,
    prompt_ids,
)
from synapse_core.generate.decoder import FORWARD
from synapse_core.graph import Graph
from synapse_core.images import ENCODE_TEXT
from synapse_core.program import Program, functions_of, header_of

DEFAULT_TOKENS = 256


@attrs.define(eq=False)
class Model:
    """A model on a backend; close it or use it as a context manager.

    `built` is how it came to be: family, config, graph, program; `backend` where it runs.
    """

    built: Built
    backend: str
    session: Session
    _open_chooser: Callable[[int], Chooser | None] = lambda vocabulary: None
    _tokenizer: Tokenizer | None = attrs.field(default=None, init=False)
    _decoder: Decoder | None = attrs.field(default=None, init=False)
    _images: ImageModel | None = attrs.field(default=None, init=False)

    @property
    def config(self) -> Mapping[str, Any]:
        """The model's config as its family reads it."""
        return self.built.config

    @property
    def graph(self) -> Graph | None:
        """The graph after all passes; a `.syn` file has none."""
        return self.built.graph

    @property
    def program(self) -> Program:
        """What runs."""
        return self.built.program

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, loaded on first use.

        Raises: FileError when it has none or a bad one.
        """
        if self._tokenizer is None:
            self._tokenizer = self.built.tokenizer()
        return self._tokenizer

    @property
    def decoder(self) -> Decoder:
        """Slot 0 as a language model."""
        if self._decoder is None:
            self._decoder = Decoder.open(self.session, self.built.program)
            self._decoder.chooser = self._open_chooser(self._decoder.ports.vocabulary)
        return self._decoder

    def logits(self, tokens: Iterable[int]) -> np.ndarray:
        """Return the logits at every position, float32 (T, V); tokens are (T,) ids.

        Raises: UsageError for no tokens, too many, or one out of range; nothing has run then.
        """
        return np.concatenate(list(self.decoder.all_logits([int(token) for token in tokens])))

    def generate(
        self,
        prompt: str | Sequence[int] = "",
        *,
        messages: Sequence[Message] | None = None,
        max_tokens: int = DEFAULT_TOKENS,
        sampler: Sampler | None = None,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        seed: int | None = None,
        repetition_penalty: float = 1.0,
        repetition_window: int = 0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        logit_bias: Mapping[int, float] | None = None,
        penalties: Penalties | None = None,
        stop: str | Sequence[str] = (),
        logprobs: int | None = None,
        overflow: str = "stop",
        sinks: int = SINKS,
        noted: Callable[[str], None] = lambda line: None,
        guesser: Guesser | None = None,
        prompt_cache: PromptCache | None = None,
        schema: str | Mapping[str, Any] | None = None,
        grammar: str | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Generation:
        """Continue a text or ids, or answer a conversation; iterate over the result for text.

        Nothing runs before the first piece is asked for. `sampler` goes before the options of
        drawing, `penalties` before those of penalties and bias. The text ends before a string of
        `stop`; `logprobs` so many likeliest tokens are kept for each one. When the context is full
        `overflow` "stop" ends, "error" raises, and "slide" goes on with the first `sinks` tokens
        and the last ones, told to `noted`. With a `guesser` (`PromptLookup`, `DraftModel`) the same
        tokens come sooner where it guesses well; the model must be loaded with `output_rows` for
        its guesses. With a JSON `schema`, or a `grammar` in Lark's notation, an answer that ends by
        itself is of that form. A `prompt_cache` of this model notes the prompt; its `write()` keeps
        it in its file.

        Raises: UsageError; FileError when messages are given and the chat template fails.
        """
        decoder = self.decoder
        if messages is not None and prompt:
            raise UsageError("give a prompt or messages, not both")
        if messages is not None:
            template = ChatTemplate.of(self.built.assets, str(self.built.path))
            ids = self.tokenizer.encode(template.render(messages), special=False)
        elif isinstance(prompt, str):
            ids = prompt_ids(self.tokenizer, prompt)
        else:
            ids = list(prompt)
        textual = isinstance(prompt, str) or has_tokenizer(self.built.assets)
        return Generation(
            decoder,
            sampler or make_sampler(temperature, top_k, top_p, seed, min_p),
            ids,
            max_tokens,
            tokenizer=self.tokenizer if textual else None,
            continues=bool(prompt) and messages is None,
            stopped=stopped,
            penalty=penalties
            or Penalties(
                repetition_penalty,
                repetition_window,
                frequency_penalty,
                presence_penalty,
                logit_bias or {},
            ),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            top_logprobs=logprobs,
            overflow=overflow,
            sinks=sinks,
            noted=noted,
            guesser=guesser,
            guide=self._guide(schema, grammar),
            cache=prompt_cache,
        )

    def prompt_cache(self, path: str | Path) -> PromptCache:
        """Open a file of a computed prompt: what it holds is not computed again.

        Raises: FileError for one that is damaged, or of another model, KV type or runtime.
        """
        return PromptCache.open(self.decoder, self.built.program, Path(path))

    def scheduler(
        self, slots: int | None = None, *, prefill_tokens: int = PREFILL_TOKENS
    ) -> Scheduler:
        """Return what runs many answers at once, in the model's first `slots` slots or in all.

        Load the model with `slots=16, output_rows=16`. Meanwhile nothing else may run it. A step
        in which answers decode reads at most `prefill_tokens` tokens of prompts.

        Raises: UsageError where the model was not planned for so many.
        """
        planned = int(header_of(self.program.image)["max_slots"])
        count = planned if slots is None else slots
        if not 1 <= count <= planned:
            raise UsageError(f"{count} slots; the model was loaded for 1 to {planned} (slots=)")
        chooser = self.decoder.chooser
        others = [
            Decoder.open(self.session, self.program, slot, chooser=chooser)
            for slot in range(1, count)
        ]
        return Scheduler([self.decoder, *others], prefill_tokens=prefill_tokens)

    def serve(self, slots: int | None = None, *, prefill_tokens: int = PREFILL_TOKENS) -> Serving:
        """Return a thread that runs what any thread or coroutine submits; see `scheduler`."""
        return Serving(self.scheduler(slots, prefill_tokens=prefill_tokens))

    def _guide(self, schema: str | Mapping[str, Any] | None, grammar: str | None) -> Guide | None:
        if schema is not None and grammar is not None:
            raise UsageError("give a schema or a grammar, not both")
        vocabulary = self.decoder.ports.vocabulary
        if schema is not None:
            return Guide.json_schema(schema, self.tokenizer, vocabulary)
        return None if grammar is None else Guide.grammar(grammar, self.tokenizer, vocabulary)

    @property
    def takes_images(self) -> bool:
        """Whether it has a function of images, and none of text to go on with."""
        functions = functions_of(self.program)
        return ENCODE_IMAGE in functions and FORWARD not in functions

    @property
    def encodes(self) -> bool:
        """Whether it makes rows of images or of texts, and has no text to go on with."""
        functions = functions_of(self.program)
        return bool({ENCODE_IMAGE, ENCODE_TEXT} & set(functions)) and FORWARD not in functions

    @property
    def images(self) -> ImageModel:
        """The model as an encoder of pictures and captions.

        Raises: UsageError for one that takes neither.
        """
        if self._images is None:
            self._images = ImageModel.open(self.built, self.session)
        return self._images

    def encode(
        self,
        images: Picture | Iterable[Picture] | None = None,
        *,
        texts: str | Sequence[str] | None = None,
        pixels: np.ndarray | None = None,
        output: str | None = None,
        report: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """Return what the model makes of pictures, of texts, or of pixels, float32.

        `images` are files or samples, uint8 (H, W, channels); `pixels` are normalised already,
        float32 (B, channels, H, W). `output` names which of the function's outputs, its natural
        one unless said. `report` hears how many are done.

        Shapes: (B, C); (B, k, C) for an output with k rows an image.
        Raises: UsageError for what the model does not take; FileError for a bad picture or pixels.
        """
        given = [name for name in (images, texts, pixels) if name is not None]
        if len(given) != 1:
            raise UsageError("give images, texts or pixels, one of them")
        if texts is not None:
            self.images.encoder.text_ports()
            every = [texts] if isinstance(texts, str) else list(texts)
            return self.images.encode_texts(every, self.tokenizer, output, report)
        outputs = None if output is None else [output]
        found = self.images.encode(_pictures(images), pixels, outputs, report)
        return next(iter(found.values()))

    def classify(
        self,
        images: Picture | Iterable[Picture] | None = None,
        *,
        pixels: np.ndarray | None = None,
        top: int = 5,
        report: Callable[[int], None] = lambda done: None,
    ) -> list[list[Label]]:
        """Return the `top` likeliest classes of each picture, the likeliest first.

        Raises: UsageError for a model without classes; FileError for a bad picture or pixels.
        """
        self.images.check_classes()
        if (images is None) == (pixels is None):
            raise UsageError("give images or pixels, one of them")
        found = self.images.encode(_pictures(images), pixels, [LOGITS], report)
        return self.images.labels(found[LOGITS], top)

    def similarity(
        self,
        images: Picture | Iterable[Picture],
        texts: str | Sequence[str],
        *,
        report: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """Return how well each text goes with each picture, as logits: float32 (pictures, texts).

        A softmax over a row gives the shares of the texts.

        Raises: UsageError for a model that does not compare them; FileError for a bad picture.
        """
        self.images.check_similarity()
        every = [texts] if isinstance(texts, str) else list(texts)
        queries = self.images.encode_texts(every, self.tokenizer, QUERY, lambda done: None)
        found = self.images.encode(_pictures(images), None, [DIRECTION], report)
        table: np.ndarray = found[DIRECTION] @ queries.T
        return table

    def close(self) -> None:
        """Free the model's memory."""
        if self._decoder is not None and self._decoder.chooser is not None:
            self._decoder.chooser.close()
        self.session.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _pictures(images: Picture | Iterable[Picture] | None) -> Iterable[Picture] | None:
    """Return pictures as several; one alone is a list of one."""
    if images is None or not isinstance(images, str | Path | np.ndarray):
        return images
    return [images] if not isinstance(images, np.ndarray) or images.ndim <= 3 else list(images)
