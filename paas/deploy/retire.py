"""Retirement: what no longer serves is drained, told to stop, killed when it does not, and removed.

Held by the supervisor; it never waits, so one slow container delays nobody.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import Enum

from paas.context import Context
from paas.deploy.intent import current_deployment
from paas.deploy.queue import container_turn
from paas.errors import Conflict, NotFound
from paas.model.container import KIND_PROCESS, LABEL_APP, LABEL_KIND, LABEL_RELEASE, LABEL_TYPE, Container, process_of
from paas.model.route import Upstream
from paas.schedulers import LABEL_GENERATION, Deployment

#: Requests of a connection that was just picked are counted a moment later: drained means zero twice, this far apart.
QUIET_S = 0.25


class Action(Enum):
    """What to do next with a retiring container."""

    WAIT = "wait"
    TERMINATE = "terminate"
    REMOVE = "remove"


@dataclass(slots=True, kw_only=True)
class Retiring:
    """One container on its way out; times in epoch seconds, 0 when it has not come to that."""

    container: Container
    ports: tuple[int, ...]
    since: float
    wait_to_retire_s: float
    stop_timeout_s: float
    quiet_since: float = 0.0
    terminated_at: float = 0.0


def next_action(retiring: Retiring, *, now: float, is_running: bool) -> Action:
    """Decide. Pure."""
    if not is_running:
        return Action.REMOVE
    if retiring.terminated_at:
        return Action.REMOVE if now - retiring.terminated_at >= retiring.stop_timeout_s else Action.WAIT
    is_drained = retiring.quiet_since > 0 and now - retiring.quiet_since >= QUIET_S
    if is_drained or now - retiring.since >= retiring.wait_to_retire_s:
        return Action.TERMINATE
    return Action.WAIT


def is_unrecorded(container: Container, deployment: Deployment | None) -> bool:
    """Say whether an obsolete container is newer than the record: its command died, or gave up, after it had switched to it.

    Then the routes lead to it, and must be brought back before it stops. Pure.
    """
    if deployment is None:
        return True
    process, version = process_of(container), int(container.labels.get(LABEL_RELEASE, "0"))
    if version != deployment.release.version:
        return version > deployment.release.version
    generation = int(container.labels.get(LABEL_GENERATION, "0"))
    is_extra = process.index > deployment.formation.get(process.type, 0)
    return is_extra or generation > deployment.generation_of(process)


class Retirement:
    """All containers on their way out."""

    def __init__(self) -> None:
        self._retiring: dict[str, Retiring] = {}

    def adopt(self, ctx: Context, app_name: str) -> bool:
        """Take over what the app no longer wants; say whether routes may still lead to some of it (see `is_unrecorded`).

        Raises Conflict when a command holds the app's containers: call again after it.
        """
        with container_turn(ctx, app_name, "retire", wait=False):
            app = ctx.state.apps.find(app_name)
            if app is None:
                return False
            deployment = current_deployment(ctx, app)
            properties = ctx.state.properties.merged(app_name)
            wait_s = float(properties.get("checks.wait-to-retire", ctx.settings.wait_to_retire_s))
            stop_s = float(properties.get("ps.stop-timeout-seconds", ctx.settings.stop_timeout_s))
            found = [c for c in ctx.scheduler.obsolete(deployment, app) if c.id not in self._retiring]
            for container in found:
                self._retiring[container.id] = Retiring(
                    container=container,
                    ports=deployment.routed_ports(container.labels.get(LABEL_TYPE, "")) if deployment is not None else (),
                    since=ctx.now(),
                    wait_to_retire_s=wait_s,
                    stop_timeout_s=stop_s,
                )
        return any(container.is_running and is_unrecorded(container, deployment) for container in found)

    def adopt_orphans(self, ctx: Context) -> None:
        """Take over process containers whose app is gone, but not those of a name that `apps:rename` is about to give."""
        known = {app.name for app in ctx.state.apps.list()}
        for container in ctx.engine.list({LABEL_KIND: KIND_PROCESS}):
            app_name = container.labels.get(LABEL_APP, "")
            if app_name in known or container.id in self._retiring:
                continue
            with contextlib.suppress(Conflict), container_turn(ctx, app_name, "retire", wait=False):
                if ctx.state.apps.find(app_name) is None:
                    self._retiring[container.id] = Retiring(
                        container=container, ports=(), since=ctx.now(), wait_to_retire_s=0,
                        stop_timeout_s=ctx.settings.stop_timeout_s,
                    )  # fmt: skip

    def step(self, ctx: Context) -> bool:
        """Do what is due for each; say whether any are left."""
        for retiring in list(self._retiring.values()):
            self._step_one(ctx, retiring)
        return bool(self._retiring)

    def _step_one(self, ctx: Context, retiring: Retiring) -> None:
        container_id = retiring.container.id
        try:
            is_running = ctx.engine.inspect(container_id).is_running
            self._note_traffic(ctx, retiring)
            action = next_action(retiring, now=ctx.now(), is_running=is_running)
            if action is Action.TERMINATE:
                self._terminate(ctx, retiring)
            elif action is Action.REMOVE:
                ctx.engine.remove(container_id, is_forced=True)
                del self._retiring[container_id]
        except NotFound:
            del self._retiring[container_id]  # somebody removed it, which is what we want

    def _terminate(self, ctx: Context, retiring: Retiring) -> None:
        """Tell it to stop, unless a command has come to want it again meanwhile."""
        container = retiring.container
        app_name = container.labels.get(LABEL_APP, "")
        try:
            with container_turn(ctx, app_name, "retire", wait=False):
                app = ctx.state.apps.find(app_name)
                if app is not None:
                    obsolete = ctx.scheduler.obsolete(current_deployment(ctx, app), app)
                    if container.id not in {c.id for c in obsolete}:
                        del self._retiring[container.id]
                        return
                ctx.scheduler.retire(container)
                retiring.terminated_at = ctx.now()
        except Conflict:
            pass  # a command holds the app's containers, or it has just ended: the next step sees

    def _note_traffic(self, ctx: Context, retiring: Retiring) -> None:
        if retiring.terminated_at:
            return
        container = retiring.container
        app = container.labels.get(LABEL_APP, "")
        busy = bool(container.address) and any(
            ctx.proxy.in_flight(app, Upstream(address=container.address, port=port)) for port in retiring.ports
        )
        if busy:
            retiring.quiet_since = 0.0
        elif not retiring.quiet_since:
            retiring.quiet_since = ctx.now()
