"""Rollout: bring what runs to what a release wants. The only way anything of an app starts or stops.

Order in every workflow: start and probe all that is new → switch the routes → record → let the old go. What dies before the
record is undone by `reconcile` (the old containers still run), what dies after it is finished by `reconcile`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from paas.context import Context
from paas.deploy import hooks, routing, scripts
from paas.deploy.intent import current_deployment, deployment_for
from paas.deploy.queue import container_turn
from paas.deploy.record import mark_failed, note_live
from paas.deploy.stopped import forget_stopped, note_stopped, stopped_first
from paas.errors import NotFound, PaasError, TaskFailed
from paas.host.process import uninterrupted
from paas.model.app import App
from paas.model.container import Container, process_of
from paas.model.process import RELEASE, ProcessId
from paas.model.release import Release
from paas.schedulers import CheckMode, Deployment

#: So many containers are told to stop at once: each may take as long as it likes within its timeout.
STOP_AT_ONCE = 50


def roll_out(ctx: Context, app: App, release: Release, *, on_live: Callable[[], None] | None = None) -> Release:
    """Make the release the current one and do what follows on that. On any error the old release keeps serving."""
    go_live(ctx, app, release, on_live=on_live)
    return follow_up(ctx, app, release)


def go_live(
    ctx: Context, app: App, release: Release, *, on_live: Callable[[], None] | None = None,
    afterwards: Callable[[], None] | None = None,
) -> None:
    """Make the release the current one. All or nothing: on any error the old release keeps serving.

    `on_live` records what changes together with the release, in the same transaction; `afterwards` is done right behind it,
    whoever asks the command to end meanwhile.
    """
    _warn_of_missing_types(ctx, app, release)
    ctx.output.step(f"Deploying {app.name} v{release.version} via the {ctx.scheduler.name} scheduler...")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(container_turn(ctx, app.name, release.cause, is_shared=True))
            switch_to(ctx, deployment_for(ctx, app, release))
            with ctx.output.timed("write all of it to the disk"):
                ctx.engine.flush()  # before the record: what it names must be there after a power cut, too
        except BaseException:
            mark_failed(ctx, release)
            raise
        _record_live(ctx, app, release, on_live, afterwards)


def _warn_of_missing_types(ctx: Context, app: App, release: Release) -> None:
    """Name the process types that were scaled, or that app.json speaks of, and that the release does not have."""
    scaled = {**ctx.state.apps.formation(app.name), **release.app_json.quantities}
    for name, count in scaled.items():
        if count and release.process(name) is None:
            ctx.output.warn(f"Skipping {name} as it is missing from the current Procfile")
    for name in release.app_json.healthchecks:
        if release.process(name) is None:
            ctx.output.warn(f"The healthchecks of {name} check nothing as it is missing from the current Procfile")


def _record_live(
    ctx: Context, app: App, release: Release, on_live: Callable[[], None] | None, afterwards: Callable[[], None] | None
) -> None:
    with uninterrupted(), ctx.output.timed("record the release"):
        with ctx.state.transaction():
            ctx.state.releases.promote(app.name, release.version, ctx.now())
            if on_live is not None:
                on_live()
            ctx.state.apps.set_stopped(app.name, False)
            ctx.state.events.record(app.name, ctx.identity.name, "deploy", f"v{release.version} {release.cause}", ctx.now())
            note_live(ctx, app)
        if afterwards is not None:
            afterwards()


def follow_up(ctx: Context, app: App, release: Release) -> Release:
    """Do what comes after a release went live: postdeploy scripts and hook, and say where it answers."""
    scripts.after_switch(ctx, app, release)
    try:
        with ctx.output.timed("post-deploy hook"):
            hooks.run_hook(ctx, "post-deploy", app.name, f"v{release.version}")
    except TaskFailed as exc:
        ctx.output.warn(f"{exc.message}; v{release.version} is live all the same")
    except KeyboardInterrupt:
        ctx.output.warn(f"Interrupted; v{release.version} is live all the same")
    announce(ctx, app, release)
    return ctx.state.releases.get(app.name, release.version)


def switch_to(ctx: Context, deployment: Deployment) -> tuple[Container, ...]:
    """Start and probe what is missing, then move the routes. On failure only new containers go.

    Of types whose checks are disabled the old containers stop first; on failure they are started anew.
    """
    is_interrupted = _stop_first(ctx, deployment)
    try:
        return _switch_to(ctx, deployment)
    except BaseException:
        if is_interrupted:
            _bring_back(ctx, deployment.app.name)
        raise


def _stop_first(ctx: Context, deployment: Deployment) -> bool:
    """Stop the containers that new ones replace, of types that may not run twice; say whether there were any."""
    old = [
        container for container in ctx.scheduler.obsolete(deployment, deployment.app)
        if container.is_running and deployment.check_mode(process_of(container).type) is CheckMode.DISABLED
    ]  # fmt: skip
    if not old:
        return False
    ctx.output.step(f"Stopping {', '.join(sorted({str(process_of(c)) for c in old}))} first: checks are disabled")
    present = current_deployment(ctx, deployment.app)
    if present is not None:
        note_stopped(ctx, present, {process_of(container) for container in old} & set(present.wanted()))
        gone = {container.id for container in old}
        left = [container for container in ctx.scheduler.serving(present) if container.id not in gone]
        routing.switch(ctx, present.app, present.release, left, present.formation)
    with ctx.output.timed("stop the old containers"):
        stop_containers(ctx, old)
    return True


def _bring_back(ctx: Context, app_name: str) -> None:
    """Start again what was stopped for something that then failed. What cannot be done now, the supervisor tries later."""
    present = current_deployment(ctx, ctx.state.apps.get(app_name))
    if present is None:
        return
    ctx.output.step(f"Starting v{present.release.version} again")
    try:
        _switch_to(ctx, present)
    except PaasError as exc:
        ctx.output.warn(exc.message)
    finally:
        forget_stopped(ctx, present, present.wanted())


def stop_containers(ctx: Context, containers: Sequence[Container]) -> None:
    """Stop and remove containers: SIGTERM to all, SIGKILL to those that do not end in time."""

    def end(container: Container) -> None:
        with contextlib.suppress(NotFound):  # the supervisor was retiring it already
            ctx.engine.remove(ctx.engine.stop(container.id).id)

    if containers:
        with ThreadPoolExecutor(max_workers=min(len(containers), STOP_AT_ONCE), thread_name_prefix="stop") as pool:
            list(pool.map(end, containers))


def _switch_to(ctx: Context, deployment: Deployment) -> tuple[Container, ...]:
    before = {c.id for c in ctx.scheduler.serving(deployment)}
    with ctx.output.timed("start and check the processes"):
        serving = ctx.scheduler.start(deployment, ctx.output)
    try:
        with ctx.output.timed("switch the routes"):
            routing.switch(ctx, deployment.app, deployment.release, serving, deployment.formation)
    except BaseException:
        for container in serving:
            if container.id not in before:
                ctx.engine.remove(container.id, is_forced=True)
        raise
    ctx.output.timing.later("retire what was replaced: the server does it, once its last request is answered")
    return serving


def start_serving(ctx: Context, deployment: Deployment) -> tuple[Container, ...]:
    """Start and probe what is missing, routes untouched."""
    return ctx.scheduler.start(deployment, ctx.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A process that should run and does not.

    `exit_code` is that of its last container; None if there is none, or it was told to stop: then it did not end by itself.
    `was_stopped_first`: a command stopped it for something that has not come about (yet).
    """

    process: ProcessId
    exit_code: int | None
    was_stopped_first: bool = False


def missing(ctx: Context, app: App) -> tuple[Missing, ...]:
    """Return the processes of the current deployment that do not run, or run without anybody who holds them."""
    deployment = current_deployment(ctx, app)
    if deployment is None:
        return ()
    running = _running(ctx, deployment)
    retired = ctx.scheduler.retired()
    last_exit = {
        process_of(c): None if c.id in retired else c.exit_code
        for c in sorted(ctx.scheduler.obsolete(deployment, app), key=lambda c: c.created_at)
        if not c.is_running
    }  # fmt: skip
    ours = stopped_first(ctx, deployment)
    return tuple(
        Missing(process=p, exit_code=last_exit.get(p), was_stopped_first=p in ours)
        for p in deployment.wanted() if p not in running
    )  # fmt: skip


def reconcile(
    ctx: Context, app_name: str, *, only: Collection[ProcessId] | None = None, wait: bool = False
) -> tuple[PaasError, ...]:
    """Bring fact to intent: start what is missing (of `only`), one by one, and route to what runs.

    Unlike a deploy it is not all or nothing: neither a process that cannot start nor a proxy that refuses holds back another
    process; what failed is returned. Raises Conflict when a command holds the app's containers and not `wait`.
    """
    failures: list[PaasError] = []
    with container_turn(ctx, app_name, "reconcile", wait=wait):
        app = ctx.state.apps.find(app_name)
        deployment = current_deployment(ctx, app) if app is not None else None
        if app is None or deployment is None:
            if app is not None:
                _route_to_nothing(ctx, app)
            return ()
        failures += _route(ctx, app, deployment)
        running = _running(ctx, deployment)
        for process in deployment.wanted():
            if process in running or (only is not None and process not in only):
                continue
            try:
                ctx.scheduler.start(replace(deployment, only=frozenset({process})), ctx.output)
            except PaasError as exc:
                failures.append(exc)
                continue
            finally:
                forget_stopped(ctx, deployment, (process,))
            if deployment.routed_ports(process.type):
                failures += _route(ctx, app, deployment)
    return tuple({failure.message: failure for failure in failures}.values())


def announce(ctx: Context, app: App, release: Release) -> None:
    """Say where the app answers."""
    ctx.output.milestone("Application deployed:")
    urls = routing.app_urls(ctx, app.name, release)
    if not any(release.formation.values()):
        name = next((p.name for p in release.processes if p.name != RELEASE), "web")
        ctx.output.detail(f"nothing of {app.name} v{release.version} is scaled to run: paas ps:scale {app.name} {name}=1")
    elif not urls:
        ctx.output.detail(f"{app.name} v{release.version} runs without a web process")
    for url in urls:
        ctx.output.detail(url)


def _running(ctx: Context, deployment: Deployment) -> frozenset[ProcessId]:
    return frozenset(process_of(c) for c in ctx.scheduler.serving(deployment) if c.is_held)


def _route(ctx: Context, app: App, deployment: Deployment) -> tuple[PaasError, ...]:
    """Route to what runs; return what was in the way."""
    try:
        routing.switch(ctx, app, deployment.release, ctx.scheduler.serving(deployment), deployment.formation)
    except PaasError as exc:
        return (exc,)
    return ()


def _route_to_nothing(ctx: Context, app: App) -> None:
    release = ctx.state.releases.current(app.name)
    if release is None:
        ctx.proxy.remove(app.name)
    else:
        routing.switch(ctx, app, release, (), {})
