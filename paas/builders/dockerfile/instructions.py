"""The instructions of a Dockerfile as data. Nothing is expanded here: `$NAME` stands as written until plan time.

Source: Dockerfile reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from paas.builders.dockerfile.lines import Heredoc


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What every instruction has: where it stands and how it was written."""

    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command in exec form (`argv`) or, when `is_shell`, one line for the shell."""

    argv: tuple[str, ...] = ()
    line: str = ""
    is_shell: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    """Start a stage. `name` is '' without AS."""

    image: str
    name: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    """Declare build arguments; a default of None means none was given."""

    pairs: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMount:
    """One `--mount` of RUN. `origin` is the stage or image of `from=`; '' is the context (bind) or nothing (cache).

    `unexpanded` is the whole text as long as it holds names to put values for; only `origin` counts then.
    """

    kind: str
    target: str = ""
    source: str = ""
    origin: str = ""
    id: str = ""
    env: str = ""
    mode: str = ""
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    sharing: str = ""
    is_read_only: bool = False
    is_required: bool = False
    unexpanded: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    """Run a command. `heredocs` follow `command.line`; `network` is default, none or host."""

    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[RunMount, ...] = ()
    network: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Instruction):
    """COPY and ADD. `sources` may hold patterns; each heredoc is a file of its own, named by its delimiter."""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    is_add: bool = False
    origin: str = ""
    chown: str = ""
    chmod: str = ""
    checksum: str = ""
    excludes: tuple[str, ...] = ()
    keeps_parents: bool = False
    keeps_git_dir: bool = False
    is_linked: bool = False
    unpacks: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    """`command` is None for HEALTHCHECK NONE; durations of 0 mean the default."""

    command: Command | None
    interval_s: float = 0
    timeout_s: float = 0
    start_period_s: float = 0
    start_interval_s: float = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """Keep an instruction for images built on this one; `trigger` is its text."""

    trigger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A whole file: ARGs before the first FROM, and the stages with everything that follows. `check` is the directive.

    `gaps` are the last lines of those instructions that have a blank line among those that continue them, `local_checks`
    what a `# check=` right above an instruction says, by its line.
    """

    file: str
    escape: str
    instructions: tuple[Instruction, ...]
    check: str = ""
    local_checks: tuple[tuple[int, str], ...] = ()
    gaps: tuple[int, ...] = ()
