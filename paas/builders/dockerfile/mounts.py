"""RUN --mount: what a build step sees besides its layers. Nothing of it ends in the layer.

Source: Dockerfile reference, "RUN --mount".
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from paas.builders.dockerfile.agent import lent_agent
from paas.builders.dockerfile.copy import CopyError
from paas.builders.dockerfile.instructions import Run, RunMount
from paas.builders.dockerfile.scratch import Scratch
from paas.builders.dockerfile.stage import workdir_path
from paas.builders.dockerfile.tree import LayeredTree
from paas.builders.dockerfile.writer import LayerWriter, attributes_of
from paas.host.caches import claim, make_cache, open_lock, share
from paas.model.container import Mount

#: What the kernel shows here is no place for files.
_KERNEL_TREES = ("/proc/", "/sys/", "/dev/")
_AGENT_TARGET = "/run/buildkit/ssh_agent."


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMounts:
    """The mounts of one RUN and the variables that secrets and agents give it."""

    mounts: tuple[Mount, ...]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSources:
    """Where mounts come from: trees by `from=` ('' is the context), the app's caches, its config vars, SSH agents.

    `step` holds what lasts as long as the step: locks and sockets. `wait` takes a lock that another step may hold.
    """

    tree: Callable[[str], LayeredTree]
    caches: Path
    secrets: Mapping[str, str]
    agents: Mapping[str, Path]
    scratch: Scratch
    step: contextlib.ExitStack
    wait: Callable[[int], None]


def prepare_mounts(run: Run, workdir: str, sources: MountSources) -> StepMounts:
    """Make the mounts of one RUN ready. Raises CopyError for a source that is not there."""
    mounts: list[Mount] = []
    env: dict[str, str] = {}
    caches = _take_caches(run, workdir, sources)
    for asked in run.mounts:
        target = workdir_path(workdir, asked.target)
        if asked.target and (target == "/" or f"{target}/".startswith(_KERNEL_TREES)):
            raise CopyError(f'invalid mount target "{target}"')
        if asked.kind == "bind":
            mounts.append(_bind(asked, target, sources))
        elif asked.kind == "cache":
            mounts.append(_cache(asked, target, caches[_cache_name(asked, workdir)], sources))
        elif asked.kind == "tmpfs":
            mounts.append(Mount(target=target, size_bytes=asked.size_bytes))
        elif asked.kind == "secret":
            _add_secret(asked, workdir, sources, mounts, env)
        elif asked.kind == "ssh":
            _add_agent(asked, workdir, sources, mounts, env)
    return StepMounts(mounts=tuple(mounts), env=env)


def copy_tree(tree: LayeredTree, path: str, target: Path, *, links: bool = False) -> None:
    """Copy a directory of a tree as one plain directory; with `links` files become second names, for reading only."""
    writer = LayerWriter(target, ())
    base = len(path) + 1 if path else 0
    for entry in tree.walk(path):
        if entry.is_directory:
            writer.directory(entry.path[base:], attributes_of(entry))
        else:
            writer.copy(entry, entry.path[base:], attributes_of(entry), links=links)
    writer.finish()


def _bind(asked: RunMount, target: str, sources: MountSources) -> Mount:
    tree = sources.tree(asked.origin)
    entry = tree.find(asked.source or "/")
    if entry is None:
        raise CopyError(f'"/{asked.source.lstrip("/")}": not found')
    on_disk = tree.sole_directory(entry.path)
    if asked.is_read_only and on_disk is not None:
        return Mount(target=target, source=on_disk, is_read_only=True)
    copied = sources.scratch.new_directory()
    copied.chmod(0o755)
    if entry.is_directory:
        copy_tree(tree, entry.path, copied, links=asked.is_read_only and bool(asked.origin))  # layers never change
    else:
        name = posixpath.basename(entry.path)
        LayerWriter(copied, ()).copy(entry, name, attributes_of(entry))
        copied = copied / name
    return Mount(target=target, source=copied, is_read_only=asked.is_read_only)


def _take_caches(run: Run, workdir: str, sources: MountSources) -> dict[str, Path]:
    """Lock the caches of one RUN as they ask for it; return their directories by name.

    All locks are taken before the step, in the same order by all: no two steps wait for each other.
    """
    asked = {_cache_name(m, workdir): m.sharing for m in run.mounts if m.kind == "cache"}
    taken: dict[str, Path] = {}
    for name, sharing in sorted(asked.items()):
        directory = sources.caches / name
        if sharing == "private":
            directory = _free_cache(sources, name)
        elif sharing == "locked":
            sources.wait(open_lock(directory, sources.step))
        else:
            share(open_lock(directory, sources.step))
        taken[name] = directory
    return taken


def _free_cache(sources: MountSources, name: str) -> Path:
    """Return the first cache directory of this name that no other step has; it is this step's until it ends."""
    number = 0
    while True:
        directory = sources.caches / (f"{name}.{number}" if number else name)
        if claim(open_lock(directory, sources.step)):
            return directory
        number += 1


def _cache_name(asked: RunMount, workdir: str) -> str:
    return hashlib.sha256((asked.id or workdir_path(workdir, asked.target)).encode()).hexdigest()[:32]


def _cache(asked: RunMount, target: str, directory: Path, sources: MountSources) -> Mount:
    def fill(fresh: Path) -> None:
        if asked.origin:
            tree = sources.tree(asked.origin)
            copy_tree(tree, tree.resolve(asked.source or "/"), fresh)
        os.chown(fresh, asked.uid, asked.gid)
        fresh.chmod(int(asked.mode or "755", 8))

    if not directory.is_dir():
        make_cache(directory, fill)
    return Mount(target=target, source=directory, is_read_only=asked.is_read_only)


def _add_agent(asked: RunMount, workdir: str, sources: MountSources, mounts: list[Mount], env: dict[str, str]) -> None:
    """Lend an SSH agent to this one step; the first one is also named by SSH_AUTH_SOCK."""
    agent = sources.agents.get(asked.id or "default")
    if agent is None:
        if asked.is_required:
            raise CopyError(f'no SSH key "{asked.id or "default"}" forwarded from the client. '
                            "Start an agent and build with: paas image:build --ssh default")
        return
    socket = sources.scratch.new_socket()
    sources.step.enter_context(lent_agent(agent, socket, owner=(asked.uid, asked.gid), mode=int(asked.mode or "600", 8)))
    count = sum(mount.target.startswith(_AGENT_TARGET) for mount in mounts)
    target = workdir_path(workdir, asked.target or f"{_AGENT_TARGET}{count}")
    mounts.append(Mount(target=target, source=socket, is_read_only=True))
    env.setdefault("SSH_AUTH_SOCK", target)


def _add_secret(
    asked: RunMount, workdir: str, sources: MountSources, mounts: list[Mount], env: dict[str, str]
) -> None:
    """Give a config var of the app to this one step, as a file, a variable or both; one that is not set is an empty variable."""
    name = asked.id or posixpath.basename(asked.target) or asked.env
    value = sources.secrets.get(name)
    if value is None:
        if asked.is_required:
            raise CopyError(f"secret {name}: not found. Set it with: paas config:set <app> {name}=..., or for image:build "
                            f"with: --secret id={name},src=FILE")
        if asked.env:
            env[asked.env] = ""
        return
    if asked.env:
        env[asked.env] = value
    if asked.target or not asked.env:
        file = sources.scratch.new_secret()
        file.write_bytes(value.encode("utf-8", "surrogateescape"))
        os.chown(file, asked.uid, asked.gid)
        file.chmod(int(asked.mode or "400", 8))
        target = workdir_path(workdir, asked.target or f"/run/secrets/{name}")
        mounts.append(Mount(target=target, source=file, is_read_only=True))
