"""What is allowed in a Dockerfile but hardly meant: warnings, or errors with `# check=error=true`. Pure.

Names and texts are those of Docker's build checks, so that `# check=skip=RULE` means the same here.
Source: Docker's documentation, "Build checks".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from paas.builders.dockerfile.findings import Finding, Rules
from paas.builders.dockerfile.instructions import (
    Arg,
    Cmd,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Shell,
    Workdir,
)
from paas.builders.dockerfile.plan import Stage
from paas.builders.dockerfile.scopechecks import check_bases

_SECRET = re.compile(r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE)
_NO_SECRET = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_RESERVED = ("context", "scratch")


def check_dockerfile(
    dockerfile: Dockerfile, stages: Sequence[Stage], platform: tuple[str, str] = ("amd64", "")
) -> tuple[Finding, ...]:
    """Return what the checks have to say, in the order of the file; `stages` are those that are built.

    Variables are not looked at: the base image may have them (rehearsal.py).
    """
    built = [instruction for stage in stages for instruction in (stage.start, *stage.instructions)]
    found = [finding for check in _OF_FILES for finding in check(dockerfile.instructions)]
    found += [finding for check in _OF_STAGES for finding in check(built)]
    found += [Finding(rule="NoEmptyContinuation", line=line, message="Empty continuation line") for line in dockerfile.gaps]
    found += check_bases(dockerfile, platform)
    return rules_of(dockerfile).keep(found)


def rules_of(dockerfile: Dockerfile) -> Rules:
    """Return which checks a file wants to hear."""
    return Rules.parse(dockerfile.check, dict(dockerfile.local_checks))


def _casing(instructions: Sequence[Instruction]) -> Iterator[Finding]:
    """All keywords should be written as most of them are; those before the first FROM do not count."""
    first = next(place for place, instruction in enumerate(instructions) if isinstance(instruction, From))
    words = [(instruction.line, instruction.text.split()[0]) for instruction in instructions[first:]]
    lower = sum(word.islower() for _, word in words)
    is_lower = lower > sum(word.isupper() for _, word in words)
    for line, word in words:
        if not (word.islower() if is_lower else word.isupper()):
            casing = "lowercase" if is_lower else "uppercase"
            message = f"Command '{word}' should match the case of the command majority ({casing})"
            yield Finding(rule="ConsistentInstructionCasing", line=line, message=message)


def _exposed(instructions: Sequence[Instruction]) -> Iterator[Finding]:
    for instruction in instructions:
        for port in instruction.ports if isinstance(instruction, Expose) else ():
            protocol = port.partition("/")[2]
            if "$" not in port and protocol != protocol.lower():
                message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                yield Finding(rule="ExposeProtoCasing", line=instruction.line, message=message)
            if "$" not in port and ":" in port:
                message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                yield Finding(rule="ExposeInvalidFormat", line=instruction.line, message=message)


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
    seen: dict[type[Instruction], int] = {}
    has_shell = False
    for instruction in instructions:
        if isinstance(instruction, From):
            seen, has_shell = {}, False
        has_shell = has_shell or isinstance(instruction, Shell)
        if not isinstance(instruction, Cmd | Entrypoint | Healthcheck):
            continue
        name = type(instruction).__name__.upper()
        if type(instruction) in seen:
            message = f"Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            yield Finding(rule="MultipleInstructionsDisallowed", line=seen[type(instruction)], message=message)
        seen[type(instruction)] = instruction.line
        if not isinstance(instruction, Healthcheck) and instruction.command.is_shell and not has_shell:
            message = f"JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
            yield Finding(rule="JSONArgsRecommended", line=instruction.line, message=message)


def _maintainers(instructions: Sequence[Instruction]) -> Iterator[Finding]:
    for instruction in instructions:
        if isinstance(instruction, Maintainer):
            message = "Maintainer instruction is deprecated in favor of using label"
            yield Finding(rule="MaintainerDeprecated", line=instruction.line, message=message)


def _names_and_values(instructions: Sequence[Instruction]) -> Iterator[Finding]:
    for instruction in instructions:
        if isinstance(instruction, Env | Label) and "=" not in instruction.text.split()[1]:
            name = type(instruction).__name__.upper()
            message = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
            yield Finding(rule="LegacyKeyValueFormat", line=instruction.line, message=message)
        if isinstance(instruction, Env | Arg):
            name = type(instruction).__name__.upper()
            for key, _ in instruction.pairs:
                if _SECRET.search(key) and not _NO_SECRET.search(key):
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


_Check = Callable[[Sequence[Instruction]], Iterator[Finding]]
_OF_FILES: tuple[_Check, ...] = (_stage_names, _casing, _maintainers)
_OF_STAGES: tuple[_Check, ...] = (_commands, _names_and_values, _working_directories, _exposed)
