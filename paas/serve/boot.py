"""What is done once when the server starts, before any command: repair the host, let the proxy serve what is recorded."""

from __future__ import annotations

from paas.context import Context
from paas.deploy import routing
from paas.deploy.intent import formation_now, serving_now
from paas.deploy.keys import restore_authorized_keys
from paas.errors import PaasError
from paas.model.container import KIND_PROCESS, LABEL_KIND

_BOOTED = "booted"


def bring_back(ctx: Context) -> int:
    """Repair what a reboot or a crash left behind; return how many steps failed. A failed one is reported, never in the way."""
    failed = 0
    for step in (_abandon_builds, restore_authorized_keys, _repair_engine, _leave_stopped, _forget_last_boot, _sync_proxy):
        try:
            step(ctx)
        except PaasError as exc:
            ctx.output.warn(f"{exc.message}\n{exc.remedy}".rstrip())
            failed += 1
    return failed


def _abandon_builds(ctx: Context) -> None:
    ctx.state.builds.abandon_running(ctx.now())


def _repair_engine(ctx: Context) -> None:
    for done in ctx.engine.repair():
        ctx.output.step(done)


def _leave_stopped(ctx: Context) -> None:
    """After a boot, record as stopped what is not to be restored (`ps:set <app> restore false`): ps:start starts it."""
    if _is_booted(ctx):
        return
    for app in ctx.state.apps.list():
        if ctx.state.properties.merged(app.name).get("ps.restore") == "false":
            ctx.state.apps.set_stopped(app.name, True)


def _is_booted(ctx: Context) -> bool:
    """Say whether the server has started before since the machine did: the run directory is empty after a boot."""
    return (ctx.paths.run / _BOOTED).exists()


def _forget_last_boot(ctx: Context) -> None:
    """Remove what the machine's shutdown stopped: it did not end by itself, so the restart policy has no say. Once a boot."""
    if _is_booted(ctx):
        return
    for container in ctx.engine.list({LABEL_KIND: KIND_PROCESS}):
        if not container.is_running:
            ctx.engine.remove(container.id)
    (ctx.paths.run / _BOOTED).touch()


def _sync_proxy(ctx: Context) -> None:
    """Let the proxy serve exactly the recorded apps, with the containers that run now: one test and one reload for all."""
    wanted = {}
    for app in ctx.state.apps.list():
        release = ctx.state.releases.current(app.name)
        vhost = routing.vhost_for(ctx, app.name, release) if release is not None else None
        if vhost is not None and vhost.ports:
            serving = routing.ready(ctx, serving_now(ctx, app))
            wanted[app.name] = (vhost, routing.upstreams_for(vhost, serving, formation_now(ctx, app)))
    for done in ctx.proxy.sync(wanted):
        ctx.output.step(done)
