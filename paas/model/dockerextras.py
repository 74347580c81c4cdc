"""Docker's flags for what few containers need: names, name servers, groups, ulimits, capabilities, sysctls. Pure.

`container:run` and `docker-options` take the same. Source: docker run reference.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence

from paas.errors import InvalidInput
from paas.model.capabilities import ALL, CAPABILITIES
from paas.model.container import Extras, Ulimit
from paas.model.dockerflags import parse_size

#: Each takes a value; all but --shm-size may stand there several times.
EXTRA_FLAGS = (
    "--add-host", "--cap-add", "--cap-drop", "--dns", "--dns-search", "--group-add", "--security-opt", "--shm-size", "--sysctl",
    "--ulimit",
)  # fmt: skip
#: What docker calls each limit is what setrlimit(2) does.
_ULIMITS = frozenset((
    "as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "sigpending",
    "stack",
))  # fmt: skip
_UNLIMITED = (1 << 63) - 1
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\Z")
#: What belongs to a container's own namespaces. Source: namespaces(7), sysctl.d of network and ipc.
_SYSCTL = re.compile(r"(net\.[\w.-]+|fs\.mqueue\.\w+|kernel\.(msg|shm)\w+|kernel\.sem)\Z")


def parse_extras(values: Mapping[str, Sequence[str]]) -> Extras:
    """Return what these flags say. Raises InvalidInput."""
    for text in values.get("--security-opt", ()):
        _check_security_option(text)
    return Extras(
        hosts=tuple(map(_host, values.get("--add-host", ()))),
        ulimits=tuple(map(_ulimit, values.get("--ulimit", ()))),
        shm_bytes=parse_size(("0", *values.get("--shm-size", ()))[-1]),
        dropped_capabilities=tuple(map(_capability, values.get("--cap-drop", ()))),
        added_capabilities=tuple(_usual(values.get("--cap-add", ()))),
        name_servers=tuple(map(_address, values.get("--dns", ()))),
        search_domains=tuple(map(_domain, values.get("--dns-search", ()))),
        groups=tuple(map(_group, values.get("--group-add", ()))),
        sysctls=tuple(map(_sysctl, values.get("--sysctl", ()))),
    )


def _host(text: str) -> tuple[str, str]:
    name, _, address = text.replace("=", ":", 1).partition(":")
    try:
        if not _HOST.match(name):
            raise ValueError
        return name, str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        raise InvalidInput(f"'{text}' is not a name with an address", remedy="e.g. --add-host db:10.0.0.5") from None


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise InvalidInput(f"'{text}' is not the address of a name server", remedy="e.g. --dns 10.0.0.53") from None


def _domain(text: str) -> str:
    if text != "." and not _HOST.match(text):
        raise InvalidInput(f"'{text}' is not a domain to search", remedy="e.g. --dns-search example.com, or . for none")
    return text


def _group(text: str) -> str:
    if not re.fullmatch(r"[^\s:,]{1,64}", text):
        raise InvalidInput(f"'{text}' is not a group", remedy="e.g. --group-add audio, or --group-add 1500")
    return text


def _ulimit(text: str) -> Ulimit:
    match = re.fullmatch(r"([a-z]+)=(-1|\d{1,18})(?::(-1|\d{1,18}))?", text, re.ASCII)
    if match is None or match[1] not in _ULIMITS:
        raise InvalidInput(f"'{text}' is not a ulimit", remedy="e.g. --ulimit nofile=1024:4096")
    soft, hard = (_UNLIMITED if number == "-1" else int(number) for number in (match[2], match[3] or match[2]))
    return Ulimit(name=match[1], soft=min(soft, hard), hard=hard)


def _sysctl(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not value or not _SYSCTL.match(name):
        remedy = "net.*, kernel.shm*, kernel.msg*, kernel.sem or fs.mqueue.*"
        raise InvalidInput(f"'{text}' is not a kernel setting of a container's own", remedy=remedy)
    return name, value


def _capability(text: str) -> str:
    name = f"CAP_{text.upper().removeprefix('CAP_')}"
    if not re.fullmatch(r"CAP_[A-Z_]{1,40}", name):
        raise InvalidInput(f"'{text}' is not a capability", remedy="e.g. --cap-drop NET_RAW, or --cap-drop ALL")
    return name


def _usual(words: Iterable[str]) -> Iterable[str]:
    """Give the names of capabilities that a container may have again after --cap-drop ALL."""
    for text in words:
        name = _capability(text)
        if name not in (ALL, *CAPABILITIES):
            raise InvalidInput(
                f"No container gets {name}", remedy=f"there are: {', '.join(c.removeprefix('CAP_') for c in CAPABILITIES)}"
            )
        yield name


def _check_security_option(text: str) -> None:
    if text not in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"):
        raise InvalidInput(
            f"'--security-opt {text}' is not possible: every container has the same seccomp profile and gains no privileges",
            remedy="leave it out; no-new-privileges is always on",
        )
