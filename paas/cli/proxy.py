"""`proxy:*`: paths of an app that lead to another of its process types."""

from __future__ import annotations

import click

from paas.cli.common import report_command
from paas.context import Context
from paas.deploy import routes
from paas.deploy.routing import path_routes
from paas.errors import NotFound
from paas.model.route import DEFAULT_CONTAINER_PORT, Backend, parse_path


@click.command("proxy:route")
@click.argument("app")
@click.argument("process")
@click.argument("path")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="container port it listens on; the usual one unless given")
@click.option("--strip-prefix", is_flag=True, help="the process does not see the path")
@click.pass_obj
def route(ctx: Context, app: str, process: str, path: str, port: int, strip_prefix: bool) -> None:
    """Send requests below a path of the app to another process type: proxy:route shop api /api."""
    clean = parse_path(path)
    release = ctx.state.releases.current(app)
    usual = release.ports[0] if release and release.ports else DEFAULT_CONTAINER_PORT
    routes.route_path(ctx, app, clean, Backend(process=process, port=port or usual), strips_prefix=strip_prefix)
    ctx.output.step(f"Requests below {clean} go to {process} ({app})")


@click.command("proxy:unroute")
@click.argument("app")
@click.argument("path")
@click.pass_obj
def unroute(ctx: Context, app: str, path: str) -> None:
    """Send requests below a path to the web process again."""
    clean = parse_path(path)
    ctx.state.apps.get(app)
    if clean not in {one.path for one in path_routes(ctx, app)}:
        raise NotFound(f"{app} does not route {clean}", remedy=f"see: paas proxy:report {app}")
    routes.route_path(ctx, app, clean, None)
    ctx.output.step(f"Requests below {clean} go to web ({app})")


def _report(ctx: Context, app: str) -> dict[str, str]:
    return {
        "proxy-type": ctx.proxy.name,
        "proxy-routes": " ".join(
            f"{one.path}={one.backend.process}:{one.backend.port}{':strip' if one.strips_prefix else ''}"
            for one in path_routes(ctx, app)
        ),
    }


COMMANDS: tuple[click.Command, ...] = (
    route, unroute, report_command("proxy", "Show what serves the app and which paths lead elsewhere.", _report),
)  # fmt: skip
