"""What a slot has seen, kept in a file between runs: a long prompt is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from synapse_core.errors import FileError, UsageError
from synapse_core.generate.decoder import Decoder
from synapse_core.generate.state_file import Maker, SavedState, read_state, write_state
from synapse_core.program import Program, program_digest


@attrs.define
class PromptCache:
    """One file beside one decoder: read when opened, written by `write` if the prompt is longer.

    The file holds the last prompt without its last token, whose logits the next run needs. Of
    another prompt, the longest common prefix is used where the slot can go back to it; a slot with
    windows or recurrent states goes on from all that the file holds, or begins anew.
    """

    decoder: Decoder
    path: Path
    maker: Maker
    held: list[int] = attrs.field(factory=list)
    _wanted: list[int] = attrs.field(factory=list, init=False)
    _state: SavedState | None = attrs.field(default=None, init=False)

    @classmethod
    def open(cls, decoder: Decoder, program: Program, path: Path) -> PromptCache:
        """Let the decoder's slot remember what the file holds; a file that is not there, nothing.

        Raises: FileError for a file that is damaged, or of another model, KV type or runtime.
        """
        maker = Maker(program_digest(program), decoder.session.state_form)
        cache = cls(decoder, path, maker)
        if path.exists() or path.is_symlink():
            state = read_state(path, maker)
            positions = decoder.ports.positions
            if len(state.ids) > positions:
                found = f"holds {len(state.ids)} tokens; the context holds {positions} (--ctx)"
                raise FileError(path, found)
            try:
                decoder.restore(state.ids, state.parts)
            except UsageError as error:
                raise FileError(path, str(error)) from error
            cache.held = state.ids
        elif not path.parent.is_dir():
            raise FileError(path, "cannot be written: its folder is not there")
        return cache

    def prepare(self, prompt: Sequence[int], stopped: Callable[[], bool] = lambda: False) -> None:
        """Compute a prompt but for its last token and keep what `write` will write."""
        begin = list(prompt[:-1])
        if not begin or self.held[: len(begin)] == begin:
            return
        known = self.decoder.common(prompt) == len(begin)
        if not known and self.decoder.prefill(begin, stopped=stopped) is None:
            return
        self._wanted, self._state = begin, None
        if not self.decoder.rewinds:  # what comes after could not be taken back
            self.hold()

    def hold(self) -> None:
        """Keep the prompt's states in memory, before the slot forgets them."""
        count = len(self._wanted)
        held = self._state is not None and self._state.ids == self._wanted
        if count and not held and self.decoder.seen[:count] == self._wanted:
            self._state = SavedState(self._wanted, self.decoder.save(count))

    def write(self) -> bool:
        """Write the file if there is a prompt that it does not hold; return whether it did.

        Raises: FileError when the place cannot be written.
        """
        self.hold()
        state = self._state
        if state is None:
            return False
        write_state(self.path, self.maker, state)
        self.held, self._wanted, self._state = state.ids, [], None
        return True
