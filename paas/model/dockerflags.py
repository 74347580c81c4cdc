"""Docker's notations -> the model: sizes, mounts, labels. Pure, but for asking whether a file exists.

Source: docker run reference.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from paas.errors import InvalidInput
from paas.model.container import Mount

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([bkmgt]?)i?b?\Z")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
#: Options of `-v` after the second colon that change nothing here: there are no SELinux labels, all mounts are private.
_IGNORED_VOLUME_OPTIONS = frozenset({"rw", "z", "Z", "private", "rprivate", "delegated", "cached", "consistent"})


def parse_size(text: str) -> int:
    """Parse `256m` or `1.5g` into bytes. Raises InvalidInput."""
    match = _SIZE.match(text.lower())
    if match is None:
        raise InvalidInput(f"'{text}' is not a size", remedy="e.g. 256m or 1.5g")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_cpu_shares(text: str) -> int:
    """Parse a weight, of which 1024 is a core's worth, into thousandths of a core. Raises InvalidInput."""
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise InvalidInput(f"'{text}' is not a weight", remedy="e.g. --cpu-shares 512; 1024 is what a core is worth")
    return -(-int(text) * 1000 // 1024)


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


def parse_labels(words: Iterable[str]) -> dict[str, str]:
    """Parse `KEY=VALUE` and `KEY`. Raises InvalidInput for what the platform marks its own containers with."""
    labels = {key: value for key, _, value in (word.partition("=") for word in words)}
    for key in labels:
        if not key or key.startswith("paas."):
            raise InvalidInput(f"'{key}' can not be a label", remedy="labels that begin with paas. are the platform's own")
    return labels


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
