"""Logical lines -> typed instructions. Pure; says what is wrong with which line, in BuildKit's words.

Source: Dockerfile reference; BuildKit's frontend/dockerfile/instructions for the error texts.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import NoReturn

from paas.builders.dockerfile import flags as flag
from paas.builders.dockerfile.instructions import (
    Arg,
    Cmd,
    Command,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from paas.builders.dockerfile.lines import RawInstruction, split_lines, split_words
from paas.errors import InvalidFile

STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*\Z")
_NO_TRIGGER = ("FROM", "MAINTAINER", "ONBUILD")


def parse_dockerfile(text: str, *, file: str = "Dockerfile") -> Dockerfile:
    """Parse a whole file. Raises InvalidFile."""
    logical = split_lines(text, file=file)
    instructions = tuple(_Parser(raw, logical.escape, file).parse() for raw in logical.instructions)
    if not instructions:
        raise InvalidFile(file, 0, "file with no instructions", remedy="begin with FROM, e.g. FROM debian:12")
    first = next((i for i in instructions if not isinstance(i, Arg)), None)
    if first is None:
        raise InvalidFile(file, instructions[-1].line, "no build stage in current context", text=instructions[-1].text)
    if not isinstance(first, From):
        raise InvalidFile(file, first.line, "no build stage in current context", text=first.text,
                          remedy="the first instruction must be FROM; only ARG may stand before it")
    return Dockerfile(
        file=file, escape=logical.escape, instructions=instructions, check=logical.check, gaps=logical.gaps,
        local_checks=logical.local_checks,
    )  # fmt: skip


def parse_trigger(text: str, *, escape: str = "\\", file: str = "ONBUILD") -> Instruction:
    """Parse the one instruction that an image kept for its children. Raises InvalidFile."""
    directive = f"# escape={escape}\n" if escape != "\\" else ""
    return _Parser(split_lines(directive + text, file=file).instructions[0], escape, file).parse()


class _Parser:
    """Parses one logical line."""

    def __init__(self, raw: RawInstruction, escape: str, file: str) -> None:
        self._raw, self._escape, self._file = raw, escape, file

    def parse(self) -> Instruction:
        raw = self._raw
        parse = _PARSERS.get(raw.keyword)
        if parse is None:
            near = difflib.get_close_matches(raw.keyword, _PARSERS, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            self._fail(f"unknown instruction: {raw.keyword}{hint}")
        if raw.flags and raw.keyword not in flag.ALLOWED:
            self._fail(f"unknown flag: {raw.flags[0].partition('=')[0]}")
        return parse(self)

    def _fail(self, problem: str, *, remedy: str = "") -> NoReturn:
        raise InvalidFile(self._file, self._raw.line, problem, text=self._raw.text, remedy=remedy)

    def _flags(self) -> flag.Flags:
        try:
            return flag.parse_flags(self._raw.keyword, self._raw.flags)
        except ValueError as exc:
            self._fail(str(exc))

    def _words(self) -> tuple[str, ...]:
        return split_words(self._raw.rest, self._escape)

    def _json(self) -> tuple[str, ...] | None:
        """Return the strings of a JSON array, or None when the text is none."""
        if not self._raw.rest.startswith("["):
            return None
        try:
            parsed, _ = json.JSONDecoder().raw_decode(self._raw.rest)
        except ValueError:
            return None
        if not all(isinstance(item, str) for item in parsed):
            self._fail("when using JSON array syntax, arrays must be comprised of strings only")
        return tuple(parsed)

    def _single(self) -> str:
        if not self._raw.rest:
            self._fail(f"{self._raw.keyword} requires exactly one argument")
        return self._raw.rest

    def _several(self) -> tuple[str, ...]:
        words = self._json()
        words = tuple(self._raw.rest.split()) if words is None else words
        if not words:
            self._fail(f"{self._raw.keyword} requires at least one argument")
        return words

    def _command(self) -> Command:
        argv = self._json()
        return Command(line=self._raw.rest, is_shell=True) if argv is None else Command(argv=argv)

    def _from(self) -> From:
        words = self._raw.rest.split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
            self._fail("FROM requires either one or three arguments", remedy="write FROM image [AS name]")
        name = words[2].lower() if len(words) == 3 else ""
        if name and not STAGE_NAME.match(name):
            self._fail(f"invalid name for build stage: \"{words[2]}\", name can't start with a number or contain symbols")
        return From(line=self._raw.line, text=self._raw.text, image=words[0], name=name,
                    platform=self._flags().one("platform"))

    def _arg(self) -> Arg:
        words = self._words()
        if not words:
            self._fail("ARG requires at least one argument")
        pairs: list[tuple[str, str | None]] = []
        for word in words:
            name, equals, value = word.partition("=")
            if not name:
                self._fail("ARG names can not be blank")
            pairs.append((name, value if equals else None))
        return Arg(line=self._raw.line, text=self._raw.text, pairs=tuple(pairs))

    def _pairs(self) -> tuple[tuple[str, str], ...]:
        keyword, words = self._raw.keyword, self._words()
        if not words:
            self._fail(f"{keyword} requires at least one argument")
        if "=" not in words[0]:
            parts = self._raw.rest.split(maxsplit=1)
            if len(parts) < 2:
                self._fail(f"{keyword} must have two arguments")
            return ((parts[0], parts[1]),)
        pairs = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                self._fail(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
            if not name:
                self._fail(f"{keyword} names can not be blank")
            pairs.append((name, value))
        return tuple(pairs)

    def _env(self) -> Env:
        return Env(line=self._raw.line, text=self._raw.text, pairs=self._pairs())

    def _label(self) -> Label:
        return Label(line=self._raw.line, text=self._raw.text, pairs=self._pairs())

    def _run(self) -> Run:
        flags = self._flags()
        command = self._command()
        if command.is_shell and not command.line:
            self._fail("RUN requires at least one argument")
        if not command.is_shell and not command.argv:
            self._fail("RUN requires at least one argument")
        network, security = flags.one("network") or "default", flags.one("security") or "sandbox"
        if network not in ("default", "none", "host"):
            self._fail(f'invalid network mode: "{network}"', remedy="use default, none or host")
        for device in flags.all("device"):
            self._fail(f"device {device} is not available", remedy="builds get no device of the machine: drop --device")
        if security != "sandbox":
            self._fail(f"security mode {security} is not allowed", remedy="builds never run privileged: drop --security")
        try:
            mounts = tuple(flag.parse_mount(text) for text in flags.all("mount"))
        except ValueError as exc:
            self._fail(str(exc))
        return Run(line=self._raw.line, text=self._raw.text, command=command, heredocs=self._raw.heredocs,
                   mounts=mounts, network=network)

    def _copy(self) -> Copy:
        keyword, flags = self._raw.keyword, self._flags()
        words = self._json()
        words = self._words() if words is None else words
        if len(words) < 2:
            only = ", but only one was provided. Destination could not be determined" if words else ""
            self._fail(f"{keyword} requires at least two arguments{only}")
        opened = {heredoc.word for heredoc in self._raw.heredocs}
        if words[-1] in opened:
            self._fail(f"{keyword} cannot accept a heredoc as a destination")
        if "$" in flags.one("from"):
            self._fail("variable expansion is not supported for --from, define a new stage with FROM using ARG from global "
                       "scope as a workaround")
        return Copy(
            line=self._raw.line, text=self._raw.text, is_add=keyword == "ADD",
            sources=tuple(word for word in words[:-1] if word not in opened), destination=words[-1],
            heredocs=self._raw.heredocs, origin=flags.one("from"), chown=flags.one("chown"), chmod=flags.one("chmod"),
            checksum=flags.one("checksum"), excludes=flags.all("exclude"), keeps_parents=bool(flags.boolean("parents")),
            keeps_git_dir=bool(flags.boolean("keep-git-dir")), is_linked=bool(flags.boolean("link")),
            unpacks=flags.boolean("unpack"),
        )  # fmt: skip

    def _cmd(self) -> Cmd:
        return Cmd(line=self._raw.line, text=self._raw.text, command=self._command())

    def _entrypoint(self) -> Entrypoint:
        return Entrypoint(line=self._raw.line, text=self._raw.text, command=self._command())

    def _workdir(self) -> Workdir:
        return Workdir(line=self._raw.line, text=self._raw.text, path=self._single())

    def _user(self) -> User:
        return User(line=self._raw.line, text=self._raw.text, user=self._single())

    def _expose(self) -> Expose:
        return Expose(line=self._raw.line, text=self._raw.text, ports=self._several())

    def _volume(self) -> Volume:
        paths = self._several()
        if any(not path.strip() for path in paths):
            self._fail("VOLUME specified can not be an empty string")
        return Volume(line=self._raw.line, text=self._raw.text, paths=paths)

    def _shell(self) -> Shell:
        argv = self._json()
        if argv is None:
            self._fail("SHELL requires the arguments to be in JSON form", remedy='e.g. SHELL ["/bin/bash", "-c"]')
        if not argv:
            self._fail("SHELL requires at least one argument")
        return Shell(line=self._raw.line, text=self._raw.text, argv=argv)

    def _stop_signal(self) -> StopSignal:
        return StopSignal(line=self._raw.line, text=self._raw.text, signal=self._single())

    def _maintainer(self) -> Maintainer:
        return Maintainer(line=self._raw.line, text=self._raw.text, name=self._single())

    def _onbuild(self) -> Onbuild:
        raw = self._raw
        if not raw.rest:
            self._fail("ONBUILD requires at least one argument")
        inner = raw.rest.split(maxsplit=1)[0].upper()
        if inner == "ONBUILD":
            self._fail("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        if inner in _NO_TRIGGER:
            self._fail(f"{inner} isn't allowed as an ONBUILD trigger")
        bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in raw.heredocs)
        try:
            parse_trigger(raw.rest + bodies, escape=self._escape, file=self._file)
        except InvalidFile as exc:
            self._fail(exc.problem, remedy=exc.remedy)
        return Onbuild(line=raw.line, text=raw.text, trigger=raw.rest + bodies)

    def _healthcheck(self) -> Healthcheck:
        kind, rest = (*self._raw.rest.split(maxsplit=1), "", "")[:2]
        if not kind:
            self._fail("HEALTHCHECK requires at least one argument", remedy="write HEALTHCHECK CMD command, or NONE")
        flags = self._flags()
        if kind.upper() == "NONE":
            if rest:
                self._fail("HEALTHCHECK NONE takes no arguments")
            return Healthcheck(line=self._raw.line, text=self._raw.text, command=None)
        if kind.upper() != "CMD":
            self._fail(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
        if not rest:
            self._fail("Missing command after HEALTHCHECK CMD")
        inner = RawInstruction(keyword="CMD", flags=(), rest=rest, line=self._raw.line, text=self._raw.text)
        try:
            timing = flag.parse_timing(flags)
        except ValueError as exc:
            self._fail(str(exc))
        return Healthcheck(
            line=self._raw.line, text=self._raw.text, command=_Parser(inner, self._escape, self._file)._command(),
            interval_s=timing.interval_s, timeout_s=timing.timeout_s, start_period_s=timing.start_period_s,
            start_interval_s=timing.start_interval_s, retries=timing.retries,
        )  # fmt: skip


_PARSERS: Mapping[str, Callable[[_Parser], Instruction]] = {
    "FROM": _Parser._from, "ARG": _Parser._arg, "ENV": _Parser._env, "LABEL": _Parser._label, "RUN": _Parser._run,
    "COPY": _Parser._copy, "ADD": _Parser._copy, "CMD": _Parser._cmd, "ENTRYPOINT": _Parser._entrypoint,
    "WORKDIR": _Parser._workdir, "USER": _Parser._user, "EXPOSE": _Parser._expose, "VOLUME": _Parser._volume,
    "SHELL": _Parser._shell, "STOPSIGNAL": _Parser._stop_signal, "MAINTAINER": _Parser._maintainer,
    "ONBUILD": _Parser._onbuild, "HEALTHCHECK": _Parser._healthcheck,
}  # fmt: skip
