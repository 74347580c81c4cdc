"""One stage being built: its configuration, names and layers, and how each instruction changes them. Pure.

`resolve` puts values for names; `configure` applies an instruction that only changes the configuration. RUN, COPY, ADD and
the directory of WORKDIR are the builder's.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace

from paas.builders.dockerfile.expand import Scope, expand_heredoc, expand_word
from paas.builders.dockerfile.flags import parse_mount
from paas.builders.dockerfile.instructions import (
    Arg,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from paas.oci.manifest import Healthcheck as ImageHealthcheck
from paas.oci.manifest import HistoryEntry, ImageConfig

DEFAULT_SHELL = ("/bin/sh", "-c")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?\Z", re.IGNORECASE)
_SIGNAL = re.compile(r"(?:SIG)?(?:RTMIN(?:\+([1-9]|1[0-5]))?|RTMAX(?:-([1-9]|1[0-4]))?)\Z|[1-9]\d?\Z", re.IGNORECASE)
_SIGNALS = frozenset(name.removeprefix("SIG") for name in signal.Signals.__members__) | {"STKFLT"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """What a stage is after some of its instructions. `layers` are store ids, bottom first, the first `base_count` of them
    the base image's."""

    config: ImageConfig
    scope: Scope
    layers: tuple[str, ...] = ()
    base_count: int = 0
    has_own_cmd: bool = False

    @property
    def shell(self) -> tuple[str, ...]:
        return self.config.shell or DEFAULT_SHELL

    @property
    def workdir(self) -> str:
        return self.config.workdir or "/"

    def with_layer(self, layer: str, entry: HistoryEntry) -> StageState:
        """Return the state with one more layer on top."""
        config = replace(self.config, history=(*self.config.history, entry))
        return replace(self, layers=(*self.layers, layer), config=config)


def begin_stage(config: ImageConfig, layers: tuple[str, ...], scope: Scope, *, base_count: int = -1) -> StageState:
    """Return the state right after FROM: triggers are the builder's to run and never inherited.

    `base_count` is given when it continues another stage: how many layers its base image had.
    """
    base_count = len(layers) if base_count < 0 else base_count
    env = config.env if config.env_value("PATH") else (("PATH", DEFAULT_PATH), *config.env)
    scope = replace(scope, env={**scope.env, **dict(env)})
    return StageState(config=replace(config, env=env, onbuild=()), scope=scope, layers=layers, base_count=base_count)


def resolve(
    instruction: Instruction, scope: Scope, *, escape: str = "\\", missing: list[str] | None = None
) -> Instruction:
    """Return the instruction with all names replaced that Docker replaces; `missing` gets those without a value.

    Raises ExpansionError.
    """
    values = scope.values()

    def word(text: str) -> str:
        return expand_word(text, values, escape=escape, missing=missing)

    match instruction:
        case Env() | Label():
            return replace(instruction, pairs=tuple((word(name), word(value)) for name, value in instruction.pairs))
        case Arg():
            return _resolve_arg(instruction, scope, escape, missing)
        case Copy():
            return _resolve_copy(instruction, values, escape, missing)
        case Run():
            mounts = (parse_mount(m.unexpanded, word) if m.unexpanded else m for m in instruction.mounts)
            return replace(instruction, mounts=tuple(mounts))
        case Workdir():
            return replace(instruction, path=word(instruction.path))
        case User():
            return replace(instruction, user=word(instruction.user))
        case Expose():
            return replace(instruction, ports=tuple(p for port in instruction.ports for p in word(port).split()))
        case Volume():
            return replace(instruction, paths=tuple(word(path) for path in instruction.paths))
        case StopSignal():
            return replace(instruction, signal=word(instruction.signal))
    return instruction


def configure(state: StageState, instruction: Instruction, *, created_at: float = 0) -> StageState:
    """Apply a resolved instruction to the configuration. Raises ValueError saying what is wrong with it."""
    changed = _changed(state, instruction)
    if isinstance(instruction, Arg):
        return changed
    entry = HistoryEntry(created_by=instruction.text, created_at=created_at, is_empty_layer=True)
    return replace(changed, config=replace(changed.config, history=(*changed.config.history, entry)))


def _changed(state: StageState, instruction: Instruction) -> StageState:
    config = state.config
    match instruction:
        case Arg():
            scope = state.scope
            for name, default in instruction.pairs:
                scope = scope.declare(name, default)
            return replace(state, scope=scope)
        case Env():
            scope = state.scope
            for name, value in instruction.pairs:
                scope = scope.assign(name, value)
            changed = replace(state, scope=scope)
            config = replace(config, env=_merged(config.env, instruction.pairs))
            return replace(changed, config=config)
        case Cmd():
            cmd = command_argv(instruction.command, state.shell)
            return replace(state, has_own_cmd=True, config=replace(config, cmd=cmd))
        case Entrypoint():
            # The base's CMD was meant for the base's ENTRYPOINT.
            config = config if state.has_own_cmd else replace(config, cmd=())
            argv = command_argv(instruction.command, state.shell)
            return replace(state, config=replace(config, entrypoint=argv))
    return replace(state, config=_configured(config, instruction))


def command_argv(command: Command, shell: tuple[str, ...]) -> tuple[str, ...]:
    """Return what to execute; the shell form needs a shell."""
    if command.is_shell:
        return (*shell, command.line) if command.line else ()
    return command.argv


def run_argv(run: Run, shell: tuple[str, ...]) -> tuple[str, ...]:
    """Return what RUN executes. Here-documents: alone they are the script, else they follow the line for the shell."""
    if not run.heredocs:
        return command_argv(run.command, shell)
    line, only = run.command.line.strip(), run.heredocs[0]
    if len(run.heredocs) == 1 and line == only.word:
        if only.content.startswith("#!"):
            return _script_argv(only.content)
        return (*shell, only.content)
    return (*shell, line + "".join(f"\n{h.content}{h.name}" for h in run.heredocs) + "\n")


def workdir_path(current: str, path: str) -> str:
    """Return an absolute path, meant relative to a working directory."""
    joined = posixpath.normpath(posixpath.join("/", current or "/", path or "."))
    return "/" + joined.lstrip("/")


def exposed_ports(config: ImageConfig) -> tuple[int, ...]:
    """Return the exposed TCP ports, in the order written."""
    return tuple(int(port.partition("/")[0]) for port in config.exposed_ports if port.endswith("/tcp") or "/" not in port)


def _configured(config: ImageConfig, instruction: Instruction) -> ImageConfig:
    match instruction:
        case Label():
            return replace(config, labels=_merged(config.labels, instruction.pairs))
        case User():
            return replace(config, user=instruction.user)
        case Workdir():
            is_absolute = instruction.path.startswith("/")  # then it stays as it is written
            return replace(config, workdir=instruction.path if is_absolute else workdir_path(config.workdir, instruction.path))
        case Expose():
            ports = (p for port in instruction.ports for p in _ports(port))
            return replace(config, exposed_ports=tuple(dict.fromkeys((*config.exposed_ports, *ports))))
        case Volume():
            return replace(config, volumes=tuple(dict.fromkeys((*config.volumes, *instruction.paths))))
        case Shell():
            return replace(config, shell=instruction.argv)
        case StopSignal():
            known = instruction.signal.upper().removeprefix("SIG") in _SIGNALS
            if not known and not _SIGNAL.match(instruction.signal):
                raise ValueError(f"invalid signal: {instruction.signal}")
            return replace(config, stop_signal=instruction.signal)
        case Maintainer():
            return replace(config, author=instruction.name)
        case Onbuild():
            return replace(config, onbuild=(*config.onbuild, instruction.trigger))
        case Healthcheck():
            return replace(config, healthcheck=_healthcheck(instruction))
    raise ValueError(f"{type(instruction).__name__.upper()} cannot stand here")


def _resolve_arg(instruction: Arg, scope: Scope, escape: str, missing: list[str] | None) -> Arg:
    """Expand defaults one after the other: a later one may use an earlier one of the same line."""
    pairs: list[tuple[str, str | None]] = []
    for name, default in instruction.pairs:
        name = expand_word(name, scope.values(), escape=escape)
        counted = None if name in scope.given else missing
        value = None if default is None else expand_word(default, scope.values(), escape=escape, missing=counted)
        scope = scope.declare(name, value)
        pairs.append((name, value))
    return replace(instruction, pairs=tuple(pairs))


def _resolve_copy(instruction: Copy, values: Mapping[str, str], escape: str, missing: list[str] | None) -> Copy:
    def word(text: str) -> str:
        return expand_word(text, values, escape=escape, missing=missing)

    heredocs = tuple(
        replace(h, content=expand_heredoc(h.content, values, escape=escape, missing=missing)) if h.expands else h
        for h in instruction.heredocs
    )
    return replace(
        instruction, sources=tuple(word(source) for source in instruction.sources), heredocs=heredocs,
        destination=word(instruction.destination), chown=word(instruction.chown), chmod=word(instruction.chmod),
        checksum=word(instruction.checksum),
    )  # fmt: skip


def _script_argv(content: str) -> tuple[str, ...]:
    """Return how to run a script with its own interpreter, given on its first line, without a file for it."""
    first, _, _ = content.partition("\n")
    interpreter, argument = (*first[2:].strip().split(maxsplit=1), "", "")[:2]
    argv = (interpreter, argument) if argument else (interpreter,)
    # The interpreter reads the script from a here-document whose delimiter the script cannot hold.
    end = "END_OF_SCRIPT"
    while end in content:
        end += "_"
    quoted = " ".join("'" + part.replace("'", "'\\''") + "'" for part in argv)
    return ("/bin/sh", "-c", f"exec {quoted} /dev/fd/3 3<<'{end}'\n{content}{end}\n")


def _ports(text: str) -> tuple[str, ...]:
    """Return the ports that a word of EXPOSE means. An address and ports of the host are looked at and mean nothing."""
    host, _, container = text.rpartition(":")
    match = _PORT.match(container)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if match is None or not 1 <= first <= last <= 65535:
        raise ValueError(f"invalid containerPort: {text}")
    if host:
        _check_host_part(host, last - first)
    return tuple(f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1))


def _check_host_part(text: str, span: int) -> None:
    """Refuse what cannot stand before a port of EXPOSE: `[address:][port[-port]]`, so many ports as the container has."""
    address, colon, ports = text.rpartition(":")
    first, _, last = ports.partition("-")
    if (ports or not colon) and not (first.isdecimal() and (last or first).isdecimal()):
        raise ValueError(f"invalid hostPort: {ports}")
    if ports and span and int(last or first) - int(first) != span:
        raise ValueError(f"invalid ranges specified for container and host Ports: {text}")
    if address:
        ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))  # raises ValueError that says so


def _healthcheck(instruction: Healthcheck) -> ImageHealthcheck:
    command = instruction.command
    if command is None:
        return ImageHealthcheck(test=("NONE",))
    test = ("CMD-SHELL", command.line) if command.is_shell else ("CMD", *command.argv)
    return ImageHealthcheck(
        test=test, interval_s=instruction.interval_s, timeout_s=instruction.timeout_s,
        start_period_s=instruction.start_period_s, start_interval_s=instruction.start_interval_s,
        retries=instruction.retries,
    )  # fmt: skip


def _merged(old: tuple[tuple[str, str], ...], new: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the pairs with new values; a known name keeps its place."""
    return tuple({**dict(old), **dict(new)}.items())
