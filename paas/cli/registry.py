"""`registry:*`: logins at container registries, and whether releases are pushed to one. Images themselves: image.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from paas.cli.common import report_command
from paas.cli.properties import report_of, set_command
from paas.context import Context
from paas.errors import InvalidInput, UsageError
from paas.oci.reference import Reference
from paas.oci.registry import log_in, log_out
from paas.oci.skopeo import Registries

_EXAMPLE = "e.g. paas registry:login --global registry.example.com alice --password-stdin < password"
_MAX_PASSWORD_BYTES = 64 << 10
_WORDS = "<app>|--global"

global_option = click.option("--global", "is_global", is_flag=True, help="for all apps")


@click.command("registry:login")
@click.argument("words", nargs=-1, required=True, metavar=f"{_WORDS} SERVER USER")
@global_option
@click.option("--password-stdin", is_flag=True, help="read the password from standard input, not from the terminal")
@click.pass_obj
def login(ctx: Context, words: tuple[str, ...], is_global: bool, password_stdin: bool) -> None:
    """Log in at a registry; the password is asked for, or read from standard input."""
    app, rest = _split(ctx, words, is_global)
    if len(rest) != 2:
        surplus = "A password does not belong on the command line, where others can see it" if len(rest) == 3 else ""
        raise UsageError(surplus or "registry:login takes an app or --global, a server and a user", remedy=_EXAMPLE)
    server, user = _server(rest[0]), rest[1]
    log_in(Registries.of(ctx.paths, ctx.settings, app=app), server, user, _password(server, user, password_stdin))
    ctx.output.step(f"Logged in at {server} as {user}{f' for {app}' if app else ''}")


@click.command("registry:logout")
@click.argument("words", nargs=-1, required=True, metavar=f"{_WORDS} SERVER")
@global_option
@click.pass_obj
def logout(ctx: Context, words: tuple[str, ...], is_global: bool) -> None:
    """Forget the login at a registry."""
    app, rest = _split(ctx, words, is_global)
    if len(rest) != 1:
        raise UsageError("registry:logout takes an app or --global, and a server", remedy="see: paas registry:report")
    server = _server(rest[0])
    log_out(Registries.of(ctx.paths, ctx.settings, app=app), server)
    ctx.output.step(f"Logged out at {server}{f' for {app}' if app else ''}")


def _report(ctx: Context, app: str) -> Mapping[str, str]:
    return {
        **report_of(ctx, "registry", app),
        "registry-logins": " ".join(Registries.of(ctx.paths, ctx.settings, app=app).logins.own()),
        "registry-global-logins": " ".join(Registries.of(ctx.paths, ctx.settings).logins.own()),
    }


def _split(ctx: Context, words: tuple[str, ...], is_global: bool) -> tuple[str, tuple[str, ...]]:
    """Return the app ('' for --global) and the rest."""
    if is_global:
        return "", words
    return ctx.state.apps.get(words[0]).name, words[1:]


def _server(text: str) -> str:
    """Return a registry's host and port. Raises InvalidInput."""
    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    reference = Reference.parse(f"{host}/any")
    if reference.name != f"{host}/any":
        raise InvalidInput(f"'{text}' is not a registry's host name", remedy="e.g. registry.example.com or localhost:5000")
    return host


def _password(server: str, user: str, from_stdin: bool) -> str:
    if from_stdin or not sys.stdin.isatty():
        password = sys.stdin.read(_MAX_PASSWORD_BYTES).rstrip("\r\n")
    else:
        password = str(click.prompt(f"Password of {user} at {server}", hide_input=True, err=True))
    if not password:
        raise UsageError("The password is empty", remedy=_EXAMPLE)
    return password


COMMANDS: tuple[click.Command, ...] = (
    login, logout, set_command("registry"), report_command("registry", "Show the app's logins and where releases go.", _report),
)  # fmt: skip
