"""What all commands share: the one place that prints errors, reports, JSON, and the question before something is destroyed."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import click

from paas.context import Context
from paas.errors import Conflict, HostProblem, InvalidInput, PaasError, UsageError
from paas.model.process import WEB
from paas.output import DETAIL, Output
from paas.timing import Timing, is_asked_for

#: What a report holds for one app.
ReportOf = Callable[[Context, str], Mapping[str, str]]

format_option = click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", help="json for scripts")
process_option = click.option("--process", default=WEB, metavar="TYPE", help="of this process type, e.g. web-admin")
force_option = click.option("--force", is_flag=True, help="do not ask")


#: A push option, and an option of commands that deploy.
CANCEL_ON_DISCONNECT = "cancel-on-disconnect"


def cancel_on_disconnect() -> None:
    """From here on end like by Ctrl-C when the client goes away: the server tells us so with SIGHUP, ignored otherwise."""
    signal.signal(signal.SIGHUP, signal.default_int_handler)


disconnect_option = click.option(
    f"--{CANCEL_ON_DISCONNECT}", is_flag=True, expose_value=False, help="end, and undo what was begun, when you hang up",
    callback=lambda _ctx, _option, is_wanted: cancel_on_disconnect() if is_wanted else None,
)  # fmt: skip


def after_dashes(ctx: click.Context, argument: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """Take the command of `paas run shop -- ls`: all behind the first `--`, when that comes first."""
    command = words[1:] if words[:1] == ("--",) else words
    if argument.required and not command:
        raise click.MissingParameter(ctx=ctx, param=argument)
    return command


def error_boundary(command: Callable[[], int], output: Output) -> int:
    """Run a command; print what it raises; return the exit code. Nothing else in the product prints errors."""
    try:
        return command()
    except PaasError as exc:
        return print_error(exc, output)
    except click.ClickException as exc:
        hint = exc.ctx.get_usage() if isinstance(exc, click.UsageError) and exc.ctx else ""
        return print_error(UsageError(exc.format_message(), remedy=hint or "see: paas help"), output)
    except (KeyboardInterrupt, click.Abort):
        _write_err("")
        return 130
    except BrokenPipeError:
        return 0  # the reader has seen enough
    except Exception as exc:  # the boundary: a defect of ours must not look like one of the user's app
        problem = _host_problem(exc)
        return print_error(problem, output) if problem else _print_defect(exc, output)


def print_error(error: PaasError, output: Output) -> int:
    """Print what happened, the output that explains it, and what to type; return the exit code."""
    output.error(error.message)
    for line in (*error.output, *error.remedy.splitlines()):
        _write_err(DETAIL + line)
    return error.exit_code


def _host_problem(error: Exception) -> HostProblem | None:
    """Return what the machine ran out of, or None when that was not it."""
    if not isinstance(error, OSError):
        return None
    where = f" ({error.filename})" if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return HostProblem(f"The disk is full{where}", remedy="free some space, e.g. with: sudo paas image:prune")
        case errno.EROFS:
            return HostProblem(f"The disk cannot be written{where}", remedy="see what the kernel says: dmesg | tail")
        case errno.EMFILE | errno.ENFILE | errno.ENOMEM | errno.EAGAIN:
            return HostProblem(f"The machine ran out of resources: {error.strerror}{where}", remedy="run: sudo paas doctor")
    return None


def _print_defect(error: Exception, output: Output) -> int:
    text = "".join(traceback.format_exception(error))
    if is_asked_for():
        _write_err(text)
        return os.EX_SOFTWARE
    output.error(f"This is a defect of paas itself: {type(error).__name__}: {error}")
    try:
        with tempfile.NamedTemporaryFile("w", prefix="paas-", suffix=".trace", delete=False) as file:
            file.write(text)
    except OSError:
        _write_err(DETAIL + "run it again with --trace and please report what it says")
    else:
        _write_err(f"{DETAIL}please report it with {file.name}")
    return os.EX_SOFTWARE


def print_times(timing: Timing) -> None:
    """Print where the time of a command went, if that was measured."""
    for line in timing.lines():
        _write_err(line)


def _write_err(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # the reader is gone


def print_json(output: Output, value: Any) -> None:
    """Print a value for scripts."""
    output.plain(json.dumps(value, indent=2, default=str))


def report_command(topic: str, doc: str, report_of: ReportOf, *, what: str = "") -> click.Command:
    """Return the command `<topic>:report [app] [--key]`: as text or JSON, of one app or of all, or one value alone.

    The keys of the report are its flags, as in `apps:report shop --app-locked`.
    """

    @click.command(f"{topic}:report", help=doc, context_settings={"ignore_unknown_options": True})
    @click.argument("app", default="")
    @click.argument("key", default="", metavar="[--KEY]")
    @format_option
    @click.pass_obj
    def report(ctx: Context, app: str, key: str, style: str) -> None:
        names = [ctx.state.apps.get(app).name] if app else [one.name for one in ctx.state.apps.list()]
        reports = {name: dict(report_of(ctx, name)) for name in names}
        if key:
            ctx.output.plain(_value(reports[app], key))
        elif style == "json":
            print_json(ctx.output, reports[app] if app else reports)
        else:
            for name, found in reports.items():
                print_report(ctx.output, f"{name} {what or topic} information", found)

    return report


def _value(report: Mapping[str, str], key: str) -> str:
    name = key.removeprefix("--")
    if name not in report:
        raise InvalidInput(f"There is no '{name}' in this report", remedy=f"it has: {', '.join(report)}")
    return report[name]


def print_report(output: Output, title: str, report: Mapping[str, str]) -> None:
    """Print a report as Dokku does: `=====> title`, then aligned `Key: value` lines."""
    output.milestone(title)
    width = max((len(key) for key in report), default=0) + 1
    for key, value in report.items():
        output.plain(f"{DETAIL}{_sentence(key) + ':':<{width}} {value}".rstrip())


def _sentence(key: str) -> str:
    words = key.replace("-", " ").replace(".", " ")
    return words[:1].upper() + words[1:]


def confirm(name: str, what: str, *, force: bool) -> None:
    """Ask for the name of what is about to be destroyed. Raises Conflict when it is not typed."""
    if force:
        return
    sys.stderr.write(f" !     WARNING: Potentially Destructive Action\n !     {what}\n")
    sys.stderr.write(f" !     To proceed, type \"{name}\": ")
    sys.stderr.flush()
    typed = sys.stdin.readline().strip()
    if typed != name:
        raise Conflict(f"Confirmation did not match {name}. Aborted.", remedy="type the name, or add --force")
