"""A push arrives: decide which branch deploys, deploy it, and move the branch only if that worked.

Called by the repository's proc-receive hook, which moves the branch itself: pre-receive could only reject a push, and git would
then refuse one that waited in the queue, because the branch is no longer where its sender saw it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from paas.context import Context
from paas.deploy import build, release, rollout
from paas.deploy.publish import publish
from paas.deploy.pushes import newest_wins, push_turn
from paas.deploy.queue import deploy_turn, refuse_locked
from paas.deploy.record import recorded
from paas.errors import CommandFailed, Conflict, HostProblem, InvalidInput
from paas.host import git
from paas.host.files import remove_tree
from paas.model.app import App
from paas.model.release import Build, BuildKind, BuildStatus, Release, config_diff
from paas.model.source import RefUpdate, Source

#: Branches that become the deploy branch when they are pushed first (Dokku: the first pushed branch).
USUAL_BRANCHES = ("main", "master")


def receive(ctx: Context, app_name: str, updates: Sequence[RefUpdate]) -> RefUpdate | None:
    """Deploy what was pushed and move its branch; on any error the push is rejected and the old release keeps serving.

    Returns the update whose branch was moved, or None when nothing of the push deploys; the rest is git's to move.
    """
    app = ctx.state.apps.get(app_name)
    update = deploying_update(app, updates)
    if update is None:
        _explain_no_deploy(ctx, app, updates)
        return None
    refuse_locked(app)
    with push_turn(ctx, app.name, "git push", revision=update.new, newest_wins=newest_wins(ctx, app.name)):
        app = ctx.state.apps.get(app_name)
        refuse_locked(app)
        _deploy_update(ctx, app, update)
        return update


def _deploy_update(ctx: Context, app: App, update: RefUpdate) -> None:
    repo = ctx.paths.repo(app.name)
    with ctx.output.timed("look at the branch"):
        present = git.resolve(repo, update.ref)
        _refuse_overtaken(ctx, app, update, present)

    def move_branch() -> None:
        try:
            with ctx.output.timed("move the branch"):
                git.move_branch(repo, update.ref, update.new, expected=present)
        except CommandFailed as exc:
            raise HostProblem(f"The release is live, but {update.branch} stays where it was: {exc.message}", output=exc.output,
                              remedy="push again") from exc
        ctx.state.apps.set_deploy_branch(app.name, update.branch)

    with recorded(ctx, app, BuildKind.BUILD, cause="git push", revision=update.new) as deploy:
        if not app.deploy_branch:
            ctx.output.step(f"Set {update.branch} as deploy-branch")
        with exported(ctx, app, update.new) as source:
            deploy_source(ctx, app, source, deploy, afterwards=move_branch)


def rebuild(ctx: Context, app_name: str) -> Release:
    """Build and deploy the deployed revision again (`ps:rebuild`)."""
    with deploy_turn(ctx, app_name, "ps:rebuild") as app:
        current = ctx.state.releases.current(app.name)
        revision = current.revision if current else git.resolve(ctx.paths.repo(app.name), app.deploy_branch or "HEAD")
        if not revision:
            raise Conflict(f"App {app.name} has not been deployed", remedy=f"git push paas {app.deploy_branch or 'master'}")
        with (
            recorded(ctx, app, BuildKind.BUILD, cause="ps:rebuild", revision=revision) as deploy,
            exported(ctx, app, revision) as source,
        ):
            return deploy_source(ctx, app, source, deploy)


def deploy_source(
    ctx: Context, app: App, source: Source, deploy: Build, *, afterwards: Callable[[], None] | None = None
) -> Release:
    """Take a tree all the way: build, release, roll out; `afterwards` as in `rollout.go_live`.

    The caller holds the app's turn and has the deploy recorded.
    """
    built = build.build_source(ctx, app, source, deploy)
    new = release.create_release(ctx, app, built, cause=deploy.cause)
    publish(ctx, app, new)
    rollout.go_live(ctx, app, new, on_live=lambda: _store_added_config(ctx, app, built), afterwards=afterwards)
    return rollout.follow_up(ctx, app, new)


def _store_added_config(ctx: Context, app: App, built: Build) -> None:
    if built.added_config:
        diff = " ".join(config_diff(ctx.state.config.get(app.name), {**ctx.state.config.get(app.name), **built.added_config}))
        ctx.state.config.set(app.name, built.added_config)
        ctx.state.events.record(app.name, ctx.identity.name, "app.json env", diff, ctx.now())


@contextlib.contextmanager
def exported(ctx: Context, app: App, revision: str) -> Iterator[Source]:
    """Check the revision out into the app's source directory, removed afterwards.

    The caller holds the app's turn: what stands there was left by a command that was killed.
    """
    directory = ctx.paths.app_source(app.name)
    remove_tree(directory)
    directory.mkdir(mode=0o700, parents=True)
    try:
        with ctx.output.timed("checkout"):
            tree = directory / "source"
            git.export_tree(ctx.paths.repo(app.name), revision, tree)
            source = Source(tree=tree, revision=revision, description=git.subject(ctx.paths.repo(app.name), revision))
        yield source
    finally:
        with ctx.output.timed("remove the checkout"), contextlib.suppress(OSError):  # the next deploy tries again
            remove_tree(directory)


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


def _refuse_overtaken(ctx: Context, app: App, update: RefUpdate, present: str) -> None:
    """Raise Conflict when somebody else's push moved the branch meanwhile and this one would undo it without knowing.

    It knows when it builds on what is there now, and when it was forced past what its sender saw. What the sender himself
    pushed before he may take back: a commit that was amended while its first version was being deployed.
    """
    repo, seen = ctx.paths.repo(app.name), "" if update.is_create else update.old
    if present == seen or git.contains(repo, update.new, present):
        return
    live = (build for build in ctx.state.builds.list(app.name) if build.status is BuildStatus.SUCCEEDED)
    pushed_by = next((build.actor for build in live if build.revision == present), "")
    if pushed_by == ctx.identity.name or not git.contains(repo, update.new, seen):
        return
    raise Conflict(
        f"{update.branch} was pushed by {pushed_by or 'somebody else'} while this push waited, and this one does not hold that",
        remedy="look at it with git fetch, then push again",
    )


def _explain_no_deploy(ctx: Context, app: App, updates: Sequence[RefUpdate]) -> None:
    pushed = [u.branch for u in updates if u.branch and not u.is_delete]
    if not pushed or not app.deploy_branch:
        return  # tags, deletions: git's own words are enough
    ctx.output.warn(f"WARNING: deploy did not complete, you must push to {app.deploy_branch}.")
    ctx.output.warn(f"for example, try 'git push paas {pushed[0]}:{app.deploy_branch}'")
