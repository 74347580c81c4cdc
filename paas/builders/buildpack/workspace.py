"""The directories that a build container sees: the app's tree, config vars as files, and where phases leave their results."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from paas.builders.buildpack.buildpack import TARGET
from paas.model.container import Mount

INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Directories of this host for one build; `owner` is the building user inside."""

    app: Path
    scratch: Path
    buildpacks: Path
    owner: int

    def prepare(self, tree: Path, env: Mapping[str, str]) -> None:
        """Fill them: the tree's files as hard links, each config var as a file that is gone after the build."""
        link_tree(tree, self.app, self.owner)
        (self.scratch / "platform" / "env").mkdir(parents=True)
        self.run.mkdir()
        os.chown(self.run, self.owner, self.owner)
        for name, value in env.items():
            file = self.scratch / "platform" / "env" / name
            file.write_text(value, errors="surrogateescape", newline="")
            file.chmod(0o400)
            os.chown(file, self.owner, self.owner)

    @property
    def run(self) -> Path:
        """Return the directory that phases read their request from and write results to."""
        return self.scratch / "run"

    def request(self, phase: str, document: Mapping[str, object]) -> None:
        """Leave a phase its request."""
        file = self.run / f"{phase}.json"
        file.write_text(json.dumps(document))
        file.chmod(0o444)

    def readable(self, mounts: Iterable[Mount]) -> tuple[Mount, ...]:
        """Return the mounts, with a copy in place of a host's file that the building user, who is not root, could not read."""
        return tuple(self._readable(mount) for mount in mounts)

    def _readable(self, mount: Mount) -> Mount:
        source = mount.source
        if source is None or not source.is_file() or source.stat().st_mode & stat.S_IROTH:
            return mount
        copy = self.scratch / "host" / mount.target.replace("/", "_")
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, copy)
        copy.chmod(0o400)
        os.chown(copy, self.owner, self.owner)
        return replace(mount, source=copy)

    def mounts(self, *, is_read_only: bool) -> tuple[Mount, ...]:
        """Return what the container of a phase sees; `is_read_only` is about the app's tree."""
        return (
            Mount(target="/workspace", source=self.app, is_read_only=is_read_only),
            Mount(target="/platform", source=self.scratch / "platform", is_read_only=True),
            Mount(target="/cnb/run", source=self.run),
            Mount(target="/cnb/lifecycle", source=INSIDE, is_read_only=True),
            Mount(target=TARGET, source=self.buildpacks, is_read_only=True),
        )


def link_tree(source: Path, target: Path, owner: int) -> None:
    """Make `target` hold the same files as `source`, all owned by `owner`: hard links where the filesystem allows.

    The files become one with the source's, whose owner may only delete them from now on.
    """
    target.mkdir(exist_ok=True)
    os.chown(target, owner, owner)
    target.chmod(0o755)
    for entry in os.scandir(source):
        place = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            link_tree(Path(entry.path), place, owner)
            continue
        try:
            os.link(entry.path, place, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
                raise
            shutil.copy2(entry.path, place, follow_symlinks=False)
        os.chown(place, owner, owner, follow_symlinks=False)
