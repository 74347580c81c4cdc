"""Process types, Procfile and formation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paas.errors import InvalidFile, InvalidInput

PROCESS_TYPE = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_LINE = re.compile(r"(?P<type>[^:\s]+)\s*:\s*(?P<command>.*\S)\s*\Z")
_PORT = re.compile(r"\$(PORT\b|\{PORT\})")
_INDEX = re.compile(r"[1-9][0-9]{0,3}\Z")
#: What makes a line more than one simple command: `exec` in front would run only its first part.
_SHELL_SYNTAX = re.compile(
    r"[;&|<>()`\n]|\A\s*\w+=|\A\s*(?:cd|export|set|if|for|while|until|case|exec|source|\.|:|\{|!)(?:\s|\Z)"
)
#: Run once before the switch, never as a process (Heroku release phase).
RELEASE = "release"
WEB = "web"
#: More processes of one type than one machine runs.
MAX_QUANTITY = 500
#: ENTRYPOINT of a buildpack image: it takes a whole shell line as one argument. Source: Buildpacks platform spec, "Launch".
LAUNCHER = "/cnb/launcher"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessType:
    """A named command of the app.

    `command` is a shell line (from a Procfile) when `is_shell`, else `argv` is executed as it is (from an image or launch.toml).
    """

    name: str
    command: str = ""
    argv: tuple[str, ...] = ()

    @property
    def is_shell(self) -> bool:
        return not self.argv


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """One process of the formation, `web.1`. `index` counts from 1."""

    type: str
    index: int

    def __str__(self) -> str:
        return f"{self.type}.{self.index}"


Formation = Mapping[str, int]


def parse_procfile(text: str, *, file: str = "Procfile") -> tuple[ProcessType, ...]:
    """Read a Procfile; web comes first, the rest in file order. Raises InvalidFile with the line.

    `#` and `//` start comment lines, CRLF is accepted, a type given twice or a line that is no `type: command` is an error.
    Source: Dokku procfile-util.
    """
    found: dict[str, ProcessType] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", "//")):
            continue
        match = _LINE.match(line)
        if match is None:
            raise InvalidFile(file, number, "expected 'type: command'", text=raw, remedy="e.g. web: python app.py")
        name = match["type"]
        if not PROCESS_TYPE.match(name):
            raise InvalidFile(file, number, f"'{name}' is not a process type", text=raw,
                              remedy="use letters, digits, '-' and '_', at most 63")
        if name in found:
            raise InvalidFile(file, number, f"process type '{name}' stands here twice", text=raw)
        found[name] = ProcessType(name=name, command=match["command"])
    return tuple(sorted(found.values(), key=lambda p: p.name != WEB))


def command_line(process: ProcessType, entrypoint: tuple[str, ...] = (), *, port: int = 0) -> tuple[str, ...]:
    """Return the argv that runs a process on an image with this ENTRYPOINT.

    An argv runs as it is. A shell line runs in `/bin/sh -c`; on an image with an entrypoint its words are the entrypoint's
    arguments, as with `docker run`, `$PORT` filled in (Dokku does the same). A lone command is exec'ed so that it gets the
    signals itself. Raises InvalidInput for quotes that do not end.
    """
    if process.argv:
        return process.argv
    if entrypoint == (LAUNCHER,):
        return (LAUNCHER, process.command)
    if entrypoint:
        filled = _PORT.sub(str(port), process.command) if port else process.command
        try:
            return (*entrypoint, *shlex.split(filled))
        except ValueError as exc:
            remedy = "on an image with an ENTRYPOINT it is a list of words: close the quotes"
            raise InvalidInput(f"The command of {process.name} cannot be read: {exc}: {filled}", remedy=remedy) from exc
    prefix = "" if _SHELL_SYNTAX.search(process.command) else "exec "
    return ("/bin/sh", "-c", prefix + process.command)


def default_formation(types: Mapping[str, ProcessType] | tuple[ProcessType, ...], scaled: Formation) -> dict[str, int]:
    """Return how many of each type should run: what was scaled, else web 1 and others 0."""
    names = [p.name for p in (types.values() if isinstance(types, Mapping) else types)]
    return {n: scaled.get(n, 1 if n == WEB else 0) for n in names if n != RELEASE}


def parse_process(text: str) -> ProcessId | str:
    """Return the process that `web.2` names, or the type that `web` names. Raises InvalidInput."""
    name, dot, index = text.partition(".")
    if not PROCESS_TYPE.match(name) or (dot and not _INDEX.match(index)):
        raise InvalidInput(f"'{text}' is no process", remedy="name a type or one process, e.g. web or web.2")
    return ProcessId(type=name, index=int(index)) if dot else name


def parse_scales(arguments: Iterable[str]) -> dict[str, int]:
    """Parse `web=3 worker=1`. Raises InvalidInput, also for a type given twice."""
    found: dict[str, int] = {}
    for argument in arguments:
        name, count = parse_scale(argument)
        if name in found:
            raise InvalidInput(f"{name} is given twice: {name}={found[name]} and {argument}", remedy="give each type one count")
        found[name] = count
    return found


def parse_scale(argument: str) -> tuple[str, int]:
    """Parse `web=3`. Raises InvalidInput."""
    name, equals, count = argument.partition("=")
    if not equals or not PROCESS_TYPE.match(name) or not count.isdecimal():
        raise InvalidInput(f"'{argument}' is not a scale", remedy="write type=count, e.g. web=2 worker=1")
    if int(count) > MAX_QUANTITY:
        raise InvalidInput(f"{name}={count} is more than {MAX_QUANTITY} processes", remedy=f"e.g. {name}=20")
    return name, int(count)
