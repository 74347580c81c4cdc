"""What is allowed in a Dockerfile but hardly meant: warnings, or errors with `# check=error=true`. Pure.

Names and texts are those of Docker's build checks, so that `# check=skip=RULE` means the same here.
Source: Docker's documentation, "Build checks".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from paas.builders.dockerfile.instructions import (
    Arg,
    Cmd,
    Dockerfile,
    Entrypoint,
    Env,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Shell,
    Workdir,
)
from paas.errors import InvalidFile

_SECRET = re.compile(r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE)
_PUBLIC = re.compile(r"(?:_|^)public(?:_|$)", re.IGNORECASE)
_RESERVED = ("context", "scratch")
_TRUE = ("true", "1", "t")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check has to say."""

    rule: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message} (line {self.line})"


def check_dockerfile(dockerfile: Dockerfile) -> tuple[Finding, ...]:
    """Return what the checks have to say, in the order of the file. Raises InvalidFile when that shall be an error."""
    options = dict(option.strip().split("=", 1) for option in dockerfile.check.split(";") if option.strip())
    skipped = {rule.strip() for rule in options.get("skip", "").split(",")}
    if "all" in skipped:
        return ()
    every = (finding for check in _CHECKS for finding in check(dockerfile.instructions))
    found = sorted((f for f in every if f.rule not in skipped), key=lambda f: (f.line, f.rule))
    if found and options.get("error", "").lower() in _TRUE:
        rules = ", ".join(dict.fromkeys(finding.rule for finding in found))
        raise InvalidFile(dockerfile.file, found[0].line, f"lint violation found for rules: {rules}. {found[0].message}",
                          remedy="change it, or name the rule after # check=skip=")
    return tuple(found)


def _stage_names(instructions: Sequence[Instruction]) -> Iterator[Finding]:
    seen: set[str] = set()
    for start in (i for i in instructions if isinstance(i, From) and i.name):
        *_, keyword, name = start.text.split()
        if name != start.name:
            yield Finding(rule="StageNameCasing", line=start.line, message=f"Stage name '{name}' should be lowercase")
        start_word = start.text.split()[0]
        if keyword.isupper() != start_word.isupper():
            message = f"'{keyword}' and '{start_word}' keywords' casing do not match"
            yield Finding(rule="FromAsCasing", line=start.line, message=message)
        if start.name in _RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{start.name}"'
            yield Finding(rule="ReservedStageName", line=start.line, message=message)
        if start.name in seen:
            message = f'Duplicate stage name "{start.name}", stage names should be unique'
            yield Finding(rule="DuplicateStageName", line=start.line, message=message)
        seen.add(start.name)


def _commands(instructions: Sequence[Instruction]) -> Iterator[Finding]:
    seen: set[type[Instruction]] = set()
    has_shell = False
    for instruction in instructions:
        if isinstance(instruction, From):
            seen, has_shell = set(), False
        has_shell = has_shell or isinstance(instruction, Shell)
        if not isinstance(instruction, Cmd | Entrypoint | Healthcheck):
            continue
        name = type(instruction).__name__.upper()
        if type(instruction) in seen:
            message = f"Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            yield Finding(rule="MultipleInstructionsDisallowed", line=instruction.line, message=message)
        seen.add(type(instruction))
        if not isinstance(instruction, Healthcheck) and instruction.command.is_shell and not has_shell:
            message = f"JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
            yield Finding(rule="JSONArgsRecommended", line=instruction.line, message=message)


def _names_and_values(instructions: Sequence[Instruction]) -> Iterator[Finding]:
    for instruction in instructions:
        if isinstance(instruction, Maintainer):
            message = "Maintainer instruction is deprecated in favor of using label"
            yield Finding(rule="MaintainerDeprecated", line=instruction.line, message=message)
        if isinstance(instruction, Env | Label) and "=" not in instruction.text.split()[1]:
            name = type(instruction).__name__.upper()
            message = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
            yield Finding(rule="LegacyKeyValueFormat", line=instruction.line, message=message)
        if isinstance(instruction, Env | Arg):
            name = type(instruction).__name__.upper()
            for key, _ in instruction.pairs:
                if _SECRET.search(key) and not _PUBLIC.search(key):
                    message = f'Do not use ARG or ENV instructions for sensitive data ({name} "{key}")'
                    yield Finding(rule="SecretsUsedInArgOrEnv", line=instruction.line, message=message)


def _working_directories(instructions: Sequence[Instruction]) -> Iterator[Finding]:
    """A relative one first in the file depends on the base image's."""
    is_set = False
    for instruction in instructions:
        if isinstance(instruction, From):
            is_set = False
        elif isinstance(instruction, Workdir):
            if not is_set and not instruction.path.startswith(("/", "$")):
                message = f'Relative workdir "{instruction.path}" can have unexpected results if the base image changes'
                yield Finding(rule="WorkdirRelativePath", line=instruction.line, message=message)
            is_set = True


_CHECKS: tuple[Callable[[Sequence[Instruction]], Iterator[Finding]], ...] = (
    _stage_names, _commands, _names_and_values, _working_directories,
)  # fmt: skip
