"""Source: a tree of files to build, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RefUpdate:
    """One branch or tag that a push wants to move, and who sent it. All zeros: not there before, or not there after."""

    old: str
    new: str
    ref: str
    actor: str

    @property
    def is_delete(self) -> bool:
        return set(self.new) == {"0"}

    @property
    def is_create(self) -> bool:
        return set(self.old) == {"0"}

    @property
    def branch(self) -> str:
        """Return the branch name, or '' when the ref is no branch."""
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checked-out tree. `tree` is owned by the caller, who may delete it after the build."""

    tree: Path
    revision: str = ""
    description: str = ""
