"""The steps that make layers: RUN on the engine, COPY and ADD by hand, the directory of WORKDIR.

A layer is looked up by what it is made from: the layers below it, the command or the files, the environment (cache.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.builders.dockerfile.accounts import find_owner
from paas.builders.dockerfile.agent import lent_agent
from paas.builders.dockerfile.cache import Say, StepCache, step_key
from paas.builders.dockerfile.context import FileDigests, digest_entries
from paas.builders.dockerfile.copy import CopyError, CopyOrder, Source, destination_path, find_source, perform_copy
from paas.builders.dockerfile.execution import Execution
from paas.builders.dockerfile.expand import PROXY_ARGS
from paas.builders.dockerfile.fetch import Remote, find_remote
from paas.builders.dockerfile.gitsource import NOBODY
from paas.builders.dockerfile.hosted import HostedStep
from paas.builders.dockerfile.ignore import IgnoreRules, parse_ignore
from paas.builders.dockerfile.instructions import Copy, Run
from paas.builders.dockerfile.mounts import MountSources, prepare_mounts
from paas.builders.dockerfile.order import BuildOrder
from paas.builders.dockerfile.scratch import Scratch
from paas.builders.dockerfile.stage import StageState, run_argv
from paas.builders.dockerfile.tree import LayeredTree
from paas.builders.dockerfile.validators import Validators
from paas.builders.dockerfile.writer import Attributes
from paas.engines import BuildStep
from paas.model.container import NetworkMode

_NETWORKS: Mapping[str, NetworkMode] = {
    "default": NetworkMode.TENANT, "none": NetworkMode.NONE, "host": NetworkMode.HOST,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where COPY --from and bind mounts take files from: a tree, and the layers it is made of; the context has none."""

    tree: LayeredTree
    layers: tuple[str, ...] | None = None

    @property
    def is_context(self) -> bool:
        return self.layers is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What all stages of one build share. Used from several threads."""

    order: BuildOrder
    cache: StepCache
    execution: Execution
    hosted: HostedStep
    scratch: Scratch
    digests: FileDigests


#: What a source of COPY or ADD turned out to be.
Found = Remote | tuple[Source, ...]


class LayerSteps:
    """Makes the layers of one stage. `origin` finds the tree of a `from=` ('' is the context), `say` tells the user."""

    def __init__(self, bench: Workbench, *, origin: Callable[[str], Origin], say: Say) -> None:
        self._bench, self._order, self._cache, self._scratch = bench, bench.order, bench.cache, bench.scratch
        self._origin, self._say = origin, say

    def root(self, state: StageState) -> LayeredTree:
        """Return the stage's root file system so far."""
        return LayeredTree(self._cache.directories(state.layers))

    def workdir(self, state: StageState) -> str | None:
        """Return a layer with the working directory, None when it is there already. Raises CopyError."""
        path, root = state.workdir, self.root(state)
        entry = root.find(path)
        if path == "/" or (entry is not None and entry.is_directory):
            return None
        if entry is not None:
            raise CopyError(f"cannot make working directory {path}: it is a file")
        uid, gid = 0, 0
        with contextlib.suppress(CopyError):  # a user that the image does not know yet is root here, as to Docker
            uid, gid = find_owner(state.config.user or "0", root)
        attributes = Attributes(mode=0o755, uid=uid, gid=gid)
        key = step_key("workdir", state.layers, path, uid, gid)

        def make() -> str:
            return self._cache.write(key, state.layers, lambda writer: writer.directory(path, attributes))

        return self._cache.once(key, make, self._say, quiet=True)

    def copy(self, state: StageState, copy: Copy) -> str:
        """Return the layer of COPY or ADD. Raises CopyError."""
        origin = self._origin(copy.origin)
        excludes = parse_ignore(pattern for pattern in copy.excludes if not pattern.startswith("/"))  # those match nothing
        destination = destination_path(state.workdir, copy.destination)
        owner = find_owner(copy.chown, self.root(state)) if copy.chown else (0, 0) if origin.is_context else None
        with contextlib.ExitStack() as stack:
            found = [self._found(copy, source, origin, stack) for source in copy.sources]
            counted = IgnoreRules() if copy.keeps_parents else excludes  # there they are not relative to a source
            # A linked layer is the same whatever lies below it.
            below = () if copy.is_linked and not copy.chmod else state.layers
            key = step_key(
                "add" if copy.is_add else "copy", below, [self._identity(f, origin, counted) for f in found], copy.sources,
                destination, owner, copy.chmod, copy.excludes, [(h.name, h.content) for h in copy.heredocs],
                copy.keeps_parents, copy.unpacks, copy.is_linked,
            )  # fmt: skip

            def make() -> str:
                order = CopyOrder(
                    copy=copy, sources=tuple(source for f in found for source in _brought(f)), destination=destination,
                    owner=owner, excludes=excludes, is_immutable=not origin.is_context,
                )  # fmt: skip
                return self._cache.write(key, below, lambda writer: perform_copy(order, writer))

            return self._cache.once(key, make, self._say)

    def run(self, state: StageState, run: Run) -> str:
        """Return the layer of RUN. Raises BuildFailed with the command's last lines, CopyError."""
        if run.network == "host" and not self._order.allows_host_network:
            raise CopyError("network mode host is not allowed: builds have their app's network")
        argv, env = run_argv(run, state.shell), state.scope.run_env()
        key = self._run_key(state, run, argv, env)

        def make() -> str:
            self._cache.hold(state.layers)  # raises NotFound rather than that the kernel finds one missing
            with contextlib.ExitStack() as stack:
                prepared = prepare_mounts(run, state.workdir, self._mount_sources(stack))
                base = state.base_count
                hosted = self._bench.hosted.prepare(state.layers[:base], state.layers[base:])
                step = BuildStep(
                    layers=hosted.layers,
                    argv=argv,
                    env={**hosted.env, **env, **prepared.env},
                    user=state.config.user,
                    workdir=state.workdir,
                    mounts=(*hosted.mounts, *prepared.mounts),
                    network=_NETWORKS[run.network],
                    limits=self._order.limits,
                    tenant=self._order.tenant,
                )
                return self._bench.execution.run(step, run, hosted, key, self._say)

        return self._cache.once(key, make, self._say)

    def _mount_sources(self, stack: contextlib.ExitStack) -> MountSources:
        return MountSources(
            tree=lambda name: self._origin(name).tree, caches=self._order.cache / "mounts", secrets=self._order.secrets,
            agents=self._order.agents, scratch=self._scratch, step=stack, wait=self._cache.control.lock,
        )  # fmt: skip

    def _run_key(self, state: StageState, run: Run, argv: Sequence[str], env: Mapping[str, str]) -> str:
        declared = {**state.scope.args, **state.scope.env}
        keyed = {name: value for name, value in env.items() if name in declared or name not in PROXY_ARGS}
        mounts: list[object] = []
        for mount in run.mounts:
            mounts.append(repr(mount))
            if mount.kind == "bind":
                origin = self._origin(mount.origin)
                top = origin.tree.find(mount.source or "/") if origin.is_context else None
                tops = (top,) if top is not None else ()
                digests = self._bench.digests
                mounts.append(origin.layers or digest_entries(origin.tree, tops, digests, excludes=IgnoreRules()))
            elif mount.kind in ("cache", "secret", "ssh"):
                mounts.append(self._order.tenant.name)  # what one app's secrets made is for no other app
        user = state.config.user
        return step_key("run", state.layers, argv, sorted(keyed.items()), user, state.workdir, mounts, run.network)

    def _found(self, copy: Copy, source: str, origin: Origin, stack: contextlib.ExitStack) -> Found:
        """Return where a source is: elsewhere, or in the origin's tree."""

        def agent() -> Path | None:
            known = self._order.agents.get("default")
            return stack.enter_context(lent_agent(known, self._agent_path(), owner=(NOBODY, NOBODY))) if known else None

        validators = Validators(self._order.cache / "downloads", is_asked=self._order.uses_cache)
        remote = find_remote(copy, source, self._scratch.new_directory, validators=validators, agent=agent)
        if remote is not None:
            return remote
        return find_source(source, origin.tree, keeps_parents=copy.keeps_parents)

    def _agent_path(self) -> Path:
        directory = self._scratch.new_directory()
        directory.chmod(0o711)
        return directory / "agent"

    def _identity(self, found: Found, origin: Origin, excludes: IgnoreRules) -> object:
        """Return what changes with the content of a source."""
        if isinstance(found, Remote):
            return found.identity
        if origin.layers is not None:
            return origin.layers
        return digest_entries(origin.tree, [source.entry for source in found], self._bench.digests, excludes=excludes)


def _brought(found: Found) -> tuple[Source, ...]:
    return (found.fetch(),) if isinstance(found, Remote) else found
