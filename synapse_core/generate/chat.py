"""Chat templates: programs from outside, rendered in a process of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from synapse_core.errors import FileError, UsageError
from synapse_core.generate.assets import REFUSED
from synapse_core.generate.model_files import Files, text_of
from synapse_core.generate.special_tokens import token_text

Message = Mapping[str, str]

MOST_TEMPLATE = 256 << 10
# What a template may write of its own; what was said it may write twice beside.
MOST_OUTPUT = 1 << 20
# Rendering takes milliseconds and a few MB, counted from when the worker has started.
CPU_S = 0.5
MEMORY_BYTES = 128 << 20
# Starting Python takes long on a busy machine.
WALL_S = 20
WORKER = Path(__file__).with_name("template_worker.py")
ROLES = ("system", "user", "assistant", "tool")


@attrs.frozen
class ChatTemplate:
    """A model's own way to write a conversation down; `file` is for messages."""

    source: str
    special: Mapping[str, str]
    file: str

    @classmethod
    def of(cls, files: Files, where: str = "") -> ChatTemplate:
        """Find it: `chat_template.jinja`, else `chat_template` of tokenizer_config.json.

        Raises: UsageError when the model has none: a format is never guessed. FileError when it
        is none, or stands in a file whose tokenizer was refused.
        """
        config_name = f"{where}/tokenizer_config.json" if where else "tokenizer_config.json"
        config = _config(text_of(files, "tokenizer_config.json", "{}"), config_name)
        source: str | None
        if "chat_template.jinja" in files:
            source, file = text_of(files, "chat_template.jinja"), f"{where}/chat_template.jinja"
        else:
            source, file = _choose(config.get("chat_template"), config_name), config_name
        if source is None and REFUSED in files:
            raise FileError(where or "tokenizer", text_of(files, REFUSED))
        if source is None:
            raise UsageError(
                f"{where or 'this model'} has no chat template: it was not trained to chat;"
                " continue a text with `synapse run -p TEXT`"
            )
        if len(source) > MOST_TEMPLATE:
            problem = f"{len(source)} characters; at most {MOST_TEMPLATE}"
            raise FileError(file, problem, field="chat_template")
        special = {key: token_text(value) for key, value in config.items() if _is_token(key)}
        return cls(source, {key: text for key, text in special.items() if text}, file)

    def render(self, messages: Sequence[Message], *, add_prompt: bool = True) -> str:
        """Return the conversation as the model's text, up to where its answer begins.

        The template runs sandboxed in a child process with bounded time, memory and output.

        Raises: FileError with the template's line when it fails or exceeds a bound.
        """
        check_messages(messages)
        request = {
            "source": self.source,
            "variables": {
                **self.special,
                "messages": [dict(message) for message in messages],
                "add_generation_prompt": add_prompt,
            },
            "path": sys.path,
            "limits": limits(messages),
        }
        answer = self._ask(json.dumps(request))
        if "text" not in answer:
            line = f" line {answer['line']}" if answer.get("line") else ""
            raise FileError(self.file, str(answer.get("error")), field=f"chat_template{line}")
        text = str(answer["text"])
        try:
            text.encode()
        except UnicodeEncodeError as error:
            problem = f"writes a text that is not Unicode: {error.reason}"
            raise FileError(self.file, problem, field="chat_template") from None
        return text

    def _ask(self, request: str) -> dict[str, Any]:
        """Run the worker; whatever ends it early is a bound it exceeded."""
        import subprocess

        command = [sys.executable, "-I", "-B", str(WORKER)]
        try:
            # A session of its own: Ctrl-C is for us.
            done = subprocess.run(
                command,
                input=request.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=WALL_S,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise self._exceeded(f"more than {WALL_S} s") from None
        if done.returncode != 0:
            raise self._exceeded(f"its process {_ending(done.returncode)}")
        answer = json.loads(done.stdout)
        return answer if isinstance(answer, dict) else {}

    def _exceeded(self, what: str) -> FileError:
        bounds = f"{CPU_S} s of CPU, {MEMORY_BYTES >> 20} MB"
        return FileError(self.file, f"stopped: {what}; its bounds: {bounds}", field="chat_template")


def limits(messages: Sequence[Message]) -> dict[str, Any]:
    """Return what rendering a conversation may take."""
    said = sum(len(message["content"]) for message in messages)
    # A character has four bytes and is there some six times: asked for, kept, written, answered.
    memory = MEMORY_BYTES + 64 * said
    return {"cpu_s": CPU_S, "memory_bytes": memory, "output": MOST_OUTPUT + 2 * said}


def check_messages(messages: Sequence[Message]) -> None:
    """Raise UsageError unless every message has a known role and a text."""
    if not messages:
        raise UsageError("a conversation needs at least one message")
    for number, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES or not isinstance(content, str):
            raise UsageError(
                f"message {number}: role {role!r}, content {type(content).__name__};"
                f" a role is one of {', '.join(ROLES)}, the content a text"
            )
        try:
            content.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"message {number}: its text is not Unicode: {error.reason}") from None


def _config(text: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(name, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise FileError(name, f"found {type(value).__name__}, expected an object")
    return value


def _choose(value: Any, file: str) -> str | None:
    """Take a template, or of several named ones the default."""
    if isinstance(value, list):
        named = [item for item in value if isinstance(item, dict)]
        value = next((n.get("template") for n in named if n.get("name") == "default"), None)
    if value is None or isinstance(value, str):
        return value
    raise FileError(file, f"found {type(value).__name__}, expected a text", field="chat_template")


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        import signal

        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _is_token(key: str) -> bool:
    return key.endswith("_token") and not key.startswith("add_")
