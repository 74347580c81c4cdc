"""One Dockerfile build from the first stage to the image: walks the plan, tells the user, keeps the states of stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from paas.builders.dockerfile.bases import Bases
from paas.builders.dockerfile.context import open_context
from paas.builders.dockerfile.copy import CopyError
from paas.builders.dockerfile.expand import ExpansionError
from paas.builders.dockerfile.hosted import HostedStep
from paas.builders.dockerfile.instructions import Copy, Instruction, Run, Workdir
from paas.builders.dockerfile.order import BuildOrder
from paas.builders.dockerfile.parser import parse_trigger
from paas.builders.dockerfile.plan import BuildPlan, Stage
from paas.builders.dockerfile.scratch import Scratch
from paas.builders.dockerfile.stage import StageState, begin_stage, configure, resolve
from paas.builders.dockerfile.steps import LayerSteps, Origin
from paas.builders.dockerfile.tree import LayeredTree
from paas.engines import Engine
from paas.errors import InvalidFile
from paas.oci.manifest import HistoryEntry, ImageConfig
from paas.oci.store import Image, ImageStore


class DockerfileBuild:
    """Builds the target of a plan. Use it once."""

    def __init__(
        self, order: BuildOrder, plan: BuildPlan, *, store: ImageStore, engine: Engine, hosted: HostedStep, scratch: Scratch,
        bases: Bases,
    ) -> None:  # fmt: skip
        self._order, self._plan, self._store, self._bases = order, plan, store, bases
        self._steps = LayerSteps(order, store=store, engine=engine, hosted=hosted, scratch=scratch, origin=self._origin)
        self._context = open_context(order.tree, dockerfile=order.dockerfile)
        self._states: dict[int, StageState] = {}
        self._trees: dict[str, Origin] = {"": Origin(tree=self._context)}
        self._at: tuple[Stage, Instruction] = (plan.target, plan.target.start)
        self._count = 0

    def run(self) -> Image:
        """Build all needed stages and record the image."""
        for name in self._plan.unused_args():
            self._order.output.detail(f"[Warning] the build argument {name} was not consumed")
        for index in self._plan.needed:
            self._build_stage(self._plan.stages[index])
        state = self._states[self._plan.target.index]
        config = replace(state.config, labels=tuple({**dict(state.config.labels), **self._order.labels}.items()))
        image = self._store.create_image(config, state.layers, reference=self._order.reference)
        self._steps.finish()
        self._order.output.detail(f"Successfully built {image.short_id}")
        if self._order.reference:
            self._order.output.detail(f"Successfully tagged {self._order.reference}")
        return image

    def _build_stage(self, stage: Stage) -> StageState:
        self._announce(stage, stage.start)
        state, triggers = self._begin(stage)
        if triggers:
            self._order.output.detail(f"# Executing {len(triggers)} build trigger{'s' if len(triggers) > 1 else ''}")
        for text in triggers:
            state = self._perform(state, parse_trigger(text, file=f"ONBUILD of {stage.image}"))
        for instruction in stage.instructions:
            self._announce(stage, instruction)
            state = self._perform(state, instruction)
        self._states[stage.index] = state
        return state

    def _begin(self, stage: Stage) -> tuple[StageState, tuple[str, ...]]:
        """Return the state after FROM and the triggers of the base."""
        scope = self._plan.scope()
        if stage.parent is not None:
            parent = self._state_of(stage.parent)
            state = begin_stage(parent.config, parent.layers, parent.scope, base_count=parent.base_count)
            return state, parent.config.onbuild
        if not stage.image:
            return begin_stage(ImageConfig(), (), scope), ()
        with self._located():
            base = self._bases.find(stage.image, stage.start)
        return begin_stage(base.config, base.layers, scope), base.config.onbuild

    def _perform(self, state: StageState, instruction: Instruction) -> StageState:
        with self._located():
            resolved = resolve(instruction, state.scope, escape=self._plan.escape)
            entry = HistoryEntry(created_by=instruction.text)
            if isinstance(resolved, Run):
                return state.with_layer(self._steps.run(state, resolved), entry)
            if isinstance(resolved, Copy):
                return state.with_layer(self._steps.copy(state, resolved), entry)
            changed = configure(state, resolved)
            if isinstance(resolved, Workdir):
                layer = self._steps.workdir(changed)
                return changed if layer is None else _with_workdir_layer(changed, layer, entry)
            return changed

    def _announce(self, stage: Stage, instruction: Instruction) -> None:
        self._at = (stage, instruction)
        self._count += 1
        self._order.output.detail(f"Step {self._count}/{self._plan.step_count} : {instruction.text}")

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Say at which line it went wrong."""
        _, instruction = self._at
        try:
            yield
        except (CopyError, ExpansionError, ValueError) as exc:
            raise InvalidFile(self._plan.file, instruction.line, str(exc), text=instruction.text) from exc

    def _state_of(self, index: int) -> StageState:
        """Return a built stage; a trigger may ask for one that the plan did not foresee."""
        return self._states.get(index) or self._build_stage(self._plan.stages[index])

    def _origin(self, name: str) -> Origin:
        """Return the tree that `from=name` means: the context, an earlier stage, an image."""
        stage, instruction = self._at
        index = stage.origins.get(name)
        if index is not None:  # not remembered: the same name may mean another stage further down
            return self._tree_of(self._state_of(index).layers)
        if name not in self._trees:
            self._trees[name] = self._tree_of(self._bases.find(name, instruction).layers)
        return self._trees[name]

    def _tree_of(self, layers: tuple[str, ...]) -> Origin:
        tree = LayeredTree([self._store.layer_dir(layer) for layer in reversed(layers)])
        return Origin(tree=tree, layers=layers)


def _with_workdir_layer(state: StageState, layer: str, entry: HistoryEntry) -> StageState:
    """Replace the note that WORKDIR changed no files."""
    history = state.config.history[:-1]
    return replace(state, config=replace(state.config, history=history)).with_layer(layer, entry)
