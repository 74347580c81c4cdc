"""What `container:run` and `container:create` are asked for: their options -> a ContainerSpec."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paas.cli.buildwords import caller_environment
from paas.cli.container.flags import parse_environment, parse_publish, parse_span
from paas.context import Context
from paas.errors import InvalidInput
from paas.model.container import ContainerSpec, Limits, NetworkMode, PortMapping
from paas.model.dockerextras import EXTRA_FLAGS, parse_extras
from paas.model.dockerflags import parse_cpu_shares, parse_labels, parse_mount, parse_size, parse_tmpfs, parse_volume
from paas.model.health import HealthCheck
from paas.model.restart import parse_restart_policy
from paas.oci.manifest import host_platform

#: Docker's name for a network of its own.
_NETWORKS = {"bridge": "tenant", "default": "tenant"}


def spec_for(ctx: Context, options: Mapping[str, Any]) -> ContainerSpec:
    """Return the container that the options describe. Raises InvalidInput, NotFound."""
    image = options["image"]
    stop_timeout_s = options["stop_timeout"]
    parse_restart_policy(options["policy"])
    _check_platform(options["platform"])
    return ContainerSpec(
        image=image,
        argv=_command(ctx, image, options["entrypoint"], options["argv"]),
        name=options["name"],
        env=parse_environment(options["env_files"], options["env"], caller_environment(os.environ)),
        labels=parse_labels([*_label_lines(options["label_files"]), *options["label"]]),
        mounts=(
            *map(parse_volume, options["volume"]), *map(parse_mount, options["mount"]), *map(parse_tmpfs, options["tmpfs"]),
        ),
        ports=_ports(ctx, image, options["publish"], publishes_all=options["publish_all"]),
        limits=limits_for(options, pids=ctx.settings.pids),
        network=_network(options["network"]),
        workdir=options["workdir"],
        user=options["user"],
        hostname=options["hostname"],
        has_terminal=options["tty"],
        keeps_stdin=options["interactive"],
        has_init=options["init"],
        is_read_only=options["read_only"],
        stop_signal=options["stop_signal"],
        stop_timeout_s=stop_timeout_s if stop_timeout_s >= 0 else ctx.settings.stop_timeout_s,
        log_max_bytes=_log_max_bytes(options["log_options"]) or ctx.settings.log_max_mb << 20,
        health=_health(options),
        restart=options["policy"],
        extras=parse_extras({flag: options[flag[2:].replace("-", "_")] for flag in EXTRA_FLAGS}),
    )  # fmt: skip


def limits_for(options: Mapping[str, Any], *, pids: int) -> Limits:
    """Return the limits that are asked for; `pids` is what a container has that asks for none. Raises InvalidInput."""
    asked = options["pids_limit"]
    return with_swap(
        Limits(
            memory_bytes=parse_size(options["memory"]),
            cpu_millis=round(options["cpus"] * 1000),
            pids=max(asked, 0) if asked else pids,
            reserved_memory_bytes=parse_size(options["memory_reservation"]),
            reserved_cpu_millis=parse_cpu_shares(options["cpu_shares"]),
        ),
        options["memory_swap"],
    )


def with_swap(limits: Limits, memory_swap: str) -> Limits:
    """Return the limits with what `--memory-swap` says; '' leaves them. Raises InvalidInput."""
    if memory_swap == "-1":
        return replace(limits, swap_bytes=-1)
    both = parse_size(memory_swap) if memory_swap else 0
    if not both:
        return limits
    if both < limits.memory_bytes or not limits.memory_bytes:
        raise InvalidInput("--memory-swap is memory and swap together", remedy="give --memory, and a larger --memory-swap")
    return replace(limits, swap_bytes=both - limits.memory_bytes)


def _ports(ctx: Context, image: str, publish: Sequence[str], *, publishes_all: bool) -> tuple[PortMapping, ...]:
    ports = tuple(port for text in publish for port in parse_publish(text))
    if not publishes_all:
        return ports
    taken = {(port.container_port, port.protocol) for port in ports}
    exposed = (port for text in ctx.engine.image_ports(image) for port in parse_publish(text))
    return (*ports, *(port for port in exposed if (port.container_port, port.protocol) not in taken))


def _command(ctx: Context, image: str, entrypoint: str | None, argv: Sequence[str]) -> tuple[str, ...]:
    """Join entrypoint and command; () leaves both to the image. With another entrypoint the image's CMD does not count."""
    if entrypoint is None:
        return (*ctx.engine.image_entrypoint(image), *argv) if argv else ()
    command = (*([entrypoint] if entrypoint else []), *argv)
    if not command:
        remedy = f"paas container:run --entrypoint '' {image} sh"
        raise InvalidInput("Without an entrypoint the container needs a command", remedy=remedy)
    return command


def _network(name: str) -> NetworkMode:
    try:
        return NetworkMode(_NETWORKS.get(name, name))
    except ValueError:
        raise InvalidInput(f"There is no network '{name}'", remedy="use tenant (its own, the default), none or host") from None


def _check_platform(text: str) -> None:
    system, _, rest = text.partition("/")
    architecture, variant = host_platform()
    if text and (system != "linux" or rest not in (architecture, f"{architecture}/{variant}")):
        raise InvalidInput(f"This machine does not run containers for {text}", remedy=f"it is linux/{architecture}")


def _label_lines(files: Sequence[str]) -> list[str]:
    try:
        lines = [line.strip() for file in files for line in Path(file).read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"The labels can not be read: {exc}", remedy="give a file with lines of KEY=VALUE") from exc
    return [line for line in lines if line and not line.startswith("#")]


def _log_max_bytes(words: Sequence[str]) -> int:
    size = 0
    for word in words:
        name, _, value = word.partition("=")
        if name != "max-size":
            raise InvalidInput(
                f"'{name}' is not an option of logs here", remedy="there is max-size; two files of that size are kept"
            )
        size = parse_size(value)
    return size


def _health(options: Mapping[str, Any]) -> HealthCheck | None:
    command = options["health_cmd"]
    return HealthCheck(
        argv=("/bin/sh", "-c", command) if command and command != "none" else (),
        interval_s=parse_span(options["health_interval"]),
        timeout_s=parse_span(options["health_timeout"]),
        start_period_s=parse_span(options["health_start_period"]),
        start_interval_s=parse_span(options["health_start_interval"]),
        retries=options["health_retries"],
        is_disabled=options["no_healthcheck"] or command == "none",
    )
