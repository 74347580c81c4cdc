"""`docker-options` of the phases deploy and run: flags of `docker run` that an app's containers get, one a line. Pure.

Kept as properties `docker-options.<phase>` and `docker-options.deploy.<type>`. What no flag here can say (networks, published
ports, more capabilities, devices) would take an app out of its isolation or is the platform's own business.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from paas.errors import InvalidInput
from paas.model.container import ContainerSpec, Limits, Mount
from paas.model.dockerextras import EXTRA_FLAGS, parse_extras
from paas.model.dockerflags import parse_cpu_shares, parse_labels, parse_mount, parse_size, parse_tmpfs, parse_volume
from paas.model.env import parse_assignments

BUILD, DEPLOY, RUN = "build", "deploy", "run"
PHASES = (BUILD, DEPLOY, RUN)
TOPIC = "docker-options"

_SHORT = {
    "-v": "--volume", "-e": "--env", "-m": "--memory", "-h": "--hostname", "-l": "--label", "-u": "--user", "-w": "--workdir",
    "-c": "--cpu-shares",
}  # fmt: skip
_VALUED = tuple(sorted((
    *EXTRA_FLAGS, "--cpu-shares", "--cpus", "--env", "--hostname", "--label", "--memory", "--memory-reservation", "--memory-swap",
    "--mount", "--pids-limit", "--stop-signal", "--tmpfs", "--user", "--volume", "--workdir",
)))  # fmt: skip
_PLAIN = ("--init", "--read-only")
KNOWN = (*_VALUED, *_PLAIN)
_PLATFORMS_OWN = re.compile(r"(PORT|DYNO|PAAS_\w+)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOptions:
    """What the flags say, as values by flag in their order."""

    values: Mapping[str, tuple[str, ...]]

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of a flag that may stand there several times."""
        return self.values.get(name, ())

    def last(self, name: str, default: str = "") -> str:
        """Return the value of a flag of which the last counts."""
        return (default, *self.all(name))[-1]

    def mounts(self) -> tuple[Mount, ...]:
        """Return the directories, volumes and tmpfs."""
        parsers = (("--volume", parse_volume), ("--mount", parse_mount), ("--tmpfs", parse_tmpfs))
        return tuple(parse(text) for name, parse in parsers for text in self.all(name))

    @property
    def reaches_host(self) -> bool:
        """Say whether the options show files of the machine, or volumes that other apps may have: for administrators."""
        return any(mount.source is not None or mount.volume for mount in self.mounts())


def parse_container_options(text: str) -> ContainerOptions:
    """Read flags, one or more a line. Raises InvalidInput for an unknown flag and for a value that its flag does not take."""
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise InvalidInput(f"The options cannot be read: {exc}", remedy="check the quotes") from exc
    found: dict[str, list[str]] = {}
    for name, value in _flags(words):
        found.setdefault(name, []).append(value)
    options = ContainerOptions(values={name: tuple(values) for name, values in found.items()})
    apply_options(ContainerSpec(image="", argv=()), options)
    return options


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    ahead = iter(words)
    for word in ahead:
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        name = _SHORT.get(name, name)
        if name in _PLAIN:
            if value.lower() not in ("false", "0"):
                yield name, ""
        elif name in _VALUED:
            taken = value if equals else next(ahead, None)
            if taken is None:
                raise InvalidInput(f"The option {name} needs a value", remedy=f"e.g. {name} ...")
            yield name, taken
        else:
            raise InvalidInput(f"'{word}' is no option that containers take here", remedy=f"there are: {', '.join(KNOWN)}")


def apply_options(spec: ContainerSpec, options: ContainerOptions) -> ContainerSpec:
    """Return the container with the options: they win over config vars and limits, the platform's own variables over them."""
    own = {key: value for key, value in _environment(options).items() if not _PLATFORMS_OWN.match(key)}
    return replace(
        spec,
        env={**spec.env, **own},
        labels={**parse_labels(options.all("--label")), **spec.labels},
        mounts=(*spec.mounts, *options.mounts()),
        limits=_limits(spec.limits, options),
        hostname=options.last("--hostname", spec.hostname),
        user=options.last("--user", spec.user),
        workdir=options.last("--workdir", spec.workdir),
        stop_signal=options.last("--stop-signal", spec.stop_signal),
        is_read_only=spec.is_read_only or "--read-only" in options.values,
        extras=parse_extras(options.values),
    )


def _environment(options: ContainerOptions) -> dict[str, str]:
    for word in options.all("--env"):
        if "=" not in word:
            raise InvalidInput(f"{word} has no value here", remedy=f"write it out: -e {word}=value; or use paas config:set")
    return parse_assignments(options.all("--env"))


def _limits(limits: Limits, options: ContainerOptions) -> Limits:
    cpus, pids = options.last("--cpus", "0"), options.last("--pids-limit", "0")
    if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", cpus, re.ASCII) or not re.fullmatch(r"-1|\d{1,7}", pids, re.ASCII):
        raise InvalidInput(f"'{cpus if pids == '0' else pids}' is not a number", remedy="e.g. --cpus 0.5 --pids-limit 200")
    memory = parse_size(options.last("--memory", "0")) or limits.memory_bytes
    swap = options.last("--memory-swap", "0")
    swap_bytes = -1 if swap == "-1" else max(0, parse_size(swap) - memory)
    return replace(
        limits,
        memory_bytes=memory,
        swap_bytes=swap_bytes if "--memory-swap" in options.values else limits.swap_bytes,
        cpu_millis=round(float(cpus) * 1000) or limits.cpu_millis,
        pids=max(0, int(pids)) or limits.pids,
        reserved_memory_bytes=parse_size(options.last("--memory-reservation", "0")) or limits.reserved_memory_bytes,
        reserved_cpu_millis=parse_cpu_shares(options.last("--cpu-shares", "0")) or limits.reserved_cpu_millis,
    )


def options_for(properties: Mapping[str, str], phase: str, process: str = "") -> ContainerOptions:
    """Return the options of a phase, and for deploy those of the process type behind them. Raises InvalidInput."""
    own = properties.get(f"{TOPIC}.{phase}.{process}", "") if process else ""
    return parse_container_options("\n".join((properties.get(f"{TOPIC}.{phase}", ""), own)))
