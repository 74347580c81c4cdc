"""Docker's notations on the command line -> the model: spans, ports, environment; the others are in model/dockerflags.py.

Source: docker run reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from paas.errors import InvalidInput
from paas.model.container import PortMapping
from paas.model.env import parse_assignments

_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+\Z")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_ANY = "0.0.0.0"


def parse_span(text: str) -> float:
    """Parse `30s`, `1m30s` or `500ms` into seconds. Raises InvalidInput."""
    if text == "0":
        return 0.0
    if not _SPAN.match(text):
        raise InvalidInput(f"'{text}' is not a span of time", remedy="e.g. 30s, 1m30s or 500ms")
    return sum(float(count) * _SECONDS[unit] for count, unit in re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text))


def parse_moment(text: str, *, now: float) -> float:
    """Parse a span before now, seconds since the epoch or a date as of RFC 3339 into seconds since the epoch.

    A date without a zone is this machine's. Raises InvalidInput.
    """
    if _SPAN.match(text):
        return now - parse_span(text)
    try:
        return float(text) if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput(f"'{text}' is not a moment", remedy="e.g. 10m (ago), 1795486891 or 2026-11-24T02:21:31Z") from None


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


def parse_environment(files: Sequence[str], words: Sequence[str], caller: Mapping[str, str]) -> dict[str, str]:
    """Read `--env-file`s, then `-e KEY=VALUE`; KEY alone takes the caller's value, and is left out when he has none.

    Raises InvalidInput.
    """
    lines = [line for file in files for line in _lines(file)]
    return parse_assignments(
        word if "=" in word else f"{word}={caller[word]}" for word in (*lines, *words) if "=" in word or word in caller
    )


def _lines(file: str) -> Iterator[str]:
    try:
        text = Path(file).read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{file} can not be read: {exc}", remedy="give a file with lines of KEY=VALUE") from exc
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.lstrip()


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
