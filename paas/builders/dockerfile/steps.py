"""The steps that make layers: RUN on the engine, COPY and ADD by hand, the directory of WORKDIR.

A layer is looked up by what it is made from: the layers below it, the command or the files, the environment. Only a step
that succeeded is stored, so a killed build leaves nothing that a later one could take for done.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.builders.dockerfile.accounts import find_owner
from paas.builders.dockerfile.agent import lent_agent
from paas.builders.dockerfile.context import FileDigests, digest_entries
from paas.builders.dockerfile.copy import CopyError, CopyOrder, Source, destination_path, find_source, perform_copy
from paas.builders.dockerfile.expand import PROXY_ARGS
from paas.builders.dockerfile.fetch import Remote, check_sources, find_remote
from paas.builders.dockerfile.gitsource import NOBODY
from paas.builders.dockerfile.hosted import HostedStep
from paas.builders.dockerfile.ignore import IgnoreRules, parse_ignore
from paas.builders.dockerfile.instructions import Copy, Run
from paas.builders.dockerfile.mounts import MountSources, prepare_mounts
from paas.builders.dockerfile.order import BuildOrder
from paas.builders.dockerfile.scratch import Scratch
from paas.builders.dockerfile.stage import StageState, run_argv
from paas.builders.dockerfile.tree import LayeredTree
from paas.builders.dockerfile.writer import Attributes, LayerWriter
from paas.engines import BuildStep, Engine
from paas.errors import BuildFailed, CommandFailed
from paas.host.files import disk_problem
from paas.host.run import LastLines
from paas.model.container import NetworkMode
from paas.oci.store import ImageStore

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


#: What a source of COPY or ADD turned out to be.
Found = Remote | tuple[Source, ...]


class LayerSteps:
    """Makes the layers of one build. `origin` finds the tree of a `from=` ('' is the context)."""

    def __init__(
        self, order: BuildOrder, *, store: ImageStore, engine: Engine, hosted: HostedStep, scratch: Scratch,
        origin: Callable[[str], Origin],
    ) -> None:  # fmt: skip
        self._order, self._store, self._engine, self._hosted = order, store, engine, hosted
        self._scratch, self._origin = scratch, origin
        self._digests = FileDigests(order.cache / "digests.json")
        self._deadline = time.monotonic() + order.timeout_s if order.timeout_s else 0.0

    def finish(self) -> None:
        """Keep what the next build can use."""
        self._digests.save()

    def root(self, state: StageState) -> LayeredTree:
        """Return the stage's root file system so far."""
        return LayeredTree(self._directories(state.layers))

    def workdir(self, state: StageState) -> str | None:
        """Return a layer with the working directory, None when it is there already. Raises CopyError."""
        path = state.workdir
        entry = self.root(state).find(path)
        if entry is not None:
            if not entry.is_directory:
                raise CopyError(f"cannot make working directory {path}: it is a file")
            return None
        uid, gid = find_owner(state.config.user, self.root(state)) if state.config.user else (0, 0)
        attributes = Attributes(mode=0o755, uid=uid, gid=gid)
        key = _key("workdir", state.layers, path, uid, gid)
        cached = self._cached(key, quiet=True)
        return cached or self._written(key, state.layers, lambda writer: writer.directory(path, attributes))

    def copy(self, state: StageState, copy: Copy) -> str:
        """Return the layer of COPY or ADD. Raises CopyError."""
        check_sources(copy)
        origin = self._origin(copy.origin)
        excludes = parse_ignore(copy.excludes)
        destination = destination_path(state.workdir, copy.destination)
        owner = find_owner(copy.chown, self.root(state)) if copy.chown else (0, 0) if origin.is_context else None
        with contextlib.ExitStack() as stack:
            found = [self._found(copy, source, origin, stack) for source in copy.sources]
            # A linked layer is the same whatever lies below it.
            below = () if copy.is_linked and not copy.chmod else state.layers
            key = _key(
                "add" if copy.is_add else "copy", below, [self._identity(f, origin, excludes) for f in found], copy.sources,
                destination, owner, copy.chmod, copy.excludes, [(h.name, h.content) for h in copy.heredocs],
                copy.keeps_parents, copy.unpacks, copy.is_linked,
            )  # fmt: skip
            cached = self._cached(key)
            if cached is not None:
                return cached
            order = CopyOrder(
                copy=copy, sources=tuple(source for f in found for source in _brought(f)), destination=destination,
                owner=owner, excludes=excludes, is_immutable=not origin.is_context,
            )  # fmt: skip
            return self._written(key, below, lambda writer: perform_copy(order, writer))

    def run(self, state: StageState, run: Run) -> str:
        """Return the layer of RUN. Raises BuildFailed with the command's last lines, CopyError."""
        argv = run_argv(run, state.shell)
        env = state.scope.run_env()
        key = self._run_key(state, run, argv, env)
        cached = self._cached(key)
        if cached is not None:
            return cached
        if run.network == "host" and not self._order.allows_host_network:
            raise CopyError("network mode host is not allowed: builds have their app's network")
        with contextlib.ExitStack() as stack:
            sources = MountSources(
                tree=lambda name: self._origin(name).tree, caches=self._order.cache / "mounts",
                secrets=self._order.secrets, agents=self._order.agents, scratch=self._scratch, step=stack,
                wait=lambda lock: fcntl.flock(lock, fcntl.LOCK_EX),
            )  # fmt: skip
            prepared = prepare_mounts(run, state.workdir, sources)
            hosted = self._hosted.prepare(state.layers[: state.base_count], state.layers[state.base_count :])
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
            return self._execute(step, run, key)

    def _execute(self, step: BuildStep, run: Run, key: str) -> str:
        said = LastLines(self._order.output.detail)
        where = f"{self._order.dockerfile}:{run.line}"
        try:
            with self._engine.build_step(step, on_line=said, timeout_s=self._time_left(where)) as result:
                if result.exit_code == 0:
                    self._hosted.clean(result.changes)
                    return self._store.adopt_layer(result.changes, content_key=key)
                killed = " (out of memory: the build's memory limit was reached)" if result.is_oom_killed else ""
                status = result.exit_code
        except CommandFailed as exc:
            raise BuildFailed(
                f"{where}: the build did not end within {self._order.timeout_s:.0f} s\n    {run.line} | {run.text}",
                output=said.lines, remedy="make the step faster, or raise build-timeout-s in paas.toml",
            ) from exc  # fmt: skip
        raise BuildFailed(
            f'{where}: "{" ".join(run.text.split())}" did not complete successfully: exit code: {status}{killed}',
            output=said.lines, remedy="change the command and push again",
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
                mounts.append(origin.layers or digest_entries(origin.tree, tops, self._digests, excludes=IgnoreRules()))
            elif mount.kind in ("cache", "secret", "ssh"):
                mounts.append(self._order.tenant.name)  # what one app's secrets made is for no other app
        user = state.config.user
        return _key("run", state.layers, argv, sorted(keyed.items()), user, state.workdir, mounts, run.network)

    def _cached(self, key: str, *, quiet: bool = False) -> str | None:
        layer = self._store.find_layer(key) if self._order.uses_cache else None
        if layer is not None and not quiet:
            self._order.output.detail(" ---> Using cache")
        return layer

    def _written(self, key: str, below: Sequence[str], write: Callable[[LayerWriter], object]) -> str:
        with self._store.new_layer() as pending:
            try:
                write(LayerWriter(pending.diff, self._directories(below)))
            except OSError as exc:
                raise disk_problem(exc, pending.diff) from exc
            return pending.commit(content_key=key)

    def _found(self, copy: Copy, source: str, origin: Origin, stack: contextlib.ExitStack) -> Found:
        """Return where a source is: elsewhere, or in the origin's tree."""

        def agent() -> Path | None:
            known = self._order.agents.get("default")
            return stack.enter_context(lent_agent(known, self._agent_path(), owner=(NOBODY, NOBODY))) if known else None

        remote = find_remote(copy, source, self._scratch.new_directory, agent=agent)
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
        return digest_entries(origin.tree, [source.entry for source in found], self._digests, excludes=excludes)

    def _directories(self, layers: Sequence[str]) -> tuple[Path, ...]:
        return tuple(self._store.layer_dir(layer) for layer in reversed(layers))

    def _time_left(self, where: str) -> float:
        if not self._deadline:
            return 0.0
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise BuildFailed(f"{where}: the build did not end within {self._order.timeout_s:.0f} s",
                              remedy="make it faster, or raise build-timeout-s in paas.toml")
        return left


def _brought(found: Found) -> tuple[Source, ...]:
    return (found.fetch(),) if isinstance(found, Remote) else found


def _key(*parts: object) -> str:
    """Return the content key of a step: one digest of all it depends on."""
    written = json.dumps(parts, sort_keys=True, default=str)
    return f"dockerfile:{hashlib.sha256(written.encode()).hexdigest()}"
