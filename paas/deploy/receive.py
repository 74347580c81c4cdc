"""A push arrives: decide which ref deploys, deploy it, and let git move its refs only if that worked.

Called by the repository's pre-receive hook; an exception rejects the push.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paas.context import Context
from paas.deploy import build, release, rollout
from paas.deploy.queue import app_turn
from paas.errors import Conflict, InvalidInput
from paas.host import git
from paas.model.app import App
from paas.model.release import Release
from paas.model.source import RefUpdate, Source

#: Branches that become the deploy branch when they are pushed first (Dokku: the first pushed branch).
USUAL_BRANCHES = ("main", "master")


def receive(ctx: Context, app_name: str, updates: Sequence[RefUpdate], *, git_env: Mapping[str, str]) -> Release | None:
    """Deploy what was pushed; on any error the push is rejected and the old release keeps serving.

    `git_env` holds git's quarantine variables: the pushed objects are not in the repository yet.
    Returns the new release, or None when no ref of the push deploys.
    """
    app = ctx.state.apps.get(app_name)
    update = deploying_update(app, updates)
    if update is None:
        _explain_no_deploy(ctx, app, updates)
        return None
    with app_turn(ctx, app.name, "git push"):
        app = ctx.state.apps.get(app_name)
        _refuse_locked(app)
        if not app.deploy_branch:
            ctx.output.step(f"Set {update.branch} as deploy-branch")
        with exported(ctx, app, update.new, git_env=git_env) as source:
            live = deploy_source(ctx, app, source, cause="git push")
        ctx.state.apps.set_deploy_branch(app.name, update.branch)
        return live


def rebuild(ctx: Context, app_name: str) -> Release:
    """Build and deploy the deployed revision again (`ps:rebuild`)."""
    with app_turn(ctx, app_name, "ps:rebuild"):
        app = ctx.state.apps.get(app_name)
        _refuse_locked(app)
        current = ctx.state.releases.current(app.name)
        revision = current.revision if current else git.resolve(ctx.paths.repo(app.name), app.deploy_branch or "HEAD")
        if not revision:
            raise Conflict(f"App {app.name} has not been deployed", remedy=f"git push paas {app.deploy_branch or 'master'}")
        with exported(ctx, app, revision) as source:
            return deploy_source(ctx, app, source, cause="ps:rebuild")


def deploy_source(ctx: Context, app: App, source: Source, *, cause: str) -> Release:
    """Take a tree all the way: build, release, roll out. The caller holds the app's turn."""
    built = build.build_source(ctx, app, source, cause=cause)
    new = release.create_release(ctx, app, built, cause=cause)
    return rollout.roll_out(ctx, app, new)


@contextlib.contextmanager
def exported(ctx: Context, app: App, revision: str, *, git_env: Mapping[str, str] | None = None) -> Iterator[Source]:
    """Check the revision out into a directory of its own, removed afterwards."""
    ctx.paths.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{app.name}-", dir=ctx.paths.work, ignore_cleanup_errors=True) as directory:
        tree = Path(directory) / "source"
        git.export_tree(ctx.paths.repo(app.name), revision, tree, git_env=git_env)
        yield Source(tree=tree, revision=revision, description=git.subject(ctx.paths.repo(app.name), revision, git_env=git_env))


def deploying_update(app: App, updates: Sequence[RefUpdate]) -> RefUpdate | None:
    """Return the update of the deploy branch, or None. Pure. Raises InvalidInput for its deletion."""
    branches = [u for u in updates if u.branch]
    if app.deploy_branch:
        chosen = next((u for u in branches if u.branch == app.deploy_branch), None)
    else:
        new = [u for u in branches if not u.is_delete]
        chosen = next((u for name in USUAL_BRANCHES for u in new if u.branch == name), new[0] if new else None)
    if chosen is not None and chosen.is_delete:
        raise InvalidInput(
            f"{chosen.branch} is the deploy branch of {app.name} and cannot be deleted",
            remedy=f"run: paas git:set {app.name} deploy-branch <other branch>",
        )
    return chosen


def _refuse_locked(app: App) -> None:
    if app.is_locked:
        raise Conflict(f"Deploys of {app.name} are locked", remedy=f"run: paas apps:unlock {app.name}")


def _explain_no_deploy(ctx: Context, app: App, updates: Sequence[RefUpdate]) -> None:
    pushed = [u.branch for u in updates if u.branch and not u.is_delete]
    if not pushed or not app.deploy_branch:
        return  # tags, deletions: git's own words are enough
    ctx.output.warn(f"WARNING: deploy did not complete, you must push to {app.deploy_branch}.")
    ctx.output.warn(f"for example, try 'git push paas {pushed[0]}:{app.deploy_branch}'")
