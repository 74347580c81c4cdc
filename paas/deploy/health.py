"""Checks of processes that serve: a hung one is replaced, one that is not ready gets no requests until it is.

The supervisor's check loop decides when; `checks:run` asks once. What follows holds the app's containers.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import Enum

from paas.context import Context
from paas.deploy import routing
from paas.deploy.intent import current_deployment
from paas.deploy.queue import container_turn
from paas.errors import Conflict
from paas.model.container import Container, process_of
from paas.model.healthcheck import Healthcheck, HealthcheckType
from paas.schedulers import CheckMode, Deployment

#: Types of checks that are made while a process runs.
RUNNING_TYPES = (HealthcheckType.LIVENESS, HealthcheckType.READINESS)


class Verdict(Enum):
    """What follows from the last outcomes of a check."""

    NOTHING = "nothing"
    REPLACE = "replace"
    TAKE_OUT = "take out"
    PUT_BACK = "put back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a check of one container has found: failures in a row, and whether it was taken out for it."""

    failures: int = 0
    is_out: bool = False


def judge(check: Healthcheck, health: Health, *, is_passed: bool) -> tuple[Health, Verdict]:
    """Return the health after one more outcome, and what follows. Pure."""
    if is_passed:
        return Health(), Verdict.PUT_BACK if health.is_out else Verdict.NOTHING
    failures = health.failures + 1
    if check.is_warning or failures < check.attempts:
        return Health(failures=failures, is_out=health.is_out), Verdict.NOTHING
    if check.type is HealthcheckType.LIVENESS:
        return Health(), Verdict.REPLACE
    return Health(failures=failures, is_out=True), Verdict.NOTHING if health.is_out else Verdict.TAKE_OUT


def is_exhausted(check: Healthcheck, health: Health, *, is_passed: bool) -> bool:
    """Say whether this outcome is the one with which a check has failed for good: not before, and not each time after. Pure."""
    return not is_passed and health.failures + 1 == check.attempts


def is_watched(deployment: Deployment) -> bool:
    """Say whether any process of the deployment is checked while it runs."""
    return any(running_checks(deployment, name) for name, count in deployment.formation.items() if count)


def running_checks(deployment: Deployment, process: str) -> tuple[Healthcheck, ...]:
    """Return the checks that are made of a process type while it runs: none where the user switched them off."""
    if deployment.check_mode(process) is not CheckMode.ENABLED:
        return ()
    return deployment.checks_of(process, *RUNNING_TYPES)


def serving_in_turn(ctx: Context, app_name: str) -> tuple[Deployment, tuple[Container, ...]] | None:
    """Return the app's deployment and what serves of it, None if nothing should. While a command works on the app, some of it may
    still be starting: raises Conflict then."""
    with container_turn(ctx, app_name, "checks", wait=False):
        app = ctx.state.apps.find(app_name)
        deployment = current_deployment(ctx, app) if app is not None else None
        return (deployment, ctx.scheduler.serving(deployment)) if deployment is not None else None


def carry_out(ctx: Context, app_name: str, container: Container, verdict: Verdict, reason: str) -> None:
    """Do what follows. Raises Conflict when a command holds the app's containers: try again after it."""
    with container_turn(ctx, app_name, "checks", wait=False):
        app = ctx.state.apps.find(app_name)
        deployment = current_deployment(ctx, app) if app is not None else None
        if deployment is None or container.id not in {c.id for c in ctx.scheduler.serving(deployment)}:
            return  # it was replaced meanwhile
        if verdict is Verdict.REPLACE:
            with contextlib.suppress(Conflict):  # it has just ended
                ctx.scheduler.retire(container)
        else:
            ctx.scheduler.set_ready(container, verdict is Verdict.PUT_BACK)
        routing.switch(ctx, deployment.app, deployment.release, ctx.scheduler.serving(deployment), deployment.formation)
    said = f"{process_of(container)} {_SAID[verdict]}{f': {reason}' if reason else ''}"
    ctx.state.events.record(app_name, ctx.identity.name, "checks", said, ctx.now())
    ctx.output.warn(f"{app_name}: {said}")


def put_all_back(ctx: Context, app_name: str) -> None:
    """Send requests to all that serves, whatever checks found earlier: they are not made any more. The caller has the turn."""
    deployment = current_deployment(ctx, ctx.state.apps.get(app_name))
    if deployment is None:
        return
    serving = ctx.scheduler.serving(deployment)
    for container in serving:
        ctx.scheduler.set_ready(container, True)
    routing.switch(ctx, deployment.app, deployment.release, serving, deployment.formation)


_SAID = {
    Verdict.REPLACE: "hangs and is replaced", Verdict.TAKE_OUT: "is not ready and gets no requests",
    Verdict.PUT_BACK: "is ready again and gets requests",
}  # fmt: skip
