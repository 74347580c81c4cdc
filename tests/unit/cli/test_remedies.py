"""Every command that an error, a page or a script tells people to type is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from paas.cli.root import all_commands

ROOT = Path(__file__).parents[3]
#: `paas topic:verb`, with options of all commands before it.
_TYPED = re.compile(r"(?<![\w/-])paas(?: --?[\w-]+)* ([a-z][a-z-]*:[a-z][a-z-]*)")


def texts() -> Iterator[Path]:
    """Yield the files that people read or are shown lines of."""
    yield from (ROOT / "paas").rglob("*.py")
    yield from (ROOT / "docs").glob("*.md")
    yield from (ROOT / name for name in ("README.md", "vagrant/provision.sh", "hooks/README.md"))
    yield from (file for file in (ROOT / "buildpacks").rglob("*") if file.suffix in ("", ".sh", ".py") and file.is_file())


def test_every_command_named_anywhere_exists() -> None:
    named = {(str(file.relative_to(ROOT)), command) for file in texts() for command in _TYPED.findall(file.read_text())}
    assert len({command for _, command in named}) > 20, "the pattern finds nothing any more"
    assert sorted((file, command) for file, command in named if command not in all_commands()) == []
