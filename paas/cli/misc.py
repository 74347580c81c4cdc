"""Commands without a topic: help, version, url, urls, events."""

from __future__ import annotations

import dataclasses

import click

import paas
from paas.cli.common import format_option, print_json
from paas.cli.readable import local_time
from paas.context import Context
from paas.deploy.routing import app_urls
from paas.errors import NotFound


@click.command("help")
@click.argument("topic", default="")
@click.pass_obj
def show_help(ctx: Context, topic: str) -> None:
    """List all commands, or those of a topic."""
    from paas.cli.root import topics, unknown_command, visible_commands  # it imports this module

    if topic and topic not in topics():
        raise unknown_command(topic)
    if not topic:
        ctx.output.plain("Usage: paas COMMAND <app> [arguments]        over SSH: ssh -t paas@HOST COMMAND <app> [arguments]")
        ctx.output.plain("       --quiet, --trace, --force and --app APP stand in front of COMMAND; COMMAND --help explains it")
        ctx.output.plain()
    for name, command in visible_commands(topic, is_admin=ctx.identity.is_admin).items():
        ctx.output.plain(f"    {name:<26} {command.get_short_help_str(90)}")


@click.command("version")
@click.pass_obj
def version(ctx: Context) -> None:
    """Print the version."""
    ctx.output.plain(f"paas version {paas.__version__}")


@click.command("urls")
@click.argument("app")
@format_option
@click.pass_obj
def urls(ctx: Context, app: str, style: str) -> None:
    """Print all URLs of the app."""
    ctx.state.apps.get(app)
    found = app_urls(ctx, app)
    if style == "json":
        print_json(ctx.output, found)
        return
    for url in found:
        ctx.output.plain(url)


@click.command("url")
@click.argument("app")
@click.pass_obj
def url(ctx: Context, app: str) -> None:
    """Print the app's first URL."""
    ctx.state.apps.get(app)
    found = app_urls(ctx, app)
    if not found:
        raise NotFound(f"{app} answers at no URL: it has no web process", remedy=f"see: paas ps:scale {app}")
    ctx.output.plain(found[0])


@click.command("events")
@click.argument("app", default="")
@click.option("--num", "-n", "count", type=click.IntRange(1, 10_000), default=100, help="how many at most")
@format_option
@click.pass_obj
def events(ctx: Context, app: str, count: int, style: str) -> None:
    """Show who did what to which app."""
    found = ctx.state.events.list(app, count)
    if style == "json":
        print_json(ctx.output, [dataclasses.asdict(event) for event in found])
        return
    for event in found:
        ctx.output.plain(f"{local_time(event.at)} {event.actor} {event.event} {event.app} {event.detail}".rstrip())


COMMANDS: tuple[click.Command, ...] = (show_help, version, url, urls, events)
