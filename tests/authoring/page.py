"""The code blocks of a page that have a title: files to write, commands to run."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.M | re.S)
COMMANDS = "run"


@attrs.frozen
class Page:
    """What a page asks its reader to write and to type."""

    files: dict[str, str]
    commands: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> Page:
        """Read a page; a title that is given twice is a fault of it."""
        files: dict[str, str] = {}
        commands: list[str] = []
        for _, title, text in _BLOCK.findall(path.read_text()):
            if title == COMMANDS:
                commands += text.splitlines()
                continue
            assert title not in files, f"{title} is written twice"
            files[title] = text
        return cls(files, tuple(commands))

    def write(self, folder: Path) -> None:
        """Write the files."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


WALK = Page.of(ROOT / "docs" / "write-a-plugin.md")
