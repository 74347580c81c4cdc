"""What all commands share: the one place that prints errors, tables, JSON, and the question before something is destroyed."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from paas.errors import Conflict, PaasError
from paas.output import DETAIL, Output

#: `apps:report shop --app-locked` prints that value alone: the flags are the report's keys, not options.
REPORT = {"ignore_unknown_options": True}
format_option = click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", help="json for scripts")
force_option = click.option("--force", is_flag=True, help="do not ask")


def error_boundary(command: Callable[[], int], output: Output) -> int:
    """Run a command; print what it raises; return the exit code. Nothing else in the product prints errors."""
    try:
        return command()
    except PaasError as exc:
        print_error(exc, output)
        return exc.exit_code
    except click.ClickException as exc:
        hint = exc.ctx.get_usage() if isinstance(exc, click.UsageError) and exc.ctx else ""
        output.error(exc.format_message())
        _write_err(DETAIL + (hint or "see: paas help"))
        return exc.exit_code
    except (KeyboardInterrupt, click.Abort):
        _write_err("")
        return 130
    except BrokenPipeError:
        return 0  # the reader has seen enough
    except Exception as exc:  # the boundary: a defect of ours must not look like one of the user's app
        return _print_defect(exc, output)


def print_error(error: PaasError, output: Output) -> None:
    """Print what happened, the output that explains it, and what to type."""
    for line in error.output:
        _write_err(DETAIL + line)
    output.error(error.message)
    if error.remedy:
        for line in error.remedy.splitlines():
            _write_err(DETAIL + line)


def _print_defect(error: Exception, output: Output) -> int:
    text = "".join(traceback.format_exception(error))
    if os.environ.get("PAAS_TRACE") == "1":
        _write_err(text)
        return 70
    with tempfile.NamedTemporaryFile("w", prefix="paas-", suffix=".trace", delete=False) as file:
        file.write(text)
    output.error(f"This is a defect of paas itself: {type(error).__name__}: {error}")
    _write_err(f"{DETAIL}please report it with {file.name}")
    return 70  # sysexits.h, EX_SOFTWARE


def _write_err(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # the reader is gone


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Lay rows out in columns, two spaces apart. Pure."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return tuple("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in (header, *rows))


def print_json(output: Output, value: Any) -> None:
    """Print a value for scripts."""
    output.plain(json.dumps(value, indent=2, default=str))


def print_report(output: Output, title: str, report: Mapping[str, str], *, style: str = "text", only: str = "") -> None:
    """Print a report as Dokku does: `=====> title`, then aligned `Key: value` lines; `only` prints that value alone."""
    if only:
        key = only.removeprefix("--")
        if key not in report:
            raise Conflict(f"There is no '{key}' in this report", remedy=f"it has: {', '.join(report)}")
        output.plain(report[key])
    elif style == "json":
        print_json(output, dict(report))
    else:
        output.plain(f"=====> {title}")
        width = max((len(key) for key in report), default=0) + 1
        for key, value in report.items():
            output.plain(f"{DETAIL}{_sentence(key) + ':':<{width + 1}} {value}".rstrip())


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
