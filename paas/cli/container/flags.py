"""Docker's notations -> the model: sizes, spans, mounts, ports, labels, environment. Pure, but for asking whether a file exists.

Source: docker run reference.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from paas.errors import InvalidInput
from paas.model.container import Mount, PortMapping
from paas.model.env import parse_assignments

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([bkmgt]?)i?b?\Z")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+\Z")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_ANY = "0.0.0.0"
#: Options of `-v` after the second colon that change nothing here: there are no SELinux labels, all mounts are private.
_IGNORED_VOLUME_OPTIONS = frozenset({"rw", "z", "Z", "private", "rprivate", "delegated", "cached", "consistent"})


def parse_size(text: str) -> int:
    """Parse `256m` or `1.5g` into bytes. Raises InvalidInput."""
    match = _SIZE.match(text.lower())
    if match is None:
        raise InvalidInput(f"'{text}' is not a size", remedy="e.g. 256m or 1.5g")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_span(text: str) -> float:
    """Parse `30s`, `1m30s` or `500ms` into seconds. Raises InvalidInput."""
    if text == "0":
        return 0.0
    if not _SPAN.match(text):
        raise InvalidInput(f"'{text}' is not a span of time", remedy="e.g. 30s, 1m30s or 500ms")
    return sum(float(count) * _SECONDS[unit] for count, unit in re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text))


def parse_volume(text: str) -> Mount:
    """Parse `/host/dir:/inside[:ro]`, `name:/inside[:ro]` or `/inside`. Raises InvalidInput."""
    source, colon, rest = text.partition(":")
    if not colon:
        return Mount(target=_target(text, text), is_anonymous=True)
    target, _, written = rest.partition(":")
    options = set(filter(None, written.split(",")))
    if unknown := options - _IGNORED_VOLUME_OPTIONS - {"ro", "nocopy"}:
        raise InvalidInput(f"'{text}': '{min(unknown)}' is not an option of a volume", remedy="use ro, rw or nocopy")
    mount = {"target": _target(target, text), "is_read_only": "ro" in options}
    if not source.startswith(("/", ".", "~")):
        return Mount(volume=source, is_copied="nocopy" not in options, **mount)  # type: ignore[arg-type]
    return Mount(source=_source(source), **mount)  # type: ignore[arg-type]


def parse_mount(text: str) -> Mount:
    """Parse `type=bind|volume|tmpfs,source=...,target=...[,readonly]`. Raises InvalidInput."""
    pairs = (word.partition("=") for word in next(csv.reader([text]), []))
    fields = {_MOUNT_KEYS.get(key, key): value for key, _, value in pairs}
    kind = fields.pop("type", "volume")
    target, source = _target(fields.pop("target", ""), text), fields.pop("source", "")
    is_read_only = fields.pop("readonly", "false") in ("", "true", "1")
    options = {key: fields.pop(key) for key in ("tmpfs-size", "tmpfs-mode", "volume-nocopy") if key in fields}
    fields.pop("bind-propagation", None)  # all mounts are private
    fields.pop("consistency", None)
    if fields:
        raise InvalidInput(f"'{min(fields)}' is not an option of a mount", remedy="use type, source, target and readonly")
    match kind:
        case "bind":
            return Mount(source=_source(source), target=target, is_read_only=is_read_only)
        case "volume":
            is_copied = options.get("volume-nocopy", "false") not in ("", "true", "1")
            return Mount(
                volume=source, is_anonymous=not source, target=target, is_read_only=is_read_only, is_copied=is_copied
            )
        case "tmpfs":
            size, mode = parse_size(options.get("tmpfs-size", "0")), _mode(options.get("tmpfs-mode", "1777"))
            return Mount(target=target, size_bytes=size, mode=mode, is_read_only=is_read_only)
    raise InvalidInput(f"'{kind}' is not a type of mount", remedy="use bind, volume or tmpfs")


_MOUNT_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


def parse_tmpfs(text: str) -> Mount:
    """Parse `/inside[:size=64m,mode=1777]`. Raises InvalidInput."""
    target, _, written = text.partition(":")
    fields = dict((key, value) for key, _, value in (word.partition("=") for word in written.split(",")))
    unknown = fields.keys() - {"size", "mode", "ro", "rw", "nosuid", "nodev", "noexec", "exec", ""}
    if unknown:
        raise InvalidInput(f"'{min(unknown)}' is not an option of a tmpfs", remedy="e.g. --tmpfs /cache:size=64m,mode=1777")
    size, mode = parse_size(fields.get("size", "0")), _mode(fields.get("mode", "1777"))
    return Mount(target=_target(target, text), size_bytes=size, mode=mode, is_read_only="ro" in fields)


def parse_publish(text: str) -> tuple[PortMapping, ...]:
    """Parse `[[address:]host:]container[/protocol]`; both may be ranges; host port 0 means any. Raises InvalidInput."""
    ports, _, protocol = text.partition("/")
    *address, host, inside = ports.rsplit(":", 2) if ":" in ports else ("0", ports)
    wanted, offered = _ports(inside, text), _ports(host or "0", text)
    if protocol not in ("", "tcp", "udp") or 0 in wanted or len(offered) not in (1, len(wanted)) or not _is_address(address):
        raise _no_port(text)
    hosts = offered if len(offered) == len(wanted) else [0] * len(wanted)
    if offered != [0] and len(offered) != len(wanted):
        raise _no_port(text)
    return tuple(
        PortMapping(host_port=a, container_port=b, host_address=address[0] if address else _ANY, protocol=protocol or "tcp")
        for a, b in zip(hosts, wanted, strict=True)
    )  # fmt: skip


def parse_labels(words: Iterable[str]) -> dict[str, str]:
    """Parse `KEY=VALUE` and `KEY`. Raises InvalidInput for what the platform marks its own containers with."""
    labels = {key: value for key, _, value in (word.partition("=") for word in words)}
    for key in labels:
        if not key or key.startswith("paas."):
            raise InvalidInput(f"'{key}' can not be a label", remedy="labels that begin with paas. are the platform's own")
    return labels


def parse_environment(files: Sequence[str], words: Sequence[str]) -> dict[str, str]:
    """Read `--env-file`s, then `-e KEY=VALUE`; KEY alone takes the value from our own environment. Raises InvalidInput."""
    lines = [line for file in files for line in _lines(file)]
    return parse_assignments(_with_value(word) for word in (*lines, *words))


def _lines(file: str) -> Iterator[str]:
    try:
        text = Path(file).read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{file} can not be read: {exc}", remedy="give a file with lines of KEY=VALUE") from exc
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.lstrip()


def _with_value(word: str) -> str:
    if "=" in word:
        return word
    if word not in os.environ:
        raise InvalidInput(f"{word} has no value here", remedy=f'write it out: -e {word}="${word}"')
    return f"{word}={os.environ[word]}"


def _target(text: str, whole: str) -> str:
    if not text.startswith("/") or text.strip("/") == "" or ".." in text.split("/"):
        raise InvalidInput(
            f"'{whole}' names no directory inside", remedy="write /host/directory:/inside or /host/directory:/inside:ro"
        )
    return text


def _source(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not text:
        raise InvalidInput("A bind mount needs a source", remedy="type=bind,source=/host/directory,target=/inside")
    if not path.exists():
        raise InvalidInput(f"{path} does not exist on the host", remedy=f"mkdir -p {path}")
    return path


def _mode(text: str) -> int:
    if not re.fullmatch("[0-7]{3,4}", text):
        raise InvalidInput(f"'{text}' is not a mode", remedy="e.g. 1777 or 0700")
    return int(text, 8)


def _ports(text: str, whole: str) -> list[int]:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise _no_port(whole)
    found = list(range(int(first), int(last or first) + 1))
    if not found or found[-1] > 65535:
        raise _no_port(whole)
    return found


def _is_address(address: Sequence[str]) -> bool:
    parts = address[0].split(".") if address else ["0"] * 4
    return len(parts) == 4 and all(part.isdecimal() and int(part) < 256 for part in parts)


def _no_port(text: str) -> InvalidInput:
    return InvalidInput(f"'{text}' is not a port to publish", remedy="e.g. 8080:80, 127.0.0.1:8080:80, 80 or 5353:53/udp")
