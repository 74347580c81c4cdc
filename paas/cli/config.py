"""`config:*`: an app's config vars, and those of all apps."""

from __future__ import annotations

import io
import os
import shlex
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import click

from paas.cli.common import disconnect_option, format_option, print_json
from paas.context import Context
from paas.deploy import config, rekey
from paas.deploy.config import Outcome
from paas.errors import InvalidInput, NotFound, PermissionRefused, UsageError
from paas.model import envfile
from paas.model.env import RESERVED, parse_assignments, parse_key

no_restart_option = click.option("--no-restart", is_flag=True, help="take effect with the next release")
global_option = click.option("--global", "is_global", is_flag=True, help="for all apps, instead of one")
merged_option = click.option("--merged", is_flag=True, help="the global ones, too")
encoded_option = click.option("--encoded", is_flag=True, help="values are base64")
#: A file of config vars is not longer; the kernel allows an environment of 2 MiB.
MAX_BYTES = 4 << 20


@click.command("config:set", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, metavar="<app> KEY=VALUE...")
@no_restart_option
@global_option
@encoded_option
@disconnect_option
@click.pass_obj
def set_vars(ctx: Context, words: tuple[str, ...], no_restart: bool, is_global: bool, encoded: bool) -> None:
    """Set config vars; a running app gets a new release with them."""
    app, assignments = _split(words, is_global)
    changes = parse_assignments(assignments)
    if not changes:
        raise UsageError("No config var is given", remedy="e.g. paas config:set shop KEY=value")
    if encoded:
        changes = envfile.decoded(changes)
    ctx.output.step("Setting config vars")
    _name(ctx, changes)
    if is_global:
        _say(ctx, config.set_global(ctx, changes))
    else:
        _say(ctx, config.set_config(ctx, app, changes, restart=not no_restart))


@click.command("config:unset")
@click.argument("words", nargs=-1, required=True, metavar="<app> KEY...")
@no_restart_option
@global_option
@disconnect_option
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


@click.command("config:clear")
@click.argument("words", nargs=-1, metavar="<app>")
@no_restart_option
@global_option
@disconnect_option
@click.pass_obj
def clear(ctx: Context, words: tuple[str, ...], no_restart: bool, is_global: bool) -> None:
    """Remove all config vars; a running app gets a new release without them."""
    app, _ = _split(words, is_global, at_most=0)
    ctx.output.step("Removing all config vars")
    if is_global:
        _say(ctx, config.replace_global(ctx, {}, command="config:clear"))
    else:
        _say(ctx, config.replace_config(ctx, app, {}, restart=not no_restart, command="config:clear"))


@click.command("config:import")
@click.argument("words", nargs=-1, metavar="<app> [FILE]")
@click.option("--format", "style", type=click.Choice(envfile.FORMATS), default="dotenv", help="how the file is written")
@click.option("--replace", is_flag=True, help="remove those that the file does not have, in the same release")
@no_restart_option
@global_option
@encoded_option
@disconnect_option
@click.pass_obj
def import_vars(
    ctx: Context, words: tuple[str, ...], style: str, replace: bool, no_restart: bool, is_global: bool, encoded: bool
) -> None:
    """Set config vars from stdin, or from a file on this machine; no value is seen in a process list."""
    app, files = _split(words, is_global, at_most=1)
    if app:
        ctx.state.apps.get(app)
    changes = envfile.parse(_read(ctx, files[0] if files else "-"), style)
    if encoded:
        changes = envfile.decoded(changes)
    if not changes:  # an empty file is rather a mistake than a wish
        raise InvalidInput("There is no config var in it", remedy=f"to remove all: paas config:clear {app or '--global'}")
    ctx.output.step(f"Importing {len(changes)} config vars")
    _name(ctx, changes)
    if is_global:
        change_global = config.replace_global if replace else config.set_global
        _say(ctx, change_global(ctx, changes, command="config:import"))
    else:
        change = config.replace_config if replace else config.set_config
        _say(ctx, change(ctx, app, changes, restart=not no_restart, command="config:import"))


@click.command("config:get")
@click.argument("words", nargs=-1, required=True, metavar="<app> KEY")
@global_option
@merged_option
@click.option("--quoted", is_flag=True, help="for a shell to read")
@click.option("--encoded", is_flag=True, help="in base64")
@click.pass_obj
def get(ctx: Context, words: tuple[str, ...], is_global: bool, merged: bool, quoted: bool, encoded: bool) -> None:
    """Print one config var's value."""
    app, keys = _split(words, is_global)
    if len(keys) != 1:
        raise UsageError("Name one config var", remedy="e.g. paas config:get shop KEY")
    values = _values(ctx, app, merged=merged)
    if parse_key(keys[0]) not in values:
        raise NotFound(f"{keys[0]} is not set", remedy=f"see: paas config:keys {app or '--global'}")
    value = str((envfile.encoded(values) if encoded else values)[keys[0]])
    ctx.output.plain(shlex.quote(value) if quoted else value)


@click.command("config:show")
@click.argument("words", nargs=-1, metavar="<app>")
@global_option
@merged_option
@format_option
@click.pass_obj
def show(ctx: Context, words: tuple[str, ...], is_global: bool, merged: bool, style: str) -> None:
    """Show all config vars."""
    app, _ = _split(words, is_global, at_most=0)
    values = _values(ctx, app, merged=merged)
    if style == "json":
        ctx.output.plain(envfile.render(values, "json"))
        return
    ctx.output.milestone(f"{app or 'global'} env vars")
    if values:
        ctx.output.plain(envfile.render(values, "pretty"))


@click.command("config:keys")
@click.argument("words", nargs=-1, metavar="<app>")
@global_option
@merged_option
@format_option
@click.pass_obj
def keys_of(ctx: Context, words: tuple[str, ...], is_global: bool, merged: bool, style: str) -> None:
    """List the names of the config vars."""
    app, _ = _split(words, is_global, at_most=0)
    found = list(_values(ctx, app, merged=merged))
    if style == "json":
        print_json(ctx.output, found)
        return
    for key in found:
        ctx.output.plain(key)


@click.command("config:export")
@click.argument("words", nargs=-1, metavar="<app>")
@global_option
@merged_option
@click.option(
    "--format", "style", type=click.Choice([*envfile.FORMATS, *envfile.ONE_WAY]), default="exports", help="how to write them"
)
@click.option("--encoded", is_flag=True, help="values in base64")
@click.pass_obj
def export(ctx: Context, words: tuple[str, ...], is_global: bool, merged: bool, style: str, encoded: bool) -> None:
    """Print the config vars for a shell to evaluate, or in another format."""
    app, _ = _split(words, is_global, at_most=0)
    values = _values(ctx, app, merged=merged)
    text = envfile.render(envfile.encoded(values) if encoded else values, style)
    if text:
        ctx.output.plain(text)


@click.command("config:bundle")
@click.argument("words", nargs=-1, metavar="<app>")
@global_option
@merged_option
@click.pass_obj
def bundle(ctx: Context, words: tuple[str, ...], is_global: bool, merged: bool) -> None:
    """Write the config vars to stdout as a tar archive with a file for each, its content the value byte for byte."""
    app, _ = _split(words, is_global, at_most=0)
    values = _values(ctx, app, merged=merged)
    if os.isatty(1):
        raise UsageError("A tar archive is nothing for a terminal", remedy=f"paas config:bundle {app or '--global'} > config.tar")
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for key, value in values.items():
            entry = tarfile.TarInfo(key)
            content = value.encode()
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))


@click.command("config:rekey")
@click.option("--new-key", is_flag=True, help="with a fresh key, which takes the place of the present one")
@click.option("--decrypt", is_flag=True, help="store them unencrypted, before config-key-file is taken out of paas.toml")
@click.pass_obj
def rekey_vars(ctx: Context, new_key: bool, decrypt: bool) -> None:
    """Encrypt all config vars in the database, those of old releases too, with the key in config-key-file."""
    if not ctx.identity.is_admin:
        raise PermissionRefused("config:rekey is for administrators", remedy="on the machine itself run: sudo paas config:rekey")
    if new_key and decrypt:
        raise UsageError("--new-key and --decrypt do not go together", remedy="give one of them")
    count = rekey.decrypt(ctx) if decrypt else rekey.rekey(ctx, with_new_key=new_key)
    ctx.output.step(f"{count} values are stored {'unencrypted' if decrypt else 'encrypted'}")


def _name(ctx: Context, changes: Mapping[str, str]) -> None:
    """Say which are set, never to what; and which of them no process will see."""
    for key in changes:
        ctx.output.detail(f"{key}: ***")
    for key in sorted(RESERVED & changes.keys()):
        ctx.output.warn(f"Processes do not see this value of {key}: paas tells them its own")


def _say(ctx: Context, outcome: Outcome) -> None:
    if outcome is Outcome.UNCHANGED:
        ctx.output.detail("nothing changed")
    elif outcome is Outcome.RECORDED:
        ctx.output.detail("takes effect with the next release")


def _split(words: tuple[str, ...], is_global: bool, *, at_most: int | None = None) -> tuple[str, tuple[str, ...]]:
    """Return the app ('' for --global) and the rest, of which there may be `at_most` so many."""
    app, rest = ("", words) if is_global else (words[0] if words else "", words[1:])
    if not app and not is_global:
        raise UsageError("No app is named", remedy="name the app first, or add --global")
    if "=" in app:
        raise InvalidInput(f"'{app.partition('=')[0]}=...' stands where the app's name belongs", remedy="name the app first")
    if at_most is not None and len(rest) > at_most:
        raise UsageError(f"That is {len(rest) - at_most} more than it takes", remedy="name one app, or give --global alone")
    return app, rest


def _values(ctx: Context, app: str, *, merged: bool) -> Mapping[str, str]:
    if app:
        ctx.state.apps.get(app)
    return ctx.state.config.merged(app) if merged else ctx.state.config.get(app)


def _read(ctx: Context, name: str) -> str:
    """Return what a file of config vars holds; '-' is stdin. Raises InvalidInput, NotFound, PermissionRefused."""
    if name == "-":
        payload = sys.stdin.buffer.read(MAX_BYTES + 1)
    elif not ctx.identity.is_admin:  # this command runs as root: the machine's files are none of a user's
        raise PermissionRefused("Only administrators may name a file", remedy="hand it over: paas config:import <app> < FILE")
    else:
        try:
            with Path(name).open("rb") as stream:
                payload = stream.read(MAX_BYTES + 1)
        except OSError as exc:
            raise NotFound(f"Could not read {name}: {exc.strerror}", remedy="name a file, or leave it out for stdin") from exc
    if len(payload) > MAX_BYTES:
        raise InvalidInput(f"This is more than {MAX_BYTES >> 20} MiB", remedy="put large things into a file of the app")
    try:
        return payload.decode("utf-8-sig")  # Windows' editors put a byte order mark in front
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"This is not UTF-8 text: byte {exc.start}", remedy="give values in base64, with --encoded") from None


COMMANDS: tuple[click.Command, ...] = (
    set_vars, unset_vars, clear, import_vars, get, show, keys_of, export, bundle, rekey_vars,
)  # fmt: skip
