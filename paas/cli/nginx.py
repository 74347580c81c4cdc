"""`nginx:*`: the proxy's configuration and logs of an app."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import click

from paas.cli.properties import properties_report, set_command
from paas.context import Context
from paas.errors import NotFound, UsageError


@click.command("nginx:show-config")
@click.argument("app")
@click.pass_obj
def show_config(ctx: Context, app: str) -> None:
    """Print the app's configuration as nginx reads it."""
    ctx.state.apps.get(app)
    ctx.output.plain(ctx.proxy.show(app).rstrip("\n"))


@click.command("nginx:validate-config")
@click.pass_obj
def validate_config(ctx: Context) -> None:
    """Test the whole nginx configuration."""
    ctx.proxy.validate()
    ctx.output.step("The configuration is valid")


@click.command("nginx:access-logs")
@click.argument("app")
@click.option("-t", "--tail", "follow", is_flag=True, help="go on with new lines")
@click.option("-n", "--num", "count", type=click.IntRange(1), default=100)
@click.pass_obj
def access_logs(ctx: Context, app: str, follow: bool, count: int) -> None:
    """Show who asked for what."""
    _show_log(ctx, app, "access", follow=follow, count=count)


@click.command("nginx:error-logs")
@click.argument("app")
@click.option("-t", "--tail", "follow", is_flag=True, help="go on with new lines")
@click.option("-n", "--num", "count", type=click.IntRange(1), default=100)
@click.pass_obj
def error_logs(ctx: Context, app: str, follow: bool, count: int) -> None:
    """Show what nginx complained about."""
    _show_log(ctx, app, "error", follow=follow, count=count)


def _show_log(ctx: Context, app: str, kind: str, *, follow: bool, count: int) -> None:
    ctx.state.apps.get(app)
    file: Path | None = ctx.proxy.log_files(app).get(kind)
    if file is None or not file.exists():
        if follow:
            raise UsageError(f"{app} has no {kind} log to follow yet", remedy="send it a request first")
        raise NotFound(f"{app} has no {kind} log yet", remedy="send it a request first")
    with file.open(errors="replace") as stream:
        for line in deque(stream, maxlen=count):
            ctx.output.plain(line.rstrip("\n"))
        while follow and ctx.output.has_reader:
            for line in stream:
                ctx.output.plain(line.rstrip("\n"))
            ctx.sleep(0.2)


COMMANDS: tuple[click.Command, ...] = (
    show_config, validate_config, set_command("nginx"), properties_report("nginx"), access_logs, error_logs,
)  # fmt: skip
