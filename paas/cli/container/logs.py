"""`container:logs`: what a container wrote."""

from __future__ import annotations

import itertools
import math
import re
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

import click

from paas.cli.container.flags import parse_moment
from paas.context import Context
from paas.engines import LogLine
from paas.errors import InvalidInput


@click.command("container:logs")
@click.option("-f", "--follow", is_flag=True, help="go on until it stops")
@click.option("-n", "--tail", default="all", metavar="NUMBER|all", help="only the last lines")
@click.option("-t", "--timestamps", is_flag=True, help="show when each line was written")
@click.option("--since", default="", metavar="TIME", help="only lines from then on, e.g. 10m or 2026-11-24T02:21:31Z")
@click.option("--until", default="", metavar="TIME", help="only lines before that")
@click.argument("container")
@click.pass_obj
def logs(ctx: Context, follow: bool, tail: str, timestamps: bool, since: str, until: str, container: str) -> None:
    """Show what a container wrote; its stderr goes to stderr."""
    now, count = ctx.now(), _line_count(tail)
    first = parse_moment(since, now=now) if since else 0.0
    last = parse_moment(until, now=now) if until else math.inf
    if count == 0:
        first = max(first, now)
    for line in _written(ctx, container, count, follow=follow, last=last):
        if line.at >= first:
            click.echo((f"{_timestamp(line.at)} " if timestamps else "") + line.text, err=line.stream == "stderr")


def _written(ctx: Context, container: str, count: int | None, *, follow: bool, last: float) -> Iterable[LogLine]:
    """Give the last `count` lines (None: all) of what was written before `last`."""
    if not math.isinf(last):
        lines = itertools.takewhile(lambda line: line.at < last, ctx.engine.logs(container, follow=follow))
        return lines if count is None else deque(lines, maxlen=count)
    return ctx.engine.logs(container, lines=count or 0, follow=follow)


def _line_count(tail: str) -> int | None:
    if tail == "all":
        return None
    if not re.fullmatch(r"\d{1,9}", tail, re.ASCII):
        raise InvalidInput(f"'{tail}' is not a number of lines", remedy="e.g. --tail 100, or --tail all")
    return int(tail)


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
