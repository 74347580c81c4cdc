"""launch.toml, process types, and the environment at launch as shell text. Pure.

Source: buildpack spec, "launch.toml (TOML)" and "Environment", "Launch Environment".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paas.builders.buildpack.inside.environment import Change
from paas.errors import BuildFailed
from paas.model.process import LAUNCHER, PROCESS_TYPE, WEB, ProcessType

WORKSPACE = "/workspace"
#: From this Buildpack API on a command is a list that no shell reads.
DIRECT_API = (0, 9)
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of launch.toml: `argv` as it is, or `shell`, a line for bash."""

    type: str
    argv: tuple[str, ...] = ()
    shell: str = ""
    workdir: str = ""
    is_default: bool = False

    @property
    def display(self) -> str:
        """Return the command as people would type it."""
        if self.shell or self.argv[:2] in (("bash", "-c"), ("sh", "-c")):
            return self.shell or self.argv[2]
        return shlex.join(self.argv)

    def process_type(self, *, has_env: bool = False) -> ProcessType:
        """Return how the scheduler runs it; `has_env` when layers set variables for this type alone."""
        argv = [LAUNCHER]
        if has_env:
            argv += ["-p", self.type]
        if self.workdir:
            argv += ["-C", self.workdir]
        argv += [self.shell] if self.shell else ["--", *self.argv]
        return ProcessType(name=self.type, command=self.display, argv=tuple(argv))


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What one buildpack says about the image in launch.toml."""

    processes: tuple[Process, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


def parse_launch(document: Mapping[str, Any], *, api: tuple[int, int], buildpack: str) -> Launch:
    """Check a launch.toml. Raises BuildFailed naming the buildpack."""
    try:
        return Launch(
            processes=tuple(_process(table, api) for table in document.get("processes", [])),
            labels=tuple((str(table["key"]), str(table["value"])) for table in document.get("labels", [])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BuildFailed(f"The buildpack {buildpack} wrote a launch.toml that is not valid: {exc}") from exc


def combine(launches: Sequence[Launch], procfile: Sequence[ProcessType]) -> tuple[Process, ...]:
    """Return the image's processes, web first: the Procfile's alone if there is one, else the last word of the buildpacks.

    A default process is the web process when no other is called so.
    """
    if procfile:
        return tuple(Process(type=process.name, shell=process.command) for process in procfile)
    found = {process.type: process for launch in launches for process in launch.processes}
    default = next((p for p in reversed(list(found.values())) if p.is_default), None)
    if default is not None and WEB not in found:
        found[WEB] = Process(type=WEB, argv=default.argv, shell=default.shell, workdir=default.workdir)
    return tuple(sorted(found.values(), key=lambda process: process.type != WEB))


def render_env(changes: Sequence[Change]) -> str:
    """Return POSIX shell that applies the changes to its environment. Raises BuildFailed for a name no shell can set."""
    return "".join(_assignment(change) for change in changes)


def _assignment(change: Change) -> str:
    name, value = change.name, shlex.quote(change.value)
    if not _SHELL_NAME.match(name):
        raise BuildFailed(f"A buildpack sets a variable named '{name}' at launch, which is not a variable's name")
    if change.action == "override":
        return f"export {name}={value}\n"
    if change.action == "default":
        return f'[ -n "${{{name}:-}}" ] || export {name}={value}\n'
    delimiter, present = shlex.quote(change.delimiter), f'"${name}"'
    both = f"{present}{delimiter}{value}" if change.action == "append" else f"{value}{delimiter}{present}"
    return f'if [ -n "${{{name}:-}}" ]; then export {name}={both}; else export {name}={value}; fi\n'


def _process(table: Mapping[str, Any], api: tuple[int, int]) -> Process:
    kind, command, args = str(table["type"]), table["command"], [str(arg) for arg in table.get("args", [])]
    if not PROCESS_TYPE.match(kind):
        raise ValueError(f"'{kind}' is not a process type")
    words = [str(word) for word in command] if isinstance(command, list) else [str(command)]
    if not words or not words[0]:
        raise ValueError(f"the process {kind} has no command")
    is_direct = api >= DIRECT_API or table.get("direct") is True
    return Process(
        type=kind,
        argv=(*words, *args) if is_direct else (),
        shell="" if is_direct else " ".join([words[0], *map(shlex.quote, [*words[1:], *args])]),
        workdir=str(table.get("working-dir", "")),
        is_default=table.get("default") is True,
    )
