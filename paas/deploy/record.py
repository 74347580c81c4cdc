"""The record of a deploy: one line in the ledger from its beginning to its end, and a log of all that it said."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from paas.context import Context
from paas.deploy.retention import prune_deploys
from paas.errors import Cancelled, HostProblem, PaasError
from paas.model.app import App
from paas.model.release import Build, BuildKind, BuildStatus, Release, ReleaseStatus
from paas.output import DETAIL, WARNING, Output


@contextlib.contextmanager
def recorded(ctx: Context, app: App, kind: BuildKind, *, cause: str, revision: str = "") -> Iterator[Build]:
    """Record a deploy while this lasts; the caller holds the app's turn. A request to end it is raised as Cancelled.

    Once its release is live the deploy has succeeded, whatever happens then (`note_live`).
    """
    with ctx.output.timed("record the deploy"):
        close_interrupted(ctx, app)
        build = ctx.state.builds.start(app.name, ctx.identity.name, cause, revision, ctx.now(), kind=kind, pid=os.getpid())
    with deploy_log(ctx.output, ctx.paths.build_log(build.id)) as log:
        try:
            yield build
        except BaseException as exc:
            error = _cancelled(ctx, app, build, exc) or exc
            for line in failure_lines(error):
                log(line)
            status = BuildStatus.CANCELLED if isinstance(error, Cancelled) else BuildStatus.FAILED
            with contextlib.suppress(PaasError):  # the first failure is the one to tell; `close_interrupted` makes up for it
                ctx.state.builds.finish(build.id, status, ctx.now())
                for release in ctx.state.releases.pending(app.name):  # interrupted between its steps
                    mark_failed(ctx, release)
            if error is exc:
                raise
            raise error from exc
        ctx.state.builds.finish(build.id, BuildStatus.SUCCEEDED, ctx.now())
    with ctx.output.timed("forget old deploys"), contextlib.suppress(PaasError):  # it is tried again with the next deploy
        prune_deploys(ctx, app.name)


def note_live(ctx: Context, app: App) -> None:
    """Record that the deploy under way has succeeded: to be called in the transaction that makes its release current."""
    ctx.state.builds.finish_running(app.name, BuildStatus.SUCCEEDED, ctx.now())


def close_interrupted(ctx: Context, app: App) -> None:
    """Close what a dead command left open. The caller holds the app's turn, so nobody works on it."""
    ctx.state.builds.finish_running(app.name, BuildStatus.ABANDONED, ctx.now())
    for release in ctx.state.releases.pending(app.name):
        ctx.state.releases.mark(app.name, release.version, ReleaseStatus.FAILED, ctx.now())


def mark_failed(ctx: Context, release: Release) -> None:
    """Record that a release never served. What failed is the thing to tell, so a full disk here is left to the next deploy."""
    with contextlib.suppress(HostProblem):
        ctx.state.releases.mark(release.app, release.version, ReleaseStatus.FAILED, ctx.now())


@contextlib.contextmanager
def deploy_log(output: Output, file: Path) -> Iterator[Callable[[str], None]]:
    """Copy all progress to the log file while this lasts; yields what writes a line to the file alone.

    A full disk ends the log, not the deploy: what cannot do without room says so itself.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(line: str) -> None:
        with contextlib.suppress(OSError):
            os.write(descriptor, (line + "\n").encode(errors="backslashreplace"))

    output.add_sink(write)
    try:
        yield write
    finally:
        output.remove_sink(write)
        os.close(descriptor)


def failure_lines(exc: BaseException) -> tuple[str, ...]:
    """Return how a failure stands in the deploy's log."""
    if not isinstance(exc, PaasError):
        return (f"{WARNING}{type(exc).__name__}: {exc}",)
    return (*(DETAIL + line for line in exc.output), WARNING + exc.message, DETAIL + exc.remedy)


def _cancelled(ctx: Context, app: App, build: Build, exc: BaseException) -> Cancelled | None:
    """Return the error to show when somebody wanted the deploy to end, else None: whatever broke then broke because of it."""
    with contextlib.suppress(PaasError):
        if isinstance(exc, KeyboardInterrupt) and not exc.args and not ctx.state.builds.get(build.id).canceled_by:
            ctx.state.builds.ask_to_cancel(build.id, ctx.identity.name)  # Ctrl-C, or he hung up and wanted it to end then
        build = ctx.state.builds.get(build.id)
    if build.status is not BuildStatus.RUNNING or not (build.canceled_by or isinstance(exc, KeyboardInterrupt)):
        return None
    how = f"was canceled by {build.canceled_by}" if build.canceled_by else "was interrupted"
    return Cancelled(f"The deploy of {app.name} {how}", remedy="nothing was switched: what served before serves on")
