"""One Dockerfile build from the first stage to the image: which stages, in which order, what they share.

Stages that do not need each other are built at the same time. What happens in a stage is stagebuild.py's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import FrameType

from paas.builders.dockerfile.bases import Bases
from paas.builders.dockerfile.cache import Say
from paas.builders.dockerfile.context import open_context
from paas.builders.dockerfile.findings import Finding
from paas.builders.dockerfile.instructions import Instruction
from paas.builders.dockerfile.plan import BuildPlan, Stage
from paas.builders.dockerfile.rehearsal import Rehearsal
from paas.builders.dockerfile.stage import StageState
from paas.builders.dockerfile.stagebuild import StageBuild
from paas.builders.dockerfile.steps import Origin, Workbench
from paas.builders.dockerfile.tree import LayeredTree
from paas.errors import Cancelled
from paas.oci.store import Image, ImageStore


class DockerfileBuild:
    """Builds the target of a plan. Use it once."""

    def __init__(self, bench: Workbench, plan: BuildPlan, *, store: ImageStore, bases: Bases) -> None:
        self._bench, self._order, self._plan, self._store, self._bases = bench, bench.order, plan, store, bases
        self._context = open_context(bench.order.tree, dockerfile=bench.order.dockerfile)
        self._lock = threading.Lock()
        self._states: dict[int, Future[StageState]] = {}
        self._images: dict[str, Image] = {}
        self._trees: dict[str, Origin] = {"": Origin(tree=self._context)}

    def run(self) -> Image:
        """Build all needed stages and record the image."""
        output, order = self._order.output, self._order
        for name in self._plan.unused_args():
            output.detail(f"[Warning] the build argument {name} was not consumed")
        state = self._build_target()
        config = replace(state.config, labels=tuple({**dict(state.config.labels), **order.labels}.items()))
        epoch = order.epoch
        image = self._store.create_image(
            config, state.layers, reference=order.reference, created_at=epoch, is_dated=epoch is not None
        )
        self._store.touch(state.layers)
        self._bench.digests.save()
        output.detail(f"Successfully built {image.short_id}")
        if order.reference:
            output.detail(f"Successfully tagged {order.reference}")
        return image

    def check(self) -> tuple[Finding, ...]:
        """Find the base images and return what the checks say that need them. Raises InvalidFile."""
        return Rehearsal(self._plan, base_of=self.base_of, ignore=self._context.ignore).run()

    def base_of(self, stage: Stage) -> Image:
        """Return a stage's base image and keep it until the build ends. Raises InvalidFile at its FROM."""
        return self._image(stage.image, stage.start, self._order.output.detail)

    def state_of(self, index: int) -> StageState:
        """Return a built stage, waiting for it; a trigger may ask for one that the plan did not foresee."""
        with self._lock:
            future = self._states.get(index)
            is_mine = future is None
            if future is None:
                future = self._states[index] = Future()
        if is_mine:
            self._build(index, future)
        return future.result()

    def origin(self, name: str, stage: int | None, instruction: Instruction, say: Say) -> Origin:
        """Return the tree that `from=name` means: the context, an earlier stage (its number is given), an image."""
        if stage is not None:  # not remembered: the same name may mean another stage further down
            return self._tree_of(self.state_of(stage).layers)
        if name not in self._trees:
            self._trees[name] = self._tree_of(self._image(name, instruction, say).layers)
        return self._trees[name]

    def _image(self, name: str, instruction: Instruction, say: Say) -> Image:
        """Return an image by name; it is the same for all that name it."""
        if name not in self._images:
            self._images[name] = self._bases.find(name, instruction, say)
        return self._images[name]

    def _build_target(self) -> StageState:
        """Build the stages, several at once where there are several that can be."""
        needed = self._plan.needed
        if len(needed) == 1 or not self._plan.is_parallel:
            return [self.state_of(index) for index in needed][-1]
        control = self._bench.cache.control
        with _cancelled_by_signals(), ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as pool:
            # In the order of the file: a stage only waits for earlier ones, which have a thread already.
            running = [pool.submit(self._unless_cancelled, index) for index in needed]
            try:
                return running[-1].result()
            except BaseException as exc:
                control.cancel()
                for future in running:
                    future.cancel()
                raise _first_cause(exc, self._failures()) from None

    def _unless_cancelled(self, index: int) -> StageState:
        try:
            self._bench.cache.control.check()
            return self.state_of(index)
        except BaseException:
            self._bench.cache.control.cancel()  # the others build for nothing
            raise

    def _build(self, index: int, future: Future[StageState]) -> None:
        try:
            number = sum(self._plan.steps_of(before) for before in self._plan.needed if before < index)
            future.set_result(StageBuild(self, self._bench, self._plan, self._plan.stages[index], number=number).run())
        except BaseException as exc:  # carried over to whoever waits for it
            future.set_exception(exc)

    def _failures(self) -> list[BaseException]:
        done = [future for future in self._states.values() if future.done()]
        return [exc for future in done if (exc := future.exception()) is not None]

    def _tree_of(self, layers: tuple[str, ...]) -> Origin:
        return Origin(tree=LayeredTree(self._bench.cache.directories(layers)), layers=layers)


def _first_cause(exc: BaseException, failures: list[BaseException]) -> BaseException:
    """Return the failure that the others followed from: the user's own wish to stop, else the first that was none."""
    if not isinstance(exc, Exception):
        return exc
    return next((failure for failure in failures if not isinstance(failure, Cancelled)), exc)


@contextlib.contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into Cancelled, so that the stages' containers go with us; left alone if somebody handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel(number: int, _frame: FrameType | None) -> None:
        raise Cancelled(f"Stopped by {signal.Signals(number).name}")

    changed: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            changed[number] = signal.signal(number, cancel)
    try:
        yield
    finally:
        for changed_number, before in changed.items():
            signal.signal(changed_number, before)
