"""The life of an app: create, ensure (on first push), rename, destroy."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from paas.context import Context
from paas.deploy import hooks, rollout
from paas.deploy.intent import deployment_for
from paas.deploy.queue import app_turn
from paas.deploy.routes import apply_routes, refuse_taken
from paas.deploy.routing import default_domains
from paas.errors import Conflict, InvalidInput, NotFound
from paas.host import git
from paas.host.files import move_tree, remove_tree
from paas.model.app import App, parse_app_name
from paas.model.container import LABEL_APP


def create(ctx: Context, name: str) -> App:
    """Create an empty app with its git repository. Raises InvalidInput, Conflict."""
    parse_app_name(name)
    if ctx.state.apps.find(name) is not None:
        raise Conflict(f"Name is already taken: {name}", remedy="choose another, or see: paas apps:list")
    refuse_taken(ctx, name, default_domains(ctx, name))
    app = ctx.state.apps.create(name, ctx.now())
    git.ensure_repo(ctx.paths.repo(name), app=name, owner=ctx.settings.user)
    ctx.state.events.record(name, ctx.identity.name, "apps:create", "", ctx.now())
    hooks.run_hook(ctx, "post-create", name)
    return app


def ensure(ctx: Context, name: str) -> App:
    """Return the app, created if this instance creates apps on their first push. Raises NotFound, InvalidInput."""
    parse_app_name(name)
    app = ctx.state.apps.find(name)
    if app is None and not ctx.settings.autocreate_apps:
        raise NotFound(f"App {name} does not exist", remedy=f"run: paas apps:create {name}")
    if app is None:
        return create(ctx, name)
    git.ensure_repo(ctx.paths.repo(name), app=name, owner=ctx.settings.user)
    return app


def rename(ctx: Context, old: str, new: str) -> App:
    """Give the app another name: its processes are started anew under it before the old ones go.

    The record decides: what fails before it leaves the old app whole, what dies after it is finished by `reconcile`. A kill
    while the files move is made good by renaming again.
    """
    parse_app_name(new)
    if new == old:
        raise InvalidInput(f"{old} has that name already", remedy=f"give another: paas apps:rename {old} <new name>")
    ctx.state.apps.get(old)
    first, second = sorted((old, new))  # in the same order as a rename the other way round, or the two wait for each other
    with app_turn(ctx, first, "apps:rename"), app_turn(ctx, second, "apps:rename"):
        app = ctx.state.apps.get(old)
        if ctx.state.apps.find(new) is not None:
            raise Conflict(f"Name is already taken: {new}", remedy="choose another, or see: paas apps:list")
        if not ctx.state.routes.domains(old):
            refuse_taken(ctx, old, default_domains(ctx, new))
        release = ctx.state.releases.current(old)
        renamed = replace(app, name=new)
        if release is not None and not app.is_stopped:
            ctx.output.step(f"Starting {new}")
            rollout.start_serving(ctx, deployment_for(ctx, renamed, release, settings_of=old))
        try:
            _move_files(ctx, old, new)
            ctx.state.apps.rename(old, new)
        except BaseException:
            _move_files(ctx, new, old)
            _remove_containers(ctx, new)
            raise
        git.ensure_repo(ctx.paths.repo(new), app=new, owner=ctx.settings.user)
        apply_routes(ctx, renamed)
        ctx.proxy.remove(old)
        _remove_containers(ctx, old)
    ctx.state.events.record(new, ctx.identity.name, "apps:rename", f"{old} -> {new}", ctx.now())
    return renamed


def destroy(ctx: Context, name: str) -> None:
    """Remove the app and all that is its own. The record goes last, so that a destroy that was cut off can be repeated."""
    with app_turn(ctx, name, "apps:destroy"):
        app = ctx.state.apps.get(name)
        hooks.run_hook(ctx, "pre-delete", name)
        ctx.state.apps.set_stopped(name, True)
        ctx.proxy.remove(name)
        _remove_containers(ctx, name)
        ctx.engine.release_tenant(app.tenant)
        for build in ctx.state.builds.list(name):
            ctx.paths.build_log(build.id).unlink(missing_ok=True)
        for path_of in (ctx.paths.repo, ctx.paths.app_source, ctx.paths.app_cache, ctx.paths.app_logs, ctx.paths.app_logins):
            remove_tree(path_of(name))
        for log in ctx.proxy.log_files(name).values():
            for file in _with_rotated(log):
                file.unlink(missing_ok=True)
        ctx.state.apps.destroy(name)
    ctx.state.events.record(name, ctx.identity.name, "apps:destroy", "", ctx.now())


def set_locked(ctx: Context, name: str, is_locked: bool) -> None:
    """Refuse deploys of the app from now on, or accept them again. One under way goes on."""
    ctx.state.apps.get(name)
    ctx.state.apps.set_locked(name, is_locked)
    ctx.state.events.record(name, ctx.identity.name, "apps:lock" if is_locked else "apps:unlock", "", ctx.now())


def _move_files(ctx: Context, old: str, new: str) -> None:
    for path_of in (ctx.paths.app_cache, ctx.paths.app_logs, ctx.paths.repo):
        move_tree(path_of(old), path_of(new))
    if ctx.paths.app_logins(old).exists():
        ctx.paths.app_logins(old).rename(ctx.paths.app_logins(new))
    # The proxy writes on into what it has open; told of the new name, it opens the same file again.
    for kind, log in ctx.proxy.log_files(old).items():
        renamed = ctx.proxy.log_files(new)[kind]
        for file in _with_rotated(log):
            file.rename(renamed.with_name(renamed.name + file.name.removeprefix(log.name)))


def _with_rotated(log: Path) -> tuple[Path, ...]:
    """Return the log and those that logrotate made of it: `x.log.1`, `x.log.2.gz`."""
    return tuple(log.parent.glob(f"{log.name}*"))


def _remove_containers(ctx: Context, app: str) -> None:
    for container in ctx.engine.list({LABEL_APP: app}):
        with contextlib.suppress(NotFound):  # the supervisor was retiring it already
            ctx.engine.remove(container.id, is_forced=True)
