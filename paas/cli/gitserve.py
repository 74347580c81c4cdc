"""What git clients ask for over SSH: git-receive-pack, git-upload-pack, git-upload-archive. Not typed by people.

The command becomes git itself, as the user who owns the repository; what a push deploys is decided in its proc-receive hook.
"""

from __future__ import annotations

import os
import shutil
import sys
import time

import click

from paas.context import Context
from paas.deploy import apps
from paas.host import git
from paas.host.files import require_space
from paas.host.git import SERVICES
from paas.model.app import parse_app_name

_PASSED = ("LANG", "LC_ALL", "TERM", "GIT_PROTOCOL", "PAAS_TRACE")
#: When git began to receive a push, by the monotonic clock; for its hook, which tells where the time went.
RECEIVING_SINCE = "PAAS_RECEIVING_SINCE"


#: Room that a push needs at the least: its objects, a checkout, a log.
PUSH_BYTES = 32 << 20


@click.pass_obj
def _serve(ctx: Context, service: str, repository: str) -> None:
    name = app_name(repository)
    if service == "git-receive-pack":
        require_space(ctx.paths.root, PUSH_BYTES)  # git itself would only say "unpacker error"
        app = apps.ensure(ctx, name)
    else:
        app = ctx.state.apps.get(name)
        git.ensure_repo(ctx.paths.repo(name), app=name, owner=ctx.settings.user)
        if app.deploy_branch:
            git.set_head(ctx.paths.repo(name), app.deploy_branch)
    git.serve_pack(service, ctx.paths.repo(app.name), hooks=ctx.paths.share / "hooks", env=_hook_environment(ctx, app.name))


def app_name(repository: str) -> str:
    """Return the app that a repository path of a git client names: /shop, shop.git, ~/shop. Raises InvalidInput."""
    return parse_app_name(repository.strip().removeprefix("~").strip("/").removesuffix(".git"))


def _hook_environment(ctx: Context, app: str) -> dict[str, str]:
    """Return what the hook needs to come back to this server, speaking for the same user."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    command = shutil.which("paas", path=f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '')}")  # noqa: PTH120
    return {
        **passed,
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "PAAS_ROOT": str(ctx.paths.root), "PAAS_RUN": str(ctx.paths.run), "PAAS_ETC": str(ctx.paths.etc),
        RECEIVING_SINCE: str(time.monotonic()),
        "PAAS_APP": app, "PAAS_IDENTITY": ctx.identity.name, "PAAS_COMMAND": command or "paas",
    }  # fmt: skip


def _command(service: str) -> click.Command:
    @click.command(service, hidden=True, help=f"Serve a git client: {service}.")
    @click.argument("repository")
    def serve(repository: str) -> None:
        _serve(service, repository)

    return serve


COMMANDS: tuple[click.Command, ...] = tuple(_command(service) for service in SERVICES)
