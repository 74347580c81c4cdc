"""`logs`: what the app's processes wrote, all containers merged by time, deploys and crashes included."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

from paas.context import Context
from paas.engines import LogLine
from paas.engines.embedded.logs import LineParser, Position, end_of_log, read_log, read_on
from paas.errors import NotFound

_POLL_S = 0.15
_CHUNK_BYTES = 1 << 20


@click.command("logs")
@click.argument("app")
@click.option("--num", "-n", "count", type=click.IntRange(0, 1_000_000), default=100, help="how many of the last lines; 0: all")
@click.option("--tail", "-t", "follow", is_flag=True, help="go on with new lines, of new containers too")
@click.option("--ps", "-p", "process", default="", metavar="TYPE[.N]", help="of this process type or process only")
@click.option("--quiet", "-q", is_flag=True, help="the text alone, without time and process")
@click.pass_obj
def logs(ctx: Context, app: str, count: int, follow: bool, process: str, quiet: bool) -> None:
    """Show what the app's processes wrote."""
    ctx.state.apps.get(app)
    folder = ctx.paths.app_logs(app)
    followed = {file: Followed.from_its_end(file) for file in log_files(folder, process)}
    if process and not followed and not follow:
        raise NotFound(f"{app} has no logs of {process}", remedy=f"see: paas ps:report {app}")
    lines = last_lines(followed.values(), count)
    while True:
        for name, line in lines:
            ctx.output.plain(line.text if quiet else rendered(app, name, line))
        if not follow or not ctx.output.has_reader:
            return
        ctx.sleep(_POLL_S)
        lines = new_lines(folder, process, followed)


def rendered(app: str, process: str, line: LogLine) -> str:
    """Write a line as Dokku does: `<time> app[web.1]: text`. Pure."""
    at = datetime.fromtimestamp(line.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{at}000Z {app}[{process}]: {line.text}"


def log_files(folder: Path, process: str) -> tuple[Path, ...]:
    """Return the log files of a process type or process ('' for all): `<type>.<index>/<container>.log`."""
    if not folder.is_dir():
        return ()
    wanted = [d for d in folder.iterdir() if d.is_dir() and (not process or process in (d.name, d.name.rpartition(".")[0]))]
    return tuple(file for directory in wanted for file in directory.glob("*.log"))


@dataclass(slots=True, kw_only=True)
class Followed:
    """One log that is followed: how far it was read, and what has come of the lines whose end is still to come."""

    file: Path
    position: Position = Position()
    rest: bytes = b""
    parser: LineParser = field(default_factory=LineParser)

    @classmethod
    def from_its_end(cls, file: Path) -> Followed:
        """Follow what comes from now on."""
        return cls(file=file, position=end_of_log(file))

    @property
    def process(self) -> str:
        """Return whose log it is, `web.1`."""
        return self.file.parent.name

    def read(self) -> Iterator[LogLine]:
        """Yield the lines that came since the last call."""
        *whole, self.rest = (self.rest + self._fresh_bytes()).split(b"\n")
        yield from self.parser.feed(whole)

    def _fresh_bytes(self) -> bytes:
        fresh = b""
        while len(fresh) < _CHUNK_BYTES:
            piece, self.position = read_on(self.file, self.position, _CHUNK_BYTES)
            if not piece:
                break
            fresh += piece
        return fresh


def last_lines(logs: Iterable[Followed], count: int) -> list[tuple[str, LogLine]]:
    """Return the last `count` (0: all) lines before the logs' positions, oldest first, each with its process's name."""
    found = [[(log.process, line) for line in read_log(log.file, lines=count, end=log.position)] for log in logs]
    lines = list(heapq.merge(*found, key=lambda entry: entry[1].at))
    return lines[-count:] if count else lines


def new_lines(folder: Path, process: str, followed: dict[Path, Followed]) -> list[tuple[str, LogLine]]:
    """Return what came since the last call, also in files that are new."""
    for file in log_files(folder, process):
        followed.setdefault(file, Followed(file=file))
    lines = [(log.process, line) for log in followed.values() for line in log.read()]
    return sorted(lines, key=lambda entry: entry[1].at)


COMMANDS: tuple[click.Command, ...] = (logs,)
