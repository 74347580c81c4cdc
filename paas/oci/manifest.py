"""ImageConfig: how an image wants to be run, and its OCI JSON form. Pure.

Not the layers: which ones and in which order is the store's Image; digests come in when an image leaves the machine.

Source: OCI image-spec v1.1, config.md; `Healthcheck`, `OnBuild` and `Shell` are Docker's extensions (docker-image-spec v1.3).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from paas.errors import InvalidInput

#: uname's machine -> GOARCH and its variant, as image-spec names platforms.
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "riscv64": ("riscv64", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
}
_NANOSECONDS = 1_000_000_000


def host_platform(machine: str = "") -> tuple[str, str]:
    """Return architecture and variant of a machine name of uname, by default of this machine."""
    machine = machine or platform.machine()
    return _ARCHITECTURES.get(machine, (machine, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """A command that tells whether a container is well. `test` begins with NONE, CMD or CMD-SHELL; 0 means the default."""

    test: tuple[str, ...]
    interval_s: float = 0
    timeout_s: float = 0
    start_period_s: float = 0
    start_interval_s: float = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One step of how the image came to be; `is_empty_layer` when it changed the config only."""

    created_by: str = ""
    created_at: float = 0
    comment: str = ""
    author: str = ""
    is_empty_layer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What an image says about running it. Empty means not set."""

    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    onbuild: tuple[str, ...] = ()
    author: str = ""
    architecture: str = field(default_factory=lambda: host_platform()[0])
    variant: str = field(default_factory=lambda: host_platform()[1])
    os: str = "linux"
    history: tuple[HistoryEntry, ...] = ()

    @classmethod
    def from_oci(cls, document: Mapping[str, Any]) -> ImageConfig:
        """Read an OCI image configuration. Raises InvalidInput when it is not one."""
        if not isinstance(document, Mapping):
            raise InvalidInput("The image's configuration is not a JSON object")
        try:
            return _config_from(document, document.get("config") or {})
        except (TypeError, ValueError, AttributeError) as exc:
            raise InvalidInput(f"The image's configuration is malformed: {exc}") from exc

    def to_oci(self, *, diff_ids: Sequence[str] = (), created_at: float = 0) -> dict[str, Any]:
        """Return the OCI image configuration, fit for JSON."""
        document = {
            "created": _timestamp(created_at),
            "author": self.author,
            "architecture": self.architecture,
            "variant": self.variant,
            "os": self.os,
            "config": self.runtime_object(),
            "history": [_history_object(entry) for entry in self.history],
        }
        document = {key: value for key, value in document.items() if value}
        return {**document, "rootfs": {"type": "layers", "diff_ids": list(diff_ids)}}

    def runtime_object(self) -> dict[str, Any]:
        """Return the `config` object of the OCI image configuration, without what is empty."""
        written: dict[str, Any] = {
            "User": self.user,
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Env": [f"{key}={value}" for key, value in self.env],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Volumes": {path: {} for path in self.volumes},
            "WorkingDir": self.workdir,
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
            "Shell": list(self.shell),
            "OnBuild": list(self.onbuild),
            "Healthcheck": _healthcheck_object(self.healthcheck) if self.healthcheck else None,
        }
        return {key: value for key, value in written.items() if value}

    def env_value(self, name: str) -> str | None:
        """Return the value of a variable, or None."""
        return next((value for key, value in self.env if key == name), None)


def _config_from(document: Mapping[str, Any], runtime: Mapping[str, Any]) -> ImageConfig:
    return ImageConfig(
        env=tuple((k, v) for k, _, v in (entry.partition("=") for entry in runtime.get("Env") or ())),
        entrypoint=_strings(runtime.get("Entrypoint")),
        cmd=_strings(runtime.get("Cmd")),
        workdir=str(runtime.get("WorkingDir") or ""),
        user=str(runtime.get("User") or ""),
        exposed_ports=tuple(runtime.get("ExposedPorts") or ()),
        volumes=tuple(runtime.get("Volumes") or ()),
        labels=tuple((k, str(v)) for k, v in (runtime.get("Labels") or {}).items()),
        stop_signal=str(runtime.get("StopSignal") or ""),
        shell=_strings(runtime.get("Shell")),
        healthcheck=_healthcheck_from(runtime.get("Healthcheck")),
        onbuild=_strings(runtime.get("OnBuild")),
        author=str(document.get("author") or ""),
        architecture=str(document.get("architecture") or host_platform()[0]),
        variant=str(document.get("variant") or ""),
        os=str(document.get("os") or "linux"),
        history=tuple(_history_from(entry) for entry in document.get("history") or ()),
    )


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):  # Docker's schema 1 images have bare strings here
        return (value,)
    return tuple(str(item) for item in value or ())


def _healthcheck_from(written: Mapping[str, Any] | None) -> Healthcheck | None:
    if not written or not written.get("Test"):
        return None
    return Healthcheck(
        test=_strings(written["Test"]),
        interval_s=int(written.get("Interval") or 0) / _NANOSECONDS,
        timeout_s=int(written.get("Timeout") or 0) / _NANOSECONDS,
        start_period_s=int(written.get("StartPeriod") or 0) / _NANOSECONDS,
        start_interval_s=int(written.get("StartInterval") or 0) / _NANOSECONDS,
        retries=int(written.get("Retries") or 0),
    )


def _healthcheck_object(check: Healthcheck) -> dict[str, Any]:
    written = {
        "Test": list(check.test),
        "Interval": round(check.interval_s * _NANOSECONDS),
        "Timeout": round(check.timeout_s * _NANOSECONDS),
        "StartPeriod": round(check.start_period_s * _NANOSECONDS),
        "StartInterval": round(check.start_interval_s * _NANOSECONDS),
        "Retries": check.retries,
    }
    return {key: value for key, value in written.items() if value}


def _history_from(written: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        created_by=str(written.get("created_by") or ""),
        created_at=parse_timestamp(str(written.get("created") or "")),
        comment=str(written.get("comment") or ""),
        author=str(written.get("author") or ""),
        is_empty_layer=bool(written.get("empty_layer")),
    )


def _history_object(entry: HistoryEntry) -> dict[str, Any]:
    written = {
        "created": _timestamp(entry.created_at),
        "created_by": entry.created_by,
        "comment": entry.comment,
        "author": entry.author,
        "empty_layer": entry.is_empty_layer,
    }
    return {key: value for key, value in written.items() if value}


def parse_timestamp(text: str) -> float:
    """Return seconds since the epoch of an RFC 3339 date, 0 when it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if at else ""
