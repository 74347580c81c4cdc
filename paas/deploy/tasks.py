"""One-off containers: the tasks of a deploy, and `run`."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from paas.context import Context
from paas.deploy.intent import deployed_release
from paas.deploy.limits import oneoff_limits
from paas.engines import Stdio
from paas.errors import CommandFailed, TaskFailed
from paas.host.pipes import line_pipe
from paas.model.app import App
from paas.model.container import KIND_RUN, KIND_TASK, LABEL_APP, LABEL_KIND, LABEL_RELEASE, Container, ContainerSpec
from paas.model.process import ProcessType, command_line
from paas.model.release import Release


def run_task(ctx: Context, app: App, release: Release, process: ProcessType, *, is_committed: bool = False) -> str:
    """Run a deploy task on the release's image, its output streamed. Raises TaskFailed.

    Returns the image to go on with: if `is_committed` one with what the task changed, else the release's own. A task that
    hangs is stopped (`task-timeout-s`): it must not hold the app's turn for ever.
    """
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


def run_oneoff(
    ctx: Context, app_name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None,
    has_terminal: bool = False, stdio: Stdio | None = None,
) -> int:
    """Run a command in a new container of the current release, attached to the caller; return its exit code."""
    app, release = ctx.state.apps.get(app_name), deployed_release(ctx, app_name)
    spec = oneoff_spec(ctx, app, release, _process(release, command), kind=KIND_RUN, env=env, has_terminal=has_terminal)
    return ctx.engine.run(spec, stdio)


def run_detached(ctx: Context, app_name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Container:
    """Start a command in the background in a new container of the current release."""
    app, release = ctx.state.apps.get(app_name), deployed_release(ctx, app_name)
    spec = oneoff_spec(ctx, app, release, _process(release, command), kind=KIND_RUN, env=env)
    spec = replace(spec, keeps_stdin=False, log_path=ctx.paths.app_logs(app.name) / "run" / f"{spec.name}.log")
    return ctx.engine.start(ctx.engine.create(spec).id)


def _process(release: Release, command: Sequence[str]) -> ProcessType:
    """Return what a one-off runs: a process type when the only word names one, else the words as a shell line."""
    named = release.process(command[0]) if len(command) == 1 else None
    return named or ProcessType(name="run", command=shell_join(command))


def oneoff_spec(
    ctx: Context, app: App, release: Release, process: ProcessType, *, kind: str,
    env: Mapping[str, str] | None = None, has_terminal: bool = False,
) -> ContainerSpec:
    """Return the container of a one-off: the release's image and config, no routed port."""
    name = f"run.{secrets.randbelow(9000) + 1000}"
    return ContainerSpec(
        image=release.image,
        argv=command_line(process, ctx.engine.image_entrypoint(release.image)),
        tenant=app.tenant,
        name=f"{app.name}.{name}.{secrets.token_hex(4)}",
        hostname=name,
        env={
            **release.config, "DYNO": name, "PAAS_APP": app.name, "PAAS_RELEASE": f"v{release.version}",
            **({"TERM": "xterm-256color"} if has_terminal else {}), **(env or {}),
        },
        labels={LABEL_APP: app.name, LABEL_RELEASE: str(release.version), LABEL_KIND: kind},
        limits=oneoff_limits(ctx.state.properties.merged(app.name), ctx.settings),
        has_terminal=has_terminal,
        keeps_stdin=True,
    )  # fmt: skip


def shell_join(command: Sequence[str]) -> str:
    """Join words to one shell line; a single word is taken as a shell line of its own (`run app 'ls | wc -l'`)."""
    return command[0] if len(command) == 1 else shlex.join(command)
