"""Every error the product raises on purpose, and nothing else.

    PaasError                     what happened to which thing; remedy; exit code
    ├── UsageError            2   the command line itself is wrong
    ├── InvalidInput          1   a name, value or file the user gave is not acceptable
    │   ├── InvalidSetting    1   paas.toml or a `:set` property
    │   └── InvalidFile      30   Procfile, app.json, Dockerfile: carries file and line
    ├── NotFound             20   the thing named does not exist (Dokku's exit code for a missing app)
    ├── Conflict              1   the thing exists already, or is in use, or is locked
    ├── PermissionRefused    13   this identity may not do that
    ├── BuildFailed          40   no image came out
    ├── TaskFailed           50   a release or deploy task exited non-zero
    ├── DeployFailed         60   a new container did not start or pass its checks
    ├── RoutingFailed        70   the proxy refused the new configuration
    ├── HostProblem          80   something this machine lacks or ran out of
    │   ├── CommandFailed    80   a tool that we ran exited non-zero
    │   └── NotInvoked  126 127   what a container should run cannot be executed, or is not there (a shell's exit codes)
    └── Cancelled           130   the user or an administrator stopped it

The CLI is the only place that prints them (`cli.common.error_boundary`). Exit codes go by phase.
"""

from __future__ import annotations

from collections.abc import Sequence


class PaasError(Exception):
    """Say what happened to which thing (`message`), and what to type next (`remedy`)."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", output: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        #: The last lines of the output that explain the failure, oldest first.
        self.output = tuple(output)


class UsageError(PaasError):
    exit_code = 2


class InvalidInput(PaasError):
    exit_code = 1


class InvalidSetting(InvalidInput):
    pass


class InvalidFile(InvalidInput):
    """A file of the app is wrong. `line` counts from 1; 0 means the file as a whole."""

    exit_code = 30

    def __init__(self, file: str, line: int, problem: str, *, text: str = "", remedy: str = "") -> None:
        where = f"{file}:{line}" if line else file
        shown = f"\n    {line} | {text}" if text else ""
        super().__init__(f"{where}: {problem}{shown}", remedy=remedy)
        self.file, self.line, self.problem, self.text = file, line, problem, text


class NotFound(PaasError):
    exit_code = 20


class Conflict(PaasError):
    exit_code = 1


class PermissionRefused(PaasError):
    exit_code = 13


class BuildFailed(PaasError):
    exit_code = 40


class TaskFailed(PaasError):
    exit_code = 50


class DeployFailed(PaasError):
    exit_code = 60


class RoutingFailed(PaasError):
    exit_code = 70


class HostProblem(PaasError):
    exit_code = 80


class CommandFailed(HostProblem):
    """A tool exited non-zero. `status` is its exit status, negative for a signal."""

    def __init__(self, argv: Sequence[str], status: int, output: Sequence[str] = (), *, remedy: str = "") -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        super().__init__(f"{argv[0]} {how}: {' '.join(argv)}", remedy=remedy, output=output)
        self.argv, self.status = tuple(argv), status


class NotInvoked(HostProblem):
    """A container's command could not be executed. Exit codes are a shell's: 127 if there is no such file, else 126."""

    exit_code = 126

    def __init__(self, program: str, problem: str, *, is_missing: bool) -> None:
        remedy = "is it in the image, and on its PATH?" if is_missing else "see its mode, and the working directory"
        super().__init__(f"'{program}' can not be run in the container: {problem}", remedy=remedy)
        if is_missing:
            self.exit_code = 127


class Cancelled(PaasError):
    exit_code = 130
