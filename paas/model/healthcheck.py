"""Health checks of an app's process types: what app.json may say about them. Pure.

Source: Dokku docker-container-healthchecker, docs/file-format.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from paas.model.jsonc import Node

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")  # RFC 9110, 5.6.2: token


class HealthcheckType(StrEnum):
    """What a check decides: may the release serve, is this process routed to, must it be replaced."""

    STARTUP = "startup"
    READINESS = "readiness"
    LIVENESS = "liveness"


class HealthcheckKind(StrEnum):
    PATH = "path"  # GET answers 2xx, and `content` is in the body
    COMMAND = "command"  # exits 0 inside the container
    LISTENING = "listening"  # somebody listens on the port
    UPTIME = "uptime"  # runs for so long, without a restart


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """One check of a process type. `port` 0 is the process's $PORT. Without any kind it is an uptime check of 10 s."""

    kind: HealthcheckKind
    type: HealthcheckType = HealthcheckType.STARTUP
    name: str = ""
    description: str = ""
    path: str = "/"
    command: tuple[str, ...] = ()
    uptime_s: float = 10.0
    content: str = ""
    port: int = 0
    scheme: str = "http"
    headers: tuple[tuple[str, str], ...] = ()
    attempts: int = 3
    wait_s: float = 5.0
    timeout_s: float = 5.0
    initial_delay_s: float = 0.0
    is_warning: bool = False
    on_failure_command: tuple[str, ...] = ()
    on_failure_url: str = ""


def parse_healthcheck(node: Node) -> Healthcheck:
    """Read one check. Raises InvalidFile."""
    kind, kind_of = _healthcheck_kind(node), node.get("type")
    if kind_of is not None and kind_of.value not in ("", *HealthcheckType):
        kind_of.fail(f"must be one of: {', '.join(HealthcheckType)}")
    if node.string_of("content") and kind is not HealthcheckKind.PATH:
        node.fail("has a 'content', but no 'path' whose answer could hold it")
    scheme, path, on_failure = node.get("scheme"), node.get("path"), node.get("onFailure")
    if scheme is not None and scheme.value not in ("http", "https"):
        scheme.fail("must be http or https")
    url = on_failure.get("url") if on_failure else None
    if url is not None and not re.fullmatch(r"(https?://[!-~]+)?", url.string()):
        url.fail("must begin with http:// or https://")
    if path is not None and not re.fullmatch(r"/[!-~]*", path.string()):
        path.fail("must begin with '/' and hold no space", remedy='e.g. "/health"')
    return Healthcheck(
        kind=kind,
        type=HealthcheckType((kind_of.string() if kind_of else "") or HealthcheckType.STARTUP),
        name=node.string_of("name"),
        description=node.string_of("description"),
        path=node.string_of("path", "/"),
        command=node.strings_of("command"),
        uptime_s=node.seconds_of("uptime", 0.0) or 10.0,
        content=node.string_of("content"),
        port=node.integer_of("port", 0, 1, 65535),
        scheme=node.string_of("scheme", "http"),
        headers=tuple(_header(one) for one in node.items_of("httpHeaders")),
        attempts=node.integer_of("attempts", 3, 1, 1000),
        wait_s=node.seconds_of("wait", 5.0),
        timeout_s=node.seconds_of("timeout", 5.0),
        initial_delay_s=node.seconds_of("initialDelay", 0.0),
        is_warning=node.boolean_of("warn"),
        on_failure_command=on_failure.strings_of("command") if on_failure else (),
        on_failure_url=on_failure.string_of("url") if on_failure else "",
    )


def _healthcheck_kind(node: Node) -> HealthcheckKind:
    given = {
        HealthcheckKind.PATH: node.get("path") is not None,
        HealthcheckKind.COMMAND: bool(node.strings_of("command")),
        HealthcheckKind.LISTENING: node.boolean_of("listening"),
        HealthcheckKind.UPTIME: node.seconds_of("uptime", 0.0) > 0,
    }
    chosen = [kind for kind, is_given in given.items() if is_given]
    if len(chosen) > 1:
        node.fail(f"checks more than one thing: {', '.join(chosen)}", remedy="make it one check for each")
    return chosen[0] if chosen else HealthcheckKind.UPTIME


def _header(node: Node) -> tuple[str, str]:
    name, value = node.required("name"), node.get("value")
    if not _HEADER.match(name.string()):
        name.fail("is not the name of an HTTP header")
    if value is not None and not value.string().isprintable():
        value.fail("holds a character that no HTTP header may")
    return name.string(), "" if value is None else value.string()
