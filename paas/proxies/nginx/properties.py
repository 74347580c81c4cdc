"""What `nginx:set` may change: a table of properties, their checks and the directives they become. Pure.

A value is checked by a pattern that admits no space, `;`, `{`, `$` or newline where the directive needs none: nobody can write
configuration through a property. Names and defaults are Dokku's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from paas.errors import InvalidSetting

_SIZE, _TIME, _SWITCH = r"\d{1,9}[kKmMgG]?", r"\d{1,6}(ms|s|m|h|d)?", r"on|off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One property; `pattern` must match the whole value, `example` is shown to who got it wrong."""

    name: str
    directive: str
    pattern: str
    example: str
    default: str = ""


# fmt: off
PROPERTIES: tuple[Property, ...] = (
    Property(name="client-body-timeout", directive="client_body_timeout", pattern=_TIME, example="60s", default="60s"),
    Property(name="client-header-timeout", directive="client_header_timeout", pattern=_TIME, example="60s", default="60s"),
    Property(name="client-max-body-size", directive="client_max_body_size", pattern=_SIZE, example="50m", default="1m"),
    Property(name="keepalive-timeout", directive="keepalive_timeout", pattern=_TIME, example="75s", default="75s"),
    Property(name="lingering-timeout", directive="lingering_timeout", pattern=_TIME, example="5s", default="5s"),
    Property(name="proxy-buffer-size", directive="proxy_buffer_size", pattern=_SIZE, example="8k"),
    Property(name="proxy-buffering", directive="proxy_buffering", pattern=_SWITCH, example="off", default="on"),
    Property(name="proxy-buffers", directive="proxy_buffers", pattern=rf"\d{{1,4}} {_SIZE}", example="8 32k"),
    Property(name="proxy-busy-buffers-size", directive="proxy_busy_buffers_size", pattern=_SIZE, example="64k"),
    Property(name="proxy-connect-timeout", directive="proxy_connect_timeout", pattern=_TIME, example="5s", default="5s"),
    Property(name="proxy-read-timeout", directive="proxy_read_timeout", pattern=_TIME, example="120s", default="60s"),
    Property(name="proxy-request-buffering", directive="proxy_request_buffering", pattern=_SWITCH, example="off", default="on"),
    Property(name="proxy-send-timeout", directive="proxy_send_timeout", pattern=_TIME, example="120s", default="60s"),
    Property(name="send-timeout", directive="send_timeout", pattern=_TIME, example="60s", default="60s"),
    Property(name="underscore-in-headers", directive="underscores_in_headers", pattern=_SWITCH, example="on", default="off"),
    # Behind another proxy: pass on what it says about the client instead of what nginx sees.
    Property(name="x-forwarded-for-value", directive="",
             pattern=r"\$(remote_addr|proxy_add_x_forwarded_for|http_x_forwarded_for)",
             example="$proxy_add_x_forwarded_for", default="$remote_addr"),
    Property(name="x-forwarded-port-value", directive="", pattern=r"\$(server_port|http_x_forwarded_port)|\d{1,5}",
             example="$http_x_forwarded_port", default="$server_port"),
    Property(name="x-forwarded-proto-value", directive="", pattern=r"\$(scheme|http_x_forwarded_proto)|https?",
             example="$http_x_forwarded_proto", default="$scheme"),
)
# fmt: on
_BY_NAME = {p.name: p for p in PROPERTIES}


def parse_property(name: str, value: str) -> str:
    """Return the value if the property takes it. Raises InvalidSetting naming what it takes, or the nearest property."""
    known = _BY_NAME.get(name)
    if known is None:
        near = difflib.get_close_matches(name, _BY_NAME, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(_BY_NAME)}"
        raise InvalidSetting(f"nginx has no property '{name}'", remedy=hint)
    if not re.fullmatch(known.pattern, value, re.ASCII):
        raise InvalidSetting(f"{value!r} is no value for nginx {name}", remedy=f"e.g. {known.example}")
    return value


def effective_properties(given: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return every property that has a value, the defaults filled in. An empty value means the default."""
    values = {p.name: p.default for p in PROPERTIES if p.default}
    return values | {name: parse_property(name, value) for name, value in given if value}


def directives_for(values: dict[str, str]) -> tuple[str, ...]:
    """Return the directives of a server block."""
    return tuple(f"{p.directive} {values[p.name]};" for p in PROPERTIES if p.directive and p.name in values)
