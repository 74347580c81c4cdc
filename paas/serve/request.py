"""What a client asks of the executor: one JSON line -> Request. Pure; peers.py decides who is asking.

A command from SSH arrives as the line that the user typed and is split here, so that the SSH front needs to know nothing.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from paas.cli.client import CALLER_PREFIX, FORWARDED, FORWARDED_PREFIX
from paas.errors import PermissionRefused, UsageError

#: Longest request; the kernel allows argv and environment of 2 MiB together.
MAX_REQUEST_BYTES = 4 << 20
#: Commands that our own parts run for themselves.
INTERNAL = frozenset({"git:hook", "serve", "ssh-command"})
#: Topics whose commands finish what they began when the client goes away. All others end with their reader.
_FINISHING = frozenset({
    "git-receive-pack", "git", "ps", "apps", "config", "domains", "ports", "certs", "proxy", "nginx", "releases", "resource",
    "checks", "storage", "cron", "services", "scheduler", "builder", "builder-dockerfile", "buildpacks", "app-json",
    "docker-options", "ssh-keys", "registry",
})  # fmt: skip
#: Topics whose commands leave what runs as it is.
_READING = frozenset({"git-upload-pack", "git-upload-archive", "logs", "help", "version", "events", "doctor", "enter", "run"})


class Origin(Enum):
    """How a command came: from this machine's `paas`, or as a command line over SSH."""

    LOCAL = "local"
    SSH = "ssh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One command to run. `identity` is who the sender says it acts for, '' for itself."""

    argv: tuple[str, ...]
    origin: Origin = Origin.LOCAL
    identity: str = ""
    cwd: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        return command_name(self.argv).partition(":")[0]

    @property
    def survives_hangup(self) -> bool:
        """Say whether the command goes on when its client is gone."""
        return self.topic in _FINISHING

    @property
    def hears_hangup(self) -> bool:
        """Say whether a command that goes on may be told that its client is gone: not where it has become git itself."""
        return not self.topic.startswith("git-")

    @property
    def may_change_apps(self) -> bool:
        """Say whether the supervisor should look for something to do afterwards."""
        return self.topic not in _READING

    @property
    def is_nested(self) -> bool:
        """Say whether this is a part of another command under way, which must never wait for a free place."""
        return self.argv[:1] == ("git:hook",)


def command_name(argv: Sequence[str]) -> str:
    """Return the command behind the options that may stand in front of any: --quiet, --trace, --force, --app APP."""
    words = iter(argv)
    for word in words:
        if word in ("--app", "-a"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return "help"


def parse_request(line: bytes) -> Request:
    """Check and return one request. Raises UsageError, PermissionRefused."""
    try:
        said = json.loads(line)
        env = {k: _environment_text(v) for k, v in said.get("env", {}).items() if _is_forwarded(k)}
        identity, cwd = _environment_text(said.get("as", "")), _environment_text(said.get("cwd", "/"))
        if "command" in said:
            argv, origin = _parse_argv(str(said["command"])), Origin.SSH
        else:
            argv, origin = _strings(said["argv"]), Origin.LOCAL
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise UsageError(f"This is not a request that the server understands: {exc}", remedy="use the paas command") from exc
    return Request(argv=argv, origin=origin, identity=identity, cwd=cwd, env=env)


def _is_forwarded(name: str) -> bool:
    return name in FORWARDED or (name.startswith((FORWARDED_PREFIX, CALLER_PREFIX)) and name.isidentifier())


def _environment_text(value: Any) -> str:
    """Return the text if an environment can hold it. Raises ValueError."""
    text = str(value)
    text.encode("utf-8", "surrogateescape")
    if "\0" in text:
        raise ValueError("an environment holds no NUL byte")
    return text


def _strings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError("argv is a list of strings")
    return tuple(value)


def _parse_argv(command: str) -> tuple[str, ...]:
    """Split a command line that came over SSH as a shell would; none means help."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as exc:
        raise UsageError(f"Could not read the command: {exc}", remedy="check the quotes; SSH removes one layer of them") from exc
    if words[:1] == ("git",) and words[1:2] in (("receive-pack",), ("upload-pack",), ("upload-archive",)):
        words = (f"git-{words[1]}", *words[2:])  # how some clients write it
    if command_name(words) in INTERNAL:
        raise PermissionRefused(f"{command_name(words)} is not for users", remedy="run: paas help")
    if words and "\0" in "".join(words):
        raise UsageError("A command cannot hold a NUL byte")
    return words or ("help",)
