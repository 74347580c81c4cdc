"""`config:*`: set, unset, get, show, keys, export."""

from __future__ import annotations

import base64
import binascii
import json
import shlex
from collections.abc import Mapping

import click

from paas.context import Context
from paas.deploy import config
from paas.deploy.config import Outcome
from paas.errors import InvalidInput, NotFound, UsageError
from paas.model.env import parse_assignments, parse_key

no_restart_option = click.option("--no-restart", is_flag=True, help="take effect with the next release")
global_option = click.option("--global", "is_global", is_flag=True, help="for all apps, instead of one")


@click.command("config:set", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, metavar="<app> KEY=VALUE...")
@no_restart_option
@global_option
@click.option("--encoded", is_flag=True, help="values are base64")
@click.pass_obj
def set_vars(ctx: Context, words: tuple[str, ...], no_restart: bool, is_global: bool, encoded: bool) -> None:
    """Set config vars; a running app gets a new release with them."""
    app, assignments = _split(words, is_global)
    changes = parse_assignments(assignments)
    if not changes:
        raise UsageError("No config var is given", remedy="e.g. paas config:set shop KEY=value")
    if encoded:
        changes = {key: _decoded(key, value) for key, value in changes.items()}
    ctx.output.step("Setting config vars")
    for key in changes:
        ctx.output.detail(f"{key}: ***")
    if is_global:
        _say(ctx, config.set_global(ctx, changes))
    else:
        _say(ctx, config.set_config(ctx, app, changes, restart=not no_restart))


@click.command("config:unset")
@click.argument("words", nargs=-1, required=True, metavar="<app> KEY...")
@no_restart_option
@global_option
@click.pass_obj
def unset_vars(ctx: Context, words: tuple[str, ...], no_restart: bool, is_global: bool) -> None:
    """Remove config vars; a running app gets a new release without them."""
    app, keys = _split(words, is_global)
    keys = tuple(parse_key(key) for key in keys)
    if not keys:
        raise UsageError("No config var is named", remedy="e.g. paas config:unset shop KEY")
    for key in keys:
        ctx.output.step(f"Unsetting {key}")
    if is_global:
        _say(ctx, config.unset_global(ctx, keys))
    else:
        _say(ctx, config.unset_config(ctx, app, keys, restart=not no_restart))


@click.command("config:get")
@click.argument("words", nargs=-1, required=True, metavar="<app> KEY")
@global_option
@click.pass_obj
def get(ctx: Context, words: tuple[str, ...], is_global: bool) -> None:
    """Print one config var's value."""
    app, keys = _split(words, is_global)
    if len(keys) != 1:
        raise UsageError("Name one config var", remedy="e.g. paas config:get shop KEY")
    values = _values(ctx, app, merged=False)
    if keys[0] not in values:
        raise NotFound(f"{keys[0]} is not set", remedy=f"see: paas config:keys {app or '--global'}")
    ctx.output.plain(str(values[keys[0]]))


@click.command("config:show")
@click.argument("words", nargs=-1, metavar="<app>")
@global_option
@click.option("--merged", is_flag=True, help="the global ones, too")
@click.pass_obj
def show(ctx: Context, words: tuple[str, ...], is_global: bool, merged: bool) -> None:
    """Show all config vars."""
    app, _ = _split(words, is_global)
    values = _values(ctx, app, merged=merged)
    ctx.output.milestone(f"{app or 'global'} env vars")
    width = max(map(len, values), default=0) + 1
    for key, value in values.items():
        ctx.output.plain(f"{key + ':':<{width}}  {value}")


@click.command("config:keys")
@click.argument("words", nargs=-1, metavar="<app>")
@global_option
@click.option("--merged", is_flag=True, help="the global ones, too")
@click.pass_obj
def keys_of(ctx: Context, words: tuple[str, ...], is_global: bool, merged: bool) -> None:
    """List the names of the config vars."""
    app, _ = _split(words, is_global)
    for key in _values(ctx, app, merged=merged):
        ctx.output.plain(key)


@click.command("config:export")
@click.argument("words", nargs=-1, metavar="<app>")
@global_option
@click.option("--merged", is_flag=True, help="the global ones, too")
@click.option("--format", "style", type=click.Choice(["exports", "shell", "dotenv", "envfile", "json"]), default="exports")
@click.pass_obj
def export(ctx: Context, words: tuple[str, ...], is_global: bool, merged: bool, style: str) -> None:
    """Print the config vars for a shell to evaluate, or in another format."""
    app, _ = _split(words, is_global)
    ctx.output.plain(render(_values(ctx, app, merged=merged), style))


def render(values: Mapping[str, str], style: str) -> str:
    """Write config vars as `export` lines, one shell line, dotenv lines or JSON. Pure."""
    if style == "json":
        return json.dumps({key: str(value) for key, value in values.items()}, indent=2)
    quoted = [f"{key}={shlex.quote(str(value))}" for key, value in values.items()]
    if style == "shell":
        return " ".join(quoted)
    return "\n".join(quoted if style in ("dotenv", "envfile") else [f"export {line}" for line in quoted])


def _say(ctx: Context, outcome: Outcome) -> None:
    if outcome is Outcome.UNCHANGED:
        ctx.output.detail("nothing changed")
    elif outcome is Outcome.RECORDED:
        ctx.output.detail("takes effect with the next release")


def _split(words: tuple[str, ...], is_global: bool) -> tuple[str, tuple[str, ...]]:
    """Return the app ('' for --global) and the rest."""
    if is_global:
        return "", words
    if not words:
        raise UsageError("No app is named", remedy="name the app first, or add --global")
    if "=" in words[0]:
        raise InvalidInput(f"'{words[0].partition('=')[0]}=...' stands where the app's name belongs", remedy="name the app first")
    return words[0], words[1:]


def _values(ctx: Context, app: str, *, merged: bool) -> Mapping[str, str]:
    if app:
        ctx.state.apps.get(app)
    return ctx.state.config.merged(app) if merged else ctx.state.config.get(app)


def _decoded(key: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise InvalidInput(f"The value of {key} is not base64 of UTF-8 text", remedy="or leave out --encoded") from exc


COMMANDS: tuple[click.Command, ...] = (set_vars, unset_vars, get, show, keys_of, export)
