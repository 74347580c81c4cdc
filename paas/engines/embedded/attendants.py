"""The processes that work for containers, conmon and the runtime, found by their command lines: nobody keeps their pids."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("conmon", "crun", "runc")
#: How conmon calls the runtime when it is to start a sealed copy of it.
_SEALED = re.compile(rb"/proc/\d+/fd/\d+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendant:
    """One process. `container` is the id of the container that it works for."""

    pid: int
    program: str
    container: str


def attendants(containers: Path) -> Iterator[Attendant]:
    """Return those of the containers in a directory. Reads only."""
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdecimal() else [b""]
            if (program := program_in(words)) and (container := container_in(words, containers)):
                yield Attendant(pid=int(process.name), program=program, container=container)


def program_in(words: list[bytes]) -> str:
    """Return the program that a command line runs if it is one that works for containers, or ''. Pure."""
    if _SEALED.match(words[0]):
        return "crun"
    name = os.path.basename(os.fsdecode(words[0]))  # noqa: PTH119  # one for each process of the machine
    return name if name in PROGRAMS else ""


def container_in(words: list[bytes], containers: Path) -> str:
    """Return the id of the container whose directory a command line names, or ''. Pure."""
    prefix = os.fsencode(containers) + b"/"
    for word in words:
        if word.startswith(prefix):
            return os.fsdecode(word[len(prefix) :].partition(b"/")[0])
    return ""


def is_runtime_at_work(containers: Path, container: str) -> bool:
    """Say whether a runtime is busy with a container on this machine's side; its child inside, before it is the init, is none."""
    for attendant in attendants(containers):
        if attendant.container == container and attendant.program != "conmon":
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{attendant.pid}/status").read_text()
                if any(line.startswith("NSpid:") and len(line.split()) == 2 for line in status.splitlines()):
                    return True
    return False


def end_attendant(attendant: Attendant) -> None:
    """Kill it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(attendant.pid, signal.SIGKILL)
