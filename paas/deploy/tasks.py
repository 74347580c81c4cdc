"""One-off containers: the tasks of a deploy, and `run`."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from paas.context import Context
from paas.deploy.intent import deployed_release
from paas.deploy.limits import oneoff_limits
from paas.engines import Stdio
from paas.errors import CommandFailed, NotFound, PaasError, TaskFailed
from paas.host.pipes import line_pipe
from paas.model.app import App
from paas.model.container import (
    KIND_CRON,
    KIND_RUN,
    KIND_TASK,
    LABEL_APP,
    LABEL_DEADLINE,
    LABEL_KIND,
    LABEL_RELEASE,
    Container,
    ContainerSpec,
)  # fmt: skip
from paas.model.dockeroptions import RUN, apply_options, options_for
from paas.model.process import ProcessType, command_line
from paas.model.release import Release

#: How long a one-off may run, and how long one that has ended can still be looked at. Its log is kept longer.
DEFAULT_TTL_S, KEEP_ENDED_S = 86400, 3600.0


def run_task(ctx: Context, app: App, release: Release, process: ProcessType, *, is_committed: bool = False) -> str:
    """Run a deploy task on the release's image, its output streamed. Raises TaskFailed.

    Returns the image to go on with: if `is_committed` one with what the task changed, else the release's own. A task that
    hangs is stopped (`task-timeout-s`): it must not hold the app's turn for ever.
    """
    _end_abandoned(ctx, app)
    spec = oneoff_spec(ctx, app, release, process, kind=KIND_TASK)
    task, timeout_s, image = f"The {process.name} task of {app.name}", ctx.settings.task_timeout_s, release.image
    try:
        with line_pipe(ctx.output.detail) as descriptor, open(os.devnull) as nothing:
            stdio = Stdio(stdin=nothing.fileno(), stdout=descriptor, stderr=descriptor)
            if is_committed:
                done = ctx.engine.run_and_commit(spec, stdio, timeout_s=timeout_s)
                status, image = done.exit_code, done.image
            else:
                status = ctx.engine.run(spec, stdio, timeout_s=timeout_s)
    except CommandFailed as exc:
        raise TaskFailed(f"{task} was stopped, as it did not end within {timeout_s} s: {process.command}") from exc
    if status != 0:
        raise TaskFailed(f"{task} exited with status {status}: {process.command}")
    return image


def _end_abandoned(ctx: Context, app: App) -> None:
    """End tasks whose command was killed: two migrations must not run at once. The caller holds the app's turn."""
    for container in ctx.engine.list({LABEL_APP: app.name, LABEL_KIND: KIND_TASK}):
        with contextlib.suppress(NotFound):  # the supervisor was quicker
            ctx.engine.remove(container.id, is_forced=True)


def run_oneoff(
    ctx: Context, app_name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None,
    has_terminal: bool = False, stdio: Stdio | None = None, ttl_s: int = DEFAULT_TTL_S,
) -> int:
    """Run a command in a new container of the current release, attached to the caller; return its exit code.

    After `ttl_s` it is stopped.
    """
    app, release = ctx.state.apps.get(app_name), deployed_release(ctx, app_name)
    spec = oneoff_spec(ctx, app, release, named_process(release, command), kind=KIND_RUN, env=env, has_terminal=has_terminal)
    with _stopped_after(ctx, spec.name, ttl_s):
        return ctx.engine.run(spec, stdio)


def run_detached(
    ctx: Context, app_name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None, ttl_s: int = DEFAULT_TTL_S
) -> Container:
    """Start a command in the background in a new container of the current release; the supervisor stops it after `ttl_s`."""
    app, release = ctx.state.apps.get(app_name), deployed_release(ctx, app_name)
    spec = oneoff_spec(ctx, app, release, named_process(release, command), kind=KIND_RUN, env=env, ttl_s=ttl_s)
    spec = replace(spec, keeps_stdin=False, log_path=ctx.paths.oneoff_log(app.name, spec.name))
    container = ctx.engine.create(spec)
    try:
        started = ctx.engine.start(container.id)
        ctx.paths.oneoffs_started.touch()
        return started
    except BaseException:
        ctx.engine.remove(container.id, is_forced=True)
        raise


def oneoffs(ctx: Context, app_name: str) -> tuple[Container, ...]:
    """Return the app's one-off containers that somebody ran, oldest first. Raises NotFound."""
    ctx.state.apps.get(app_name)
    return ctx.engine.list({LABEL_APP: app_name, LABEL_KIND: KIND_RUN})


def stop_oneoff(ctx: Context, container: Container) -> None:
    """Stop and remove a one-off; one that somebody is attached to is removed by his command."""
    with contextlib.suppress(NotFound):  # it has just gone
        ctx.engine.stop(container.id)
        ctx.engine.remove(container.id, is_forced=True)


def reap(ctx: Context) -> None:
    """Remove one-offs that ended a while ago, or whose app is gone."""
    known = {app.name for app in ctx.state.apps.list()}
    for container in ctx.engine.list():
        kind = container.labels.get(LABEL_KIND)
        is_orphan = kind in (KIND_RUN, KIND_CRON) and container.labels.get(LABEL_APP) not in known
        is_old = kind == KIND_RUN and not container.is_running and ctx.now() - _ended_at(container) > KEEP_ENDED_S
        if is_orphan or is_old:
            with contextlib.suppress(NotFound):  # somebody was quicker
                ctx.engine.remove(container.id, is_forced=is_orphan)
            if is_orphan:
                ctx.engine.release_tenant(container.tenant)


def _ended_at(container: Container) -> float:
    return container.finished_at or container.started_at or container.created_at


@contextlib.contextmanager
def _stopped_after(ctx: Context, name: str, ttl_s: int) -> Iterator[None]:
    """Stop the container of that name after so many seconds; leaving is in time."""
    over = threading.Event()

    def stop() -> None:
        over.set()
        with contextlib.suppress(PaasError):  # it has just ended
            ctx.engine.stop(name)

    timer = threading.Timer(ttl_s, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if over.is_set():
            ctx.output.warn(f"It was stopped as it ran longer than {ttl_s} s (--ttl)")


def named_process(release: Release, command: Sequence[str]) -> ProcessType:
    """Return what a one-off runs: a process type when the only word names one, else the words as a shell line."""
    named = release.process(command[0]) if len(command) == 1 else None
    return named or ProcessType(name="run", command=shell_join(command))


def oneoff_spec(
    ctx: Context, app: App, release: Release, process: ProcessType, *, kind: str,
    env: Mapping[str, str] | None = None, has_terminal: bool = False, hostname: str = "", ttl_s: int = 0,
) -> ContainerSpec:
    """Return the container of a one-off: the release's image and config, no routed port; stopped after `ttl_s` (0: never)."""
    name = hostname or f"run.{secrets.randbelow(9000) + 1000}"
    deadline = {LABEL_DEADLINE: str(math.ceil(ctx.now()) + ttl_s)} if ttl_s else {}
    spec = ContainerSpec(
        image=release.image,
        argv=command_line(process, ctx.engine.image_entrypoint(release.image)),
        tenant=app.tenant,
        name=f"{app.name}.{name}.{secrets.token_hex(4)}",
        hostname=name,
        env={
            **release.config, "DYNO": name, "PAAS_APP": app.name, "PAAS_RELEASE": f"v{release.version}",
            **({"TERM": "xterm-256color"} if has_terminal else {}), **(env or {}),
        },
        labels={LABEL_APP: app.name, LABEL_RELEASE: str(release.version), LABEL_KIND: kind, **deadline},
        limits=oneoff_limits(ctx.state.properties.merged(app.name), ctx.settings),
        has_terminal=has_terminal,
        keeps_stdin=True,
    )  # fmt: skip
    return apply_options(spec, options_for(release.properties, RUN))


def shell_join(command: Sequence[str]) -> str:
    """Join words to one shell line; a single word is taken as a shell line of its own (`run app 'ls | wc -l'`)."""
    return command[0] if len(command) == 1 else shlex.join(command)
