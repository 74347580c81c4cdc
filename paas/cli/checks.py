"""`checks:*`: how new processes are checked before they serve, and old ones retired."""

from __future__ import annotations

import click

from paas.cli.common import report_command
from paas.cli.properties import report_of, set_command
from paas.context import Context
from paas.deploy import health
from paas.deploy.intent import current_deployment, deployed_release
from paas.deploy.queue import app_turn
from paas.errors import Conflict, DeployFailed, InvalidInput
from paas.model.container import Container, process_of
from paas.model.healthcheck import Healthcheck, HealthcheckKind, HealthcheckType
from paas.model.process import parse_process
from paas.schedulers import ALL_TYPES, Deployment

_LISTS = ("disabled", "skipped")


def _mode_command(verb: str, chosen: str, said: str, doc: str) -> click.Command:
    """Return `checks:disable`, `checks:skip` or `checks:enable`: puts process types into one list and out of the others."""

    @click.command(f"checks:{verb}", help=doc)
    @click.argument("app")
    @click.argument("types", nargs=-1, metavar="[TYPE]...")
    @click.pass_obj
    def command(ctx: Context, app: str, types: tuple[str, ...]) -> None:
        ctx.state.apps.get(app)
        _refuse_unknown(ctx, app, types)
        with app_turn(ctx, app, f"checks:{verb}"), ctx.state.transaction():
            for name in _LISTS:
                before = _listed(ctx, app, name)
                after = _with(before, types) if name == chosen else _without(ctx, app, before, types)
                ctx.state.properties.set(app, "checks", name, ",".join(after))
            ctx.state.events.record(app, ctx.identity.name, f"checks:{verb}", " ".join(types), ctx.now())
            if chosen:
                health.put_all_back(ctx, app)
        ctx.output.step(f"{said} for {app}'s {' '.join(types) or 'processes'}")

    return command


def _listed(ctx: Context, app: str, name: str) -> tuple[str, ...]:
    return tuple(filter(None, ctx.state.properties.get(app, "checks").get(name, "").split(",")))


def _with(before: tuple[str, ...], types: tuple[str, ...]) -> tuple[str, ...]:
    return (ALL_TYPES,) if not types or ALL_TYPES in before else tuple(dict.fromkeys((*before, *types)))


def _without(ctx: Context, app: str, before: tuple[str, ...], types: tuple[str, ...]) -> tuple[str, ...]:
    """Return the list without these types; one that held all types holds the others then."""
    if not types or not before:
        return ()
    release = ctx.state.releases.current(app)
    if ALL_TYPES in before:
        before = tuple(process.name for process in release.processes) if release else ()
    return tuple(name for name in before if name not in types)


def _refuse_unknown(ctx: Context, app: str, types: tuple[str, ...]) -> None:
    release = ctx.state.releases.current(app)
    for name in types:
        parsed = parse_process(name)
        if not isinstance(parsed, str) or (release is not None and release.process(name) is None):
            known = ", ".join(process.name for process in release.processes) if release else "none yet"
            raise InvalidInput(f"{name} is not a process type of {app}", remedy=f"it has: {known}")


@click.command("checks:run")
@click.argument("app")
@click.argument("targets", nargs=-1, metavar="[TYPE|TYPE.N]...")
@click.pass_obj
def run(ctx: Context, app: str, targets: tuple[str, ...]) -> None:
    """Make the checks of what runs now, once each, and say how they went."""
    wanted = {str(parse_process(target)) for target in targets}
    deployed_release(ctx, app)
    deployment = current_deployment(ctx, ctx.state.apps.get(app))
    serving = ctx.scheduler.serving(deployment) if deployment is not None else ()
    chosen = [c for c in serving if not wanted or {str(process_of(c)), process_of(c).type} & wanted]
    if deployment is None or not chosen:
        raise Conflict(f"No such process of {app} runs", remedy=f"see: paas ps:report {app}")
    ctx.output.step(f"Running checks for {app}")
    failed = [container for container in chosen if not _passes(ctx, deployment, container)]
    if failed:
        names = ", ".join(str(process_of(container)) for container in failed)
        raise DeployFailed(f"{names} of {app} failed checks", remedy=f"see: paas logs {app}")
    ctx.output.step("All checks successful")


def _passes(ctx: Context, deployment: Deployment, container: Container) -> bool:
    process, is_passed = process_of(container), True
    for check in _checks(deployment, process.type):
        result = ctx.scheduler.check(deployment, container, check)
        title = check.name or f"{check.type} {check.kind}{f' {check.path}' if check.kind is HealthcheckKind.PATH else ''}"
        ctx.output.detail(f"{process} {title}: {result.problem or 'ok'}{' (only warns)' if check.is_warning else ''}")
        if not result.is_passed:
            for line in ctx.scheduler.act_on_failure(deployment, container, check, result.problem):
                ctx.output.detail(line)
        is_passed &= result.is_passed or check.is_warning
    return is_passed


def _checks(deployment: Deployment, process: str) -> tuple[Healthcheck, ...]:
    """Return the checks of a type, by default that it listens, or that it is up."""
    own = deployment.checks_of(process, *HealthcheckType)
    if own:
        return own
    is_routed = bool(deployment.routed_ports(process))
    kind = HealthcheckKind.LISTENING if is_routed else HealthcheckKind.UPTIME
    return (Healthcheck(kind=kind, uptime_s=1.0),)


def _report(ctx: Context, app: str) -> dict[str, str]:
    release = ctx.state.releases.current(app)
    deployment = current_deployment(ctx, ctx.state.apps.get(app))
    unready = ctx.scheduler.unready() if deployment is not None and health.is_watched(deployment) else frozenset()
    out = [c for c in (ctx.scheduler.serving(deployment) if deployment is not None and unready else ()) if c.id in unready]
    return {
        **{f"checks-{name}-list": ",".join(_listed(ctx, app, name)) or "none" for name in _LISTS},
        "checks-defined": " ".join(
            f"{name}={len(checks)}" for name, checks in (release.app_json.healthchecks if release else {}).items()
        ),
        "checks-not-ready": " ".join(str(process_of(container)) for container in out),
        **report_of(ctx, "checks", app),
    }


COMMANDS: tuple[click.Command, ...] = (
    _mode_command("disable", "disabled", "Disabled zero downtime", "Stop old processes before new ones start, unchecked."),
    _mode_command("skip", "skipped", "Skipping checks", "Let new processes serve unchecked as soon as they are started."),
    _mode_command("enable", "", "Enabled checks", "Check new processes before they serve and old ones go."),
    run, set_command("checks"),
    report_command("checks", "Show how the app's processes are checked.", _report),
)  # fmt: skip
