"""What users do with the processes of a deployed app: scale, restart, stop, start, restore. rollout.py does the work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from paas.context import Context
from paas.deploy import routing
from paas.deploy.change import change_release
from paas.deploy.intent import deployed_release, deployment_for, formation_of
from paas.deploy.queue import app_turn
from paas.deploy.rollout import reconcile, stop_containers, switch_to
from paas.errors import Conflict, InvalidInput
from paas.model.app import App
from paas.model.process import RELEASE, ProcessId, parse_process
from paas.model.release import Release, config_diff, frozen_properties


def scale(ctx: Context, app_name: str, changes: Mapping[str, int]) -> Mapping[str, int]:
    """Run so many of each type; returns the whole formation. Recorded once all new ones passed their checks."""
    with app_turn(ctx, app_name, "ps:scale"):
        app = ctx.state.apps.get(app_name)
        release = ctx.state.releases.current(app.name)
        scaled = {**ctx.state.apps.formation(app.name), **changes}
        if release is not None:
            _refuse_declared(app, release)
            _refuse_unknown_types(app, release, [name for name, count in changes.items() if count])
            if not app.is_stopped:
                before = formation_of(release, ctx.state.apps.formation(app.name))
                for name, count in changes.items():
                    if before.get(name, 0) == count:
                        ctx.output.detail(f"{name} is scaled to {count} already")
                    else:
                        ctx.output.step(f"Scaling {app.name} {name} to {count}")
                switch_to(ctx, deployment_for(ctx, app, release, scaled=scaled))
        said = ", ".join(f"{name}={count}" for name, count in changes.items())
        with ctx.state.transaction():
            ctx.state.apps.scale(app.name, changes)
            ctx.state.events.record(app.name, ctx.identity.name, "ps:scale", said, ctx.now())
        return formation_of(release, scaled) if release else scaled


def restart(ctx: Context, app_name: str, targets: Sequence[str] = (), *, at_once: int = 0) -> None:
    """Replace the running processes by new ones: start, check, switch, then the old ones go.

    A target is a process type or one process, `web` or `web.2`; none means all. `at_once` limits how many start together.
    What was set without a restart (config vars, limits) makes a new release, of all processes.
    """
    with app_turn(ctx, app_name, "ps:restart"):
        app, release = ctx.state.apps.get(app_name), deployed_release(ctx, app_name)
        deployment = deployment_for(ctx, replace(app, is_stopped=False), release, at_once=at_once)
        _refuse_unknown_targets(app, release, deployment.formation, targets)
        chosen = tuple(targets) or tuple(p.name for p in release.processes)
        generations = dict(deployment.generations)
        for name in chosen:
            generations[name] = generations.get(name, 0) + 1
        ctx.output.step(f"Restarting {app.name}{' ' + ' '.join(targets) if targets else ''}")
        if _release_anew(ctx, app, release, "ps:restart"):
            return
        _say_what_has_no_process(ctx, app, deployment.formation, targets)
        switch_to(ctx, replace(deployment, generations=generations))
        with ctx.state.transaction():
            ctx.state.apps.bump_generations(app.name, chosen)
            ctx.state.apps.set_stopped(app.name, False)
            ctx.state.events.record(app.name, ctx.identity.name, "ps:restart", " ".join(targets), ctx.now())


def _release_anew(ctx: Context, app: App, release: Release, command: str) -> bool:
    """Roll the release out with what was set since it was made; say whether anything was. A locked app keeps what it has."""
    config = config_diff(release.config, ctx.state.config.merged(app.name))
    shape = config_diff(release.properties, frozen_properties(ctx.state.properties.merged(app.name)))
    if (config or shape) and app.is_locked:
        ctx.output.warn(f"Deploys of {app.name} are locked: what was set meanwhile waits for the next one")
        return False
    if config or shape:
        cause = " ".join((command, *config, *shape))
        change_release(ctx, replace(app, is_stopped=False), lambda: None, cause=cause)
    return bool(config or shape)


def stop(ctx: Context, app_name: str) -> None:
    """Stop all processes, together; the proxy says so to visitors until `start_app`."""
    with app_turn(ctx, app_name, "ps:stop"):
        app, release = ctx.state.apps.get(app_name), deployed_release(ctx, app_name)
        ctx.output.step(f"Stopping {app.name}")
        if app.is_stopped:
            ctx.output.detail(f"{app.name} is stopped already")
        ctx.state.apps.set_stopped(app.name, True)
        routing.switch(ctx, app, release, (), {})
        stop_containers(ctx, ctx.scheduler.obsolete(None, app))
        ctx.state.events.record(app.name, ctx.identity.name, "ps:stop", "", ctx.now())


def start_app(ctx: Context, app_name: str, *, at_once: int = 0) -> None:
    """Start a stopped app; nothing to do for one that runs. What was set meanwhile makes a new release."""
    with app_turn(ctx, app_name, "ps:start"):
        app, release = ctx.state.apps.get(app_name), deployed_release(ctx, app_name)
        ctx.output.step(f"Starting {app.name}")
        if not app.is_stopped:
            ctx.output.detail(f"{app.name} is started already: what is missing is started")
        running = replace(app, is_stopped=False)
        if _release_anew(ctx, app, release, "ps:start"):
            return
        switch_to(ctx, deployment_for(ctx, running, release, at_once=at_once))
        ctx.state.apps.set_stopped(app.name, False)
        ctx.state.events.record(app.name, ctx.identity.name, "ps:start", "", ctx.now())


def restore(ctx: Context, app_name: str) -> None:
    """Start what should run and does not, whatever the restart policy says; a stopped app stays stopped.

    Raises the first failure, after all others were tried.
    """
    ctx.state.apps.get(app_name)
    ctx.output.step(f"Restoring {app_name}")
    failures = reconcile(ctx, app_name, wait=True)
    if failures:
        raise failures[0]


def _say_what_has_no_process(ctx: Context, app: App, formation: Mapping[str, int], targets: Sequence[str]) -> None:
    """Say which of the targets, or whether all of the app, is scaled to 0, where a restart has nothing to do."""
    if not any(formation.values()):
        ctx.output.detail(f"nothing to do: all of {app.name} is scaled to 0")
        return
    for target in targets:
        if not formation.get(target, 1):
            ctx.output.detail(f"nothing to do: {target} is scaled to 0")


def _refuse_declared(app: App, release: Release) -> None:
    if release.app_json.quantities:
        declared = ", ".join(f"{name}={count}" for name, count in release.app_json.quantities.items())
        raise Conflict(
            f"{app.name} has its formation in app.json and cannot be scaled by hand: {declared}",
            remedy="change 'quantity' there and push, or take it out",
        )


def _refuse_unknown_types(app: App, release: Release, types: Collection[str]) -> None:
    known = [p.name for p in release.processes if p.name != RELEASE]
    for name in types:
        if name not in known:
            raise InvalidInput(f"{name} is not a process type of {app.name}", remedy=f"it has: {', '.join(known) or 'none'}")


def _refuse_unknown_targets(app: App, release: Release, formation: Mapping[str, int], targets: Sequence[str]) -> None:
    for target in targets:
        process = parse_process(target)
        _refuse_unknown_types(app, release, [process.type if isinstance(process, ProcessId) else process])
        if isinstance(process, ProcessId) and process.index > formation[process.type]:
            raise InvalidInput(
                f"{app.name} runs {formation[process.type]} of {process.type}: there is no {process}",
                remedy=f"see: paas ps:scale {app.name}",
            )
