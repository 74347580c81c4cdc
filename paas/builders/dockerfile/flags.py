"""Flags of Dockerfile instructions: which ones each knows, `--mount` and HEALTHCHECK's times. Raises ValueError with the text.

Source: Dockerfile reference; BuildKit's instructions/bflag.go and commands_runmount.go.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from paas.builders.dockerfile.instructions import RunMount

#: Flags of each instruction; those in _BOOLEAN may stand without a value, those in _REPEATED several times.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "FROM": ("platform",),
    "RUN": ("mount", "network", "security", "device"),
    "COPY": ("from", "chown", "chmod", "link", "parents", "exclude"),
    "ADD": ("chown", "chmod", "link", "checksum", "keep-git-dir", "exclude", "unpack"),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
}
_BOOLEAN = ("link", "parents", "keep-git-dir", "unpack")
_REPEATED = ("mount", "exclude", "device")
_TRUE, _FALSE = ("", "1", "t", "true"), ("0", "f", "false")
_MOUNT_KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
#: Which kinds of mounts know these keys; the others are for all.
_KEYS_OF_KINDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("mode", "uid", "gid"), ("cache", "secret", "ssh")),
    "is_required": ("secret", "ssh"), "size_bytes": ("tmpfs",), "sharing": ("cache",), "env": ("secret",),
}  # fmt: skip
_MOUNT_KEYS = {
    "target": "target", "dst": "target", "destination": "target", "source": "source", "src": "source", "from": "origin",
    "id": "id", "env": "env", "mode": "mode", "uid": "uid", "gid": "gid", "size": "size_bytes",
    "readonly": "is_read_only", "ro": "is_read_only", "required": "is_required", "sharing": "sharing",
    "rw": "is_writable", "readwrite": "is_writable",
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+)([kmgt]?)(?:i?b)?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of one instruction, as written."""

    values: tuple[tuple[str, str], ...]

    def one(self, name: str) -> str:
        """Return the value of a flag that may stand once; '' without it."""
        return next((value for key, value in self.values if key == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of a flag that may stand several times."""
        return tuple(value for key, value in self.values if key == name)

    def boolean(self, name: str) -> bool | None:
        """Return what a yes-or-no flag says, None without it."""
        found = self.all(name)
        return found[0].lower() in _TRUE if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How HEALTHCHECK polls; 0 means the default."""

    interval_s: float = 0
    timeout_s: float = 0
    start_period_s: float = 0
    start_interval_s: float = 0
    retries: int = 0


def parse_flags(keyword: str, words: Sequence[str]) -> Flags:
    """Check the flags of one instruction."""
    found: list[tuple[str, str]] = []
    for word in words:
        name, equals, value = word[2:].partition("=")
        if name not in ALLOWED[keyword]:
            raise ValueError(f"unknown flag: --{name}")
        if name in _BOOLEAN:
            if value.lower() not in _TRUE + _FALSE:
                raise ValueError(f"expecting boolean value for flag {name}, not: {value}")
        elif not equals:
            raise ValueError(f"missing a value on flag: --{name}")
        if name not in _REPEATED and any(key == name for key, _ in found):
            raise ValueError(f"duplicate flag specified: --{name}")
        found.append((name, value))
    return Flags(tuple(found))


def parse_mount(text: str, expand: Callable[[str], str] | None = None) -> RunMount:
    """Parse `type=cache,target=/root/.cache`. Without `expand` a text that holds names is kept for later."""
    values: dict[str, str] = {}
    for field in next(csv.reader([text]), []):
        key, equals, value = field.strip().partition("=")
        key = key.lower()
        if key != "type" and key not in _MOUNT_KEYS:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
        name = _MOUNT_KEYS.get(key, key)
        if not equals and name not in ("is_read_only", "is_writable", "is_required"):
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        if name == "origin" and "$" in value:
            raise ValueError("'from' doesn't support variable expansion, define alias stage instead")
        values[name] = (expand(value) if expand else value) if equals else "true"
    if expand is None and "$" in text:
        return RunMount(kind="", origin=values.get("origin", ""), unexpanded=text)
    return _mount(values)


def _mount(values: Mapping[str, str]) -> RunMount:
    kind = values.get("type", "bind").lower()
    _check_mount(kind, values)
    return RunMount(
        kind=kind, target=values.get("target", ""), source="" if kind == "secret" else values.get("source", ""),
        origin=values.get("origin", ""), id=values.get("id") or (values.get("source", "") if kind == "secret" else ""),
        env=values.get("env", ""), mode=_octal(values.get("mode", "")), sharing=values.get("sharing", "").lower(),
        uid=_number("uid", values.get("uid", "0")), gid=_number("gid", values.get("gid", "0")),
        size_bytes=_size(values.get("size_bytes", "0")), is_read_only=_is_read_only(kind, values),
        is_required=values.get("is_required", "false").lower() in _TRUE,
    )  # fmt: skip


def _is_read_only(kind: str, values: Mapping[str, str]) -> bool:
    if "is_writable" in values:
        return values["is_writable"].lower() in _FALSE
    return values.get("is_read_only", "true" if kind == "bind" else "false").lower() in _TRUE


def _check_mount(kind: str, values: Mapping[str, str]) -> None:
    """Refuse what the kind of mount does not know."""
    if kind not in _MOUNT_KINDS:
        raise ValueError(f'unsupported mount type "{kind}"')
    for name, kinds in _KEYS_OF_KINDS.items():
        if name in values and kind not in kinds:
            key = {"is_required": "required", "size_bytes": "size"}.get(name, name)
            raise ValueError(f'{key} not allowed for "{kind}" type mounts')
    if values.get("sharing", "shared").lower() not in _SHARING:
        raise ValueError(f'unsupported sharing value "{values["sharing"]}"')
    if kind == "secret":
        if "origin" in values:
            raise ValueError("secret mount should not have a from")
        if not values.keys() & {"id", "source", "target"}:
            raise ValueError("invalid secret mount. one of source, target required")
        if "id" in values and "source" in values:
            raise ValueError("both source and id can't be set")
    elif kind == "ssh":
        if "source" in values:
            raise ValueError("ssh does not support source")
    elif not values.get("target"):
        raise ValueError("target is required")


def parse_timing(flags: Flags) -> Timing:
    """Read HEALTHCHECK's flags."""
    retries = flags.one("retries") or "0"
    if not re.fullmatch(r"-?\d+", retries) or int(retries) < 0:
        raise ValueError(f"--retries cannot be negative or no number ({retries})")
    return Timing(
        interval_s=_duration("interval", flags), timeout_s=_duration("timeout", flags),
        start_period_s=_duration("start-period", flags), start_interval_s=_duration("start-interval", flags),
        retries=int(retries),
    )  # fmt: skip


def _duration(name: str, flags: Flags) -> float:
    text = flags.one(name)
    if text in ("", "0"):
        return 0.0
    if not re.fullmatch(f"(?:{_DURATION.pattern})+", text):
        raise ValueError(f'invalid duration for --{name}: "{text}" (write e.g. 30s or 1m30s)')
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(text))
    if 0 < seconds < 0.001:
        raise ValueError(f"Interval {name!r} cannot be less than 1ms")
    return seconds


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"invalid value for {name}: {text}")
    return int(text)


def _octal(text: str) -> str:
    if text and not re.fullmatch(r"[0-7]{1,5}", text):
        raise ValueError(f"invalid value {text} for mode")
    return text


def _size(text: str) -> int:
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f"invalid value for size: {text}")
    return int(match[1]) << (10 * " kmgt".index(match[2].lower() or " "))
