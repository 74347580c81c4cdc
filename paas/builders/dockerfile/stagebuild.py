"""One stage, instruction by instruction: tells the user, keeps the state, says at which line it went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from paas.builders.dockerfile.copy import CopyError
from paas.builders.dockerfile.expand import ExpansionError
from paas.builders.dockerfile.findings import Finding, Rules
from paas.builders.dockerfile.instructions import Copy, Instruction, Run, Workdir
from paas.builders.dockerfile.parser import parse_trigger
from paas.builders.dockerfile.plan import BuildPlan, Stage
from paas.builders.dockerfile.scopechecks import undefined_variables
from paas.builders.dockerfile.stage import StageState, begin_stage, configure, resolve
from paas.builders.dockerfile.steps import LayerSteps, Origin, Workbench
from paas.errors import InvalidFile
from paas.oci.manifest import HistoryEntry, ImageConfig

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
        state, triggers = self._begin()
        if triggers:
            self._say(f"# Executing {len(triggers)} build trigger{'s' if len(triggers) > 1 else ''}")
        for text in triggers:
            state = self._perform(state, parse_trigger(text, file=f"ONBUILD of {self._stage.image}"))
        for instruction in self._stage.instructions:
            self._announce(instruction)
            with self._output.timed(f"{self._prefix}{instruction.text.splitlines()[0]}"):
                state = self._perform(state, instruction)
        return state

    def _begin(self) -> tuple[StageState, tuple[str, ...]]:
        """Return the state after FROM and the triggers of the base."""
        stage, scope = self._stage, self._plan.scope()
        if stage.parent is not None:
            parent = self._build.state_of(stage.parent)
            state = begin_stage(parent.config, parent.layers, parent.scope, base_count=parent.base_count)
            return state, parent.config.onbuild
        if not stage.image:
            return begin_stage(ImageConfig(workdir="/"), (), scope), ()
        with self._located():
            base = self._build.base(stage.image, stage.start, self._say)
        return begin_stage(base.config, base.layers, scope), base.config.onbuild

    def _perform(self, state: StageState, instruction: Instruction) -> StageState:
        with self._located():
            missing: list[str] = []
            resolved = resolve(instruction, state.scope, escape=self._plan.escape, missing=missing)
            self._warn(undefined_variables(instruction, missing, state.scope))
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

    def _warn(self, findings: Iterable[Finding]) -> None:
        for finding in Rules.parse(self._plan.check).apply(findings, self._plan.file):
            self._say(f"[Warning] {finding}")

    def _announce(self, instruction: Instruction) -> None:
        self._at = instruction
        self._number += 1
        self._say(f"Step {self._number}/{self._plan.step_count} : {instruction.text}")

    def _say(self, line: str) -> None:
        self._output.detail(self._prefix + line)

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Say at which line it went wrong."""
        try:
            yield
        except (CopyError, ExpansionError, ValueError) as exc:
            raise InvalidFile(self._plan.file, self._at.line, str(exc), text=self._at.text) from exc

    def _origin(self, name: str) -> Origin:
        return self._build.origin(name, self._plan.find_origin(self._stage, name), self._at, self._say)


def _with_workdir_layer(state: StageState, layer: str, entry: HistoryEntry) -> StageState:
    """Replace the note that WORKDIR changed no files."""
    history = state.config.history[:-1]
    return replace(state, config=replace(state.config, history=history)).with_layer(layer, entry)
