"""All needed stages gone through before the first step runs: a word that cannot be expanded ends the build, and so does what a
check finds when the file wants that. Pure, but for the base images, which it asks for.

What a step does to files changes no name and no value, so names and values are known without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paas.builders.dockerfile.fetch import check_copy
from paas.builders.dockerfile.findings import Finding
from paas.builders.dockerfile.ignore import IgnoreRules
from paas.builders.dockerfile.instructions import Copy, Instruction, Run
from paas.builders.dockerfile.parser import parse_trigger
from paas.builders.dockerfile.plan import BuildPlan, Stage, origins_of
from paas.builders.dockerfile.scopechecks import ignored_sources, undefined_variables
from paas.builders.dockerfile.stage import StageState, begin_stage, configure, resolve
from paas.errors import InvalidFile
from paas.oci.manifest import ImageConfig
from paas.oci.store import Image


class Rehearsal:
    """Goes through the needed stages of a plan. Use it once."""

    def __init__(self, plan: BuildPlan, *, base_of: Callable[[Stage], Image], ignore: IgnoreRules) -> None:
        self._plan, self._base_of, self._ignore = plan, base_of, ignore
        self._states: dict[int, StageState] = {}
        self._findings: list[Finding] = []

    def run(self) -> tuple[Finding, ...]:
        """Return what the checks have to say. Raises InvalidFile."""
        for index in self._plan.needed:
            self._state_of(index)
        return tuple(self._findings)

    def _state_of(self, index: int) -> StageState:
        if index not in self._states:
            self._states[index] = self._after(self._plan.stages[index])
        return self._states[index]

    def _after(self, stage: Stage) -> StageState:
        """Return the state after a stage's last instruction."""
        state, triggers = open_stage(self._plan, stage, state_of=self._state_of, base_of=self._base_of)
        for trigger in triggers:
            for name in origins_of(trigger):
                origin = self._plan.find_origin(stage, name)
                if origin is not None:
                    self._state_of(origin)
            state = self._perform(state, trigger, at=stage.start)
        for instruction in stage.instructions:
            state = self._perform(state, instruction, at=instruction)
        return state

    def _perform(self, state: StageState, instruction: Instruction, *, at: Instruction) -> StageState:
        with located(self._plan.file, at):
            missing: list[str] = []
            resolved = resolve(instruction, state.scope, escape=self._plan.escape, missing=missing)
            self._findings += undefined_variables(at, missing, state.scope)
            if isinstance(resolved, Copy):
                check_copy(resolved)
                self._findings += ignored_sources(resolved, at, self._ignore)
            return state if isinstance(resolved, Run | Copy) else configure(state, resolved)


def open_stage(
    plan: BuildPlan, stage: Stage, *, state_of: Callable[[int], StageState], base_of: Callable[[Stage], Image]
) -> tuple[StageState, tuple[Instruction, ...]]:
    """Return a stage's state after FROM, and the triggers of its base. Raises InvalidFile."""
    if stage.parent is not None:
        parent = state_of(stage.parent)
        state = begin_stage(parent.config, parent.layers, parent.scope, base_count=parent.base_count)
        return state, _triggers(stage, parent.config)
    if not stage.image:
        return begin_stage(ImageConfig(workdir="/"), (), plan.scope()), ()
    base = base_of(stage)
    return begin_stage(base.config, base.layers, plan.scope()), _triggers(stage, base.config)


@contextmanager
def located(file: str, instruction: Instruction) -> Iterator[None]:
    """Say at which instruction it went wrong."""
    try:
        yield
    except ValueError as exc:
        raise InvalidFile(file, instruction.line, str(exc), text=instruction.text) from exc


def _triggers(stage: Stage, config: ImageConfig) -> tuple[Instruction, ...]:
    return tuple(parse_trigger(text, file=f"ONBUILD of {stage.image}") for text in config.onbuild)
