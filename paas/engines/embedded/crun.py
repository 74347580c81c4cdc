"""crun's command line. argv are pure functions; the class runs them for one state directory.

Source: crun(1). runc has the same verbs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paas.errors import CommandFailed, HostProblem, NotInvoked
from paas.host.files import remove_tree
from paas.host.run import PIPE, TimeoutExpired, run, spawn
from paas.host.sealed import sealed_copy

CANDIDATES = ("crun", "runc")
#: What it needs to end by itself when the process that it starts has ended.
_LAST_WORDS_S = 2.0


def find_runtime() -> Path:
    """Return the OCI runtime of this machine. Raises HostProblem."""
    for name in CANDIDATES:
        found = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        if found:
            return Path(found)
    raise HostProblem("No OCI runtime is installed", remedy="apt-get install crun")


def log_options(log: Path) -> tuple[str, ...]:
    """Return the options before the verb with which the runtime writes what went wrong to a file, not to its stderr."""
    return ("--log", str(log), "--log-format", "json")


def read_said(log: Path) -> str:
    """Return what the runtime wrote to its log; '' if it had nothing to say."""
    try:
        return log.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def runtime_problem(program: str, said: str) -> HostProblem | None:
    """Return the error in what the runtime has said when it should start a program; None when it said nothing. Pure."""
    message = runtime_message(said)
    if not message:
        return None
    if "executable" in message or message.startswith(("exec", "chdir")):
        is_missing = re.search("not found|no such file", message, re.IGNORECASE) is not None and not message.startswith("chdir")
        return NotInvoked(program, message, is_missing=is_missing)
    return HostProblem(f"The container could not be made: {message}")


def runtime_message(said: str) -> str:
    """Return the sentence in what the runtime said: plain, or JSON lines with `msg`. Pure."""
    for line in reversed(said.splitlines()):
        if not line.startswith("{"):
            return line
        try:
            return str(json.loads(line)["msg"])
        except (ValueError, KeyError):
            continue
    return said.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Crun:
    """The runtime and where it keeps its own state (below /run: gone at reboot)."""

    binary: Path
    state: Path

    @property
    def global_options(self) -> tuple[str, ...]:
        """Return the options before the verb. Without systemd as manager: cgroups are ours to name."""
        manager = ("--cgroup-manager", "cgroupfs") if self.binary.name == "crun" else ()
        return ("--root", str(self.state), *manager)

    def argv(self, *arguments: str) -> list[str]:
        """Return a whole command line."""
        return [str(self.binary), *self.global_options, *arguments]

    @contextlib.contextmanager
    def program(self) -> Iterator[Path]:
        """Give what to execute as the runtime.

        So that no container can write to the host's binary, crun runs from a read-only mount of it, which it makes and takes
        away each time and starts itself again from; it need not where it is a sealed file already. Source: cloned_binary.c.
        """
        if self.binary.name != "crun":
            yield self.binary
            return
        with sealed_copy(self.binary) as copy:
            yield copy

    def start(self, container: str, init: int) -> None:
        """Let a created container's process `init` go on. Raises CommandFailed; once that is dead crun would wait without end."""
        argv = self.argv("start", container)
        with self.program() as program, spawn(argv, stderr=PIPE, program=program) as process:
            try:
                _wait_for_one(process.pid, init)
                _, said = process.communicate(timeout=_LAST_WORDS_S)
            except TimeoutExpired:
                process.kill()
                _, said = process.communicate()
            except BaseException:
                process.kill()  # else leaving would wait for it
                raise
        if process.returncode != 0:
            raise CommandFailed(argv, process.returncode, said.decode(errors="replace").splitlines())

    def delete(self, container: str) -> None:
        """Kill it if it runs and forget it; fine if it is unknown."""
        for is_last in (False, True):
            try:
                self._run("delete", "--force", container)
                return
            except CommandFailed as exc:
                if not self.knows(container):
                    return
                if is_last or exc.status >= 0:  # one that was killed itself is tried once more
                    raise

    def forget(self, container: str) -> None:
        """Remove the record of a container whose processes and control groups are gone: all that `delete` would do then."""
        remove_tree(self.state / container)

    def kill(self, container: str, signal: int) -> None:
        """Signal its init."""
        self._run("kill", container, str(signal))

    def knows(self, container: str) -> bool:
        """Say whether the runtime has a record of it."""
        return (self.state / container).is_dir()

    def known(self) -> tuple[str, ...]:
        """Return all ids it has a record of."""
        try:
            return tuple(sorted(e.name for e in self.state.iterdir() if e.is_dir() and not e.name.startswith(".")))
        except FileNotFoundError:
            return ()

    def exec_argv(
        self, container: str, process: Path, *, console: Path | None = None, pid_file: Path | None = None, log: Path | None = None
    ) -> list[str]:
        """Return the command that runs one more process, described by an OCI `process` object in a file."""
        logged = log_options(log) if log is not None else ()
        terminal = ("--console-socket", str(console)) if console is not None else ()
        noted = ("--pid-file", str(pid_file)) if pid_file is not None else ()
        return self.argv(*logged, "exec", "--process", str(process), *terminal, *noted, container)

    def _run(self, *arguments: str) -> None:
        with self.program() as program:
            run(self.argv(*arguments), program=program)


def _wait_for_one(*pids: int) -> None:
    """Wait until one of these processes has ended."""
    with contextlib.ExitStack() as stack:
        descriptors = []
        for pid in pids:
            try:
                descriptors.append(os.pidfd_open(pid))
            except ProcessLookupError:
                return
            stack.callback(os.close, descriptors[-1])
        select.select(descriptors, [], [])
