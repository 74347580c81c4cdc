"""One stage, instruction by instruction: tells the user, keeps the state, says at which line it went wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from paas.builders.dockerfile.instructions import Copy, Instruction, Run, Workdir
from paas.builders.dockerfile.plan import BuildPlan, Stage
from paas.builders.dockerfile.rehearsal import located, open_stage
from paas.builders.dockerfile.stage import StageState, configure, resolve
from paas.builders.dockerfile.steps import LayerSteps, Origin, Workbench
from paas.oci.manifest import HistoryEntry

if TYPE_CHECKING:
    from paas.builders.dockerfile.build import DockerfileBuild


class StageBuild:
    """Builds one stage. Use it once, in one thread; `number` steps of other stages come before its first."""

    def __init__(self, build: DockerfileBuild, bench: Workbench, plan: BuildPlan, stage: Stage, *, number: int) -> None:
        self._build, self._plan, self._stage, self._number = build, plan, stage, number
        self._output, self._epoch = bench.order.output, bench.order.epoch
        self._steps = LayerSteps(bench, origin=self._origin, say=self._say)
        self._prefix = f"[{stage.start.name or stage.index}] " if plan.is_parallel else ""
        self._at: Instruction = stage.start

    def run(self) -> StageState:
        """Return the state after the last instruction. Raises InvalidFile, BuildFailed, Cancelled."""
        self._announce(self._stage.start)
        state, triggers = open_stage(self._plan, self._stage, state_of=self._build.state_of, base_of=self._build.base_of)
        if triggers:
            self._say(f"# Executing {len(triggers)} build trigger{'s' if len(triggers) > 1 else ''}")
        for trigger in triggers:
            state = self._perform(state, trigger)
        for instruction in self._stage.instructions:
            self._announce(instruction)
            with self._output.timed(f"{self._prefix}{instruction.text.splitlines()[0]}"):
                state = self._perform(state, instruction)
        return state

    def _perform(self, state: StageState, instruction: Instruction) -> StageState:
        with located(self._plan.file, self._at):
            resolved = resolve(instruction, state.scope, escape=self._plan.escape)
            entry = HistoryEntry(created_by=instruction.text, created_at=self._epoch or 0)
            if isinstance(resolved, Run):
                return state.with_layer(self._steps.run(state, resolved), entry)
            if isinstance(resolved, Copy):
                return state.with_layer(self._steps.copy(state, resolved), entry)
            changed = configure(state, resolved, created_at=self._epoch or 0)
            if isinstance(resolved, Workdir):
                layer = self._steps.workdir(changed)
                return changed if layer is None else _with_workdir_layer(changed, layer, entry)
            return changed

    def _announce(self, instruction: Instruction) -> None:
        self._at = instruction
        self._number += 1
        self._say(f"Step {self._number}/{self._plan.step_count} : {instruction.text}")

    def _say(self, line: str) -> None:
        self._output.detail(self._prefix + line)

    def _origin(self, name: str) -> Origin:
        return self._build.origin(name, self._plan.find_origin(self._stage, name), self._at, self._say)


def _with_workdir_layer(state: StageState, layer: str, entry: HistoryEntry) -> StageState:
    """Replace the note that WORKDIR changed no files."""
    history = state.config.history[:-1]
    return replace(state, config=replace(state.config, history=history)).with_layer(layer, entry)
