"""Dockerfile -> stages, and which of them the target needs. Pure: knows names and arguments, no image and no file.

What a stage's instructions do is decided in stage.py, when the base image's configuration is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paas.builders.dockerfile.expand import PROXY_ARGS, ExpansionError, Scope, expand_word
from paas.builders.dockerfile.instructions import Arg, Copy, Dockerfile, From, Instruction, Run
from paas.errors import InvalidFile

SCRATCH = "scratch"
#: Names of architectures that mean another's (containerd's platforms.Normalize).
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm"}
#: Arguments that a build may be given without any ARG for them.
_UNDECLARED = frozenset({*PROXY_ARGS, "SOURCE_DATE_EPOCH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One FROM and what follows. Built on stage `parent`, else on `image` ('' is scratch).

    `origins` names the stage that each `--from` means; a name that is not in it is an image.
    """

    index: int
    start: From
    image: str
    parent: int | None = None
    instructions: tuple[Instruction, ...] = ()
    origins: Mapping[str, int] = field(default_factory=dict)

    @property
    def requires(self) -> frozenset[int]:
        """Return the stages that must be built before it."""
        return frozenset(self.origins.values()) | (frozenset() if self.parent is None else {self.parent})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """All stages; `needed` are the indexes to build, in order, the last is the target."""

    file: str
    escape: str
    stages: tuple[Stage, ...]
    needed: tuple[int, ...]
    outer: Mapping[str, str]
    given: Mapping[str, str]

    @property
    def target(self) -> Stage:
        return self.stages[self.needed[-1]]

    @property
    def step_count(self) -> int:
        """Return how many steps the user will see."""
        return sum(self.steps_of(index) for index in self.needed)

    @property
    def is_parallel(self) -> bool:
        """Say whether there are stages that do not need each other, also not through others."""
        known: dict[int, set[int]] = {}
        for index in self.needed:
            requires = self.stages[index].requires
            known[index] = set(requires).union(*(known[required] for required in requires))
        return any(set(self.needed[:place]) - known[index] for place, index in enumerate(self.needed))

    def steps_of(self, index: int) -> int:
        """Return how many steps the user will see of one stage."""
        return 1 + len(self.stages[index].instructions)

    def scope(self) -> Scope:
        """Return what a stage knows before its first instruction."""
        return Scope(given=self.given, outer=self.outer)

    def find_origin(self, stage: Stage, name: str) -> int | None:
        """Return the stage that `from=name` means in a stage: also one that only a trigger of its base names."""
        found = stage.origins.get(name)
        return _stage_called(self.stages[: stage.index], name) if found is None else found

    def unused_args(self) -> tuple[str, ...]:
        """Return the given build arguments that no ARG of the file declares."""
        stages = (i for stage in self.stages for i in stage.instructions)
        declared = {name for i in stages if isinstance(i, Arg) for name, _ in i.pairs}
        return tuple(sorted(name for name in self.given if name not in declared | _UNDECLARED and name not in self.outer))


def plan_build(
    dockerfile: Dockerfile, *, target: str = "", build_args: Mapping[str, str] | None = None,
    platform: tuple[str, str] = ("amd64", ""), allows_host_network: bool = False,
) -> BuildPlan:
    """Split into stages and find those that `target` (default: the last) needs. Raises InvalidFile."""
    given = dict(build_args or {})
    preset = platform_args(platform)
    scope = Scope(given={**preset, **given}, args=preset)
    stages: list[Stage] = []
    for instruction in dockerfile.instructions:
        if isinstance(instruction, From):
            stages.append(_start_stage(dockerfile, instruction, stages, scope))
        elif not stages:
            scope = _declare(dockerfile, instruction, scope)
        else:
            stages[-1] = _extend_stage(dockerfile, stages[-1], instruction, stages[:-1])
    wanted = _find_target(dockerfile, stages, target)
    if not allows_host_network:
        _refuse_host_network(dockerfile, stages)
    return BuildPlan(
        file=dockerfile.file, escape=dockerfile.escape, stages=tuple(stages), needed=_closure(stages, wanted),
        outer=dict(scope.args), given=given,
    )  # fmt: skip


def _refuse_host_network(dockerfile: Dockerfile, stages: Sequence[Stage]) -> None:
    for instruction in (i for stage in stages for i in stage.instructions):
        if isinstance(instruction, Run) and instruction.network == "host":
            raise InvalidFile(
                dockerfile.file, instruction.line, "network mode host is not allowed", text=instruction.text,
                remedy="builds have their app's network: drop --network, or use paas image:build --allow network.host",
            )  # fmt: skip


def origins_of(instruction: Instruction) -> tuple[str, ...]:
    """Return what an instruction names with `from=`: stages and images."""
    if isinstance(instruction, Copy):
        return (instruction.origin,) if instruction.origin else ()
    if isinstance(instruction, Run):
        return tuple(mount.origin for mount in instruction.mounts if mount.origin)
    return ()


def platform_args(platform: tuple[str, str]) -> dict[str, str]:
    """Return the arguments that BuildKit predefines in the global scope."""
    architecture, variant = platform
    whole = f"linux/{architecture}" + (f"/{variant}" if variant else "")
    values = {"PLATFORM": whole, "OS": "linux", "ARCH": architecture, "VARIANT": variant}
    return {f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in values.items()}


def _declare(dockerfile: Dockerfile, instruction: Instruction, scope: Scope) -> Scope:
    assert isinstance(instruction, Arg)  # the parser lets nothing else stand before FROM
    for name, default in instruction.pairs:
        value = None if default is None else _expanded(dockerfile, instruction, default, scope.values())
        scope = scope.declare(name, value)
    return scope


def _start_stage(dockerfile: Dockerfile, start: From, earlier: Sequence[Stage], scope: Scope) -> Stage:
    image = _expanded(dockerfile, start, start.image, scope.values())
    if not image:
        raise InvalidFile(dockerfile.file, start.line, f"base name ({start.image}) should not be blank", text=start.text,
                          remedy="give the ARG a default, or a value with --build-arg")
    platform = _expanded(dockerfile, start, start.platform, scope.values())
    own = scope.values()["BUILDPLATFORM"]
    if platform and not _is_platform(platform, own):
        raise InvalidFile(dockerfile.file, start.line, f"this machine is {own}, it cannot build for {platform}",
                          text=start.text, remedy=f"drop --platform, or use {own}")
    parent = _stage_called(earlier, image)
    is_image = parent is None and image != SCRATCH
    return Stage(index=len(earlier), start=start, image=image if is_image else "", parent=parent)


def _is_platform(wanted: str, own: str) -> bool:
    """Say whether a platform is this machine's: `linux/amd64`, `amd64`, `linux`, `linux/x86_64`, `linux/arm64/v8`."""
    system, architecture, *variant = own.split("/")
    parts = wanted.lower().split("/")
    if len(parts) == 1:
        parts = [system, architecture] if parts[0] == system else [system, *parts]
    parts[1] = _ARCHITECTURES.get(parts[1], parts[1])
    return parts[:2] == [system, architecture] and (len(parts) == 2 or parts[2:] == variant)


def _extend_stage(dockerfile: Dockerfile, stage: Stage, instruction: Instruction, earlier: Sequence[Stage]) -> Stage:
    origins = dict(stage.origins)
    for name in origins_of(instruction):
        found = _stage_called(earlier, name)
        if found is None and name.isdecimal() and int(name) < len(earlier):
            found = int(name)
        if found is None and (name.isdecimal() or name.lower() == stage.start.name):
            raise InvalidFile(dockerfile.file, instruction.line, f"invalid from flag value {name}: no such stage before it",
                              text=instruction.text, remedy="name an earlier stage or an image")
        if found is not None:
            origins[name] = found
    return Stage(index=stage.index, start=stage.start, image=stage.image, parent=stage.parent, origins=origins,
                 instructions=(*stage.instructions, instruction))


def _stage_called(stages: Sequence[Stage], name: str) -> int | None:
    """Return the nearest earlier stage of that name."""
    return next((stage.index for stage in reversed(stages) if stage.start.name == name.lower() != ""), None)


def _find_target(dockerfile: Dockerfile, stages: Sequence[Stage], target: str) -> int:
    if not target:
        return len(stages) - 1
    found = _stage_called(stages, target)
    if found is None and target.isdecimal() and int(target) < len(stages):
        found = int(target)
    if found is None:
        names = ", ".join(stage.start.name for stage in stages if stage.start.name) or "none has a name"
        raise InvalidFile(dockerfile.file, 0, f"target stage \"{target}\" could not be found", remedy=f"stages: {names}")
    return found


def _closure(stages: Sequence[Stage], wanted: int) -> tuple[int, ...]:
    """Return the wanted stage and all it requires, in file order: a stage only refers to earlier ones."""
    needed = {wanted}
    for stage in reversed(stages[: wanted + 1]):
        if stage.index in needed:
            needed |= stage.requires
    return tuple(sorted(needed))


def _expanded(dockerfile: Dockerfile, instruction: Instruction, word: str, values: Mapping[str, str]) -> str:
    try:
        return expand_word(word, values, escape=dockerfile.escape)
    except ExpansionError as exc:
        raise InvalidFile(dockerfile.file, instruction.line, f"failed to process \"{word}\": {exc}",
                          text=instruction.text) from exc
