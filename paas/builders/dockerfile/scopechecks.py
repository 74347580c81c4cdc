"""Build checks that must know names: variables used in vain, sources that are ignored, what FROM makes of its arguments. Pure.

Source: Docker's documentation, "Build checks"; BuildKit's frontend/dockerfile/linter for the texts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from paas.builders.dockerfile.expand import ExpansionError, Scope, expand_word
from paas.builders.dockerfile.findings import Finding, suggestion
from paas.builders.dockerfile.ignore import IgnoreRules
from paas.builders.dockerfile.instructions import Arg, Copy, Dockerfile, From, Instruction
from paas.builders.dockerfile.plan import platform_args
from paas.errors import InvalidInput
from paas.oci.reference import Reference

#: BuildKit reads them itself; they are never in the environment.
_NO_VARIABLES = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")
_TARGET = "TARGETPLATFORM"


def undefined_variables(instruction: Instruction, missing: Iterable[str], scope: Scope) -> Iterator[Finding]:
    """Report the names that an instruction used and that neither ENV, ARG nor the base image has."""
    for name in missing:
        if name in scope.declared or name in _NO_VARIABLES:
            continue
        near = suggestion(name, scope.values())
        message = f"Usage of undefined variable '${name}'" + (f" (did you mean ${near}?)" if near else "")
        yield Finding(rule="UndefinedVar", line=instruction.line, message=message)


def ignored_sources(copy: Copy, at: Instruction, ignore: IgnoreRules) -> Iterator[Finding]:
    """Report what COPY or ADD wants of the context though .dockerignore leaves it out; with exceptions nothing is certain."""
    if not ignore or ignore.has_exceptions or copy.origin:
        return
    command = "Add" if copy.is_add else "Copy"
    for source in copy.sources:
        path = posixpath.normpath(source)
        if ignore.ignores_all if path in (".", "/") else ignore.ignores(path):
            message = f'Attempting to {command} file "{path}" that is excluded by .dockerignore'
            yield Finding(rule="CopyIgnoredFile", line=at.line, message=message)


def check_bases(dockerfile: Dockerfile, platform: tuple[str, str]) -> Iterator[Finding]:
    """Report what is doubtful in FROM: arguments that are not declared, names that are none without --build-arg, platforms."""
    preset = platform_args(platform)
    scope = Scope(given=preset, args=preset)
    declared = dict.fromkeys(preset)
    for instruction in dockerfile.instructions:
        try:
            if isinstance(instruction, From):
                yield from _check_base(instruction, scope, tuple(declared), dockerfile.escape)
            elif isinstance(instruction, Arg) and not any(isinstance(i, From) and i.line < instruction.line
                                                          for i in dockerfile.instructions):
                for name, default in instruction.pairs:
                    value = None if default is None else expand_word(default, scope.values(), escape=dockerfile.escape)
                    scope = scope.declare(name, value)
                    declared[name] = None
        except ExpansionError:
            return  # the build says so


def _check_base(start: From, scope: Scope, declared: tuple[str, ...], escape: str) -> Iterator[Finding]:
    missing: list[str] = []
    image = expand_word(start.image, scope.values(), escape=escape, missing=missing)
    platform = expand_word(start.platform, scope.values(), escape=escape, missing=missing)
    for name in missing:
        if name not in declared:
            near = suggestion(name, declared)
            message = f"FROM argument '{name}' is not declared" + (f" (did you mean {near}?)" if near else "")
            yield Finding(rule="UndefinedArgInFrom", line=start.line, message=message)
    if "$" in start.image and not _is_reference(image):
        message = f"Default value for ARG {start.image} results in empty or invalid base image name"
        yield Finding(rule="InvalidDefaultArgInFrom", line=start.line, message=message)
    if start.platform in (f"${_TARGET}", f"${{{_TARGET}}}"):
        message = f"Setting platform to predefined {start.platform} in FROM is redundant as this is the default behavior"
        yield Finding(rule="RedundantTargetPlatform", line=start.line, message=message)
    if platform and "$" not in start.platform and not any(part in start.name for part in platform.split("/")[:2]):
        message = f'FROM --platform flag should not use constant value "{platform}"'
        yield Finding(rule="FromPlatformFlagConstDisallowed", line=start.line, message=message)


def _is_reference(name: str) -> bool:
    try:
        Reference.parse(name)
    except InvalidInput:
        return False
    return True
