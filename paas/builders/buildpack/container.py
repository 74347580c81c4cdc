"""The container of a phase: what it runs, sees and may do, and how its failure is told.

Not which buildpacks: that is plan.py. The program inside is inside/phases.py.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paas.builders import BuildRequest
from paas.builders.buildpack.buildpack import Buildpack, Group, all_buildpacks
from paas.builders.buildpack.export import USER, USER_ID
from paas.builders.buildpack.inside.phases import OTHER_PLAN
from paas.builders.buildpack.plan import BuildPlan, Detection, resolve
from paas.builders.buildpack.restore import Kept
from paas.builders.buildpack.untrusted import read_text
from paas.builders.buildpack.workspace import Workspace
from paas.engines import BuildStep, Engine, StepResult
from paas.errors import BuildFailed, CommandFailed
from paas.model.container import Mount, NetworkMode
from paas.output import DETAIL, STEP, WARNING, Output

_PHASES = ("/usr/bin/python3", "-I", "-S", "-B", "/cnb/lifecycle/phases.py")
_TAIL = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the phases came to: `upper` is the overlay upper directory of the build, gone when the context is left."""

    plan: BuildPlan
    upper: Path
    detections: tuple[Detection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContainer:
    """All that the containers of one build have in common. `layers` are the build image and the base layer."""

    engine: Engine
    request: BuildRequest
    workspace: Workspace
    layers: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    host_mounts: tuple[Mount, ...] = ()
    deadline: float = 0

    @contextlib.contextmanager
    def run_phases(self, order: Sequence[Group], kept: Kept) -> Iterator[Outcome]:
        """Detect and build; give what the build changed. Raises BuildFailed.

        The build begins in the container that detected if that says what it said last time: a container less for most pushes.
        There the app's tree is writable for bin/detect too, which must not rely on it: it is not in the first build.
        """
        plan = _resolved(order, kept.detections)
        if plan is not None:
            with self._build(plan, kept, order) as upper:
                if upper is not None:
                    yield Outcome(plan=plan, upper=upper, detections=kept.detections)
                    return
        else:
            self._detect(order)
        detections = self._detections(order)
        plan = _resolved(order, detections)
        if plan is None:
            raise self._no_match(order, detections)
        with self._build(plan, kept) as upper:
            assert upper is not None
            yield Outcome(plan=plan, upper=upper, detections=detections)

    def _detect(self, order: Sequence[Group]) -> None:
        lines: list[str] = []
        self.workspace.request(
            "detect", {"candidates": _described(all_buildpacks(order)), "is_timed": self.request.output.timing.is_on}
        )
        with self._run("detect", self.layers, lines.append) as result:
            if result.exit_code != 0:
                raise _failure("Detection of the app's language failed", result, lines)

    @contextlib.contextmanager
    def _build(self, plan: BuildPlan, kept: Kept, order: Sequence[Group] = ()) -> Iterator[Path | None]:
        """Run bin/build of the plan's buildpacks; with an `order`, detect first, and give None if the plan is out of date."""
        self.workspace.request(
            "build",
            {
                "candidates": _described(all_buildpacks(order)),
                "expected": [[detection.status, detection.text] for detection in kept.detections] if order else [],
                "buildpacks": _described(plan.buildpacks),
                "entries": [{"name": e.name, "providers": e.providers, "requires": e.requires} for e in plan.entries],
                "is_timed": self.request.output.timing.is_on,
                "restored": {b.layers_name: kept.restored_files(b) for b in plan.buildpacks},
            },
        )
        transcript = Transcript(self.request.output)
        layers, does = (*self.layers, *kept.restored_layers(plan.buildpacks)), "detect and build" if order else "build"
        with self._run("build", layers, transcript.add, does=does) as result:
            if order and result.exit_code == OTHER_PLAN and self._detections(order) != kept.detections:
                yield None
                return
            if result.exit_code != 0:
                names = ", ".join(buildpack.id for buildpack in plan.buildpacks)
                message = f"The {names} buildpack failed with status {result.exit_code}"
                raise _failure(message, result, transcript.lines, transcript.warnings)
            transcript.close()
            yield result.changes

    @contextlib.contextmanager
    def _run(
        self, phase: str, layers: tuple[str, ...], on_line: Callable[[str], None], *, does: str = ""
    ) -> Iterator[StepResult]:
        is_detect, timed = phase == "detect", self.request.output.timed
        step = BuildStep(
            layers=layers, argv=(*_PHASES, phase), env=dict(self.env), user=f"{USER_ID}:{USER_ID}", workdir="/workspace",
            mounts=(*self.workspace.mounts(is_read_only=is_detect), *self.host_mounts),
            network=NetworkMode.NONE if is_detect else NetworkMode.TENANT,
            limits=self.request.limits, tenant=self.request.tenant,
        )  # fmt: skip
        left_s = max(1.0, self.deadline - time.monotonic())
        try:
            with contextlib.ExitStack() as held:
                with timed(f"{does or phase}, in a container"):
                    result = held.enter_context(self.engine.build_step(step, on_line=on_line, timeout_s=left_s))
                    self._add_times(phase)
                yield result
                with timed("remove the container"):
                    held.close()
        except CommandFailed as exc:
            if time.monotonic() < self.deadline:
                raise
            raise BuildFailed(
                f"The build took longer than {self.request.timeout_s:.0f} s and was stopped",
                remedy="raise build-timeout-s in paas.toml",
            ) from exc

    def _add_times(self, phase: str) -> None:
        """Take in what the phase has left about its steps, within the time that it took itself: it is not ours to trust."""
        timing = self.request.output.timing
        text = read_text(self.workspace.run, f"{phase}.times") if timing.is_on else None
        for line in (text or "").splitlines()[:_TAIL]:
            with contextlib.suppress(ValueError):
                began, ended, name = line.split(" ", 2)
                timing.add(name, float(began), float(ended))

    def _detections(self, order: Sequence[Group]) -> tuple[Detection, ...]:
        """Return what every bin/detect said, as it lies in /cnb/run."""
        found = []
        for number, buildpack in enumerate(all_buildpacks(order)):
            status = (read_text(self.workspace.run, f"detect/{number}/status") or "").strip()
            text = read_text(self.workspace.run, f"detect/{number}/plan.toml") or ""
            found.append(Detection(buildpack=buildpack.id, status=int(status) if status.isdecimal() else 1, text=text))
        return tuple(found)

    def _no_match(self, order: Sequence[Group], detections: Sequence[Detection]) -> BuildFailed:
        number, broken = next(((n, d) for n, d in enumerate(detections) if d.is_error), (0, None))
        if broken is not None:
            output = read_text(self.workspace.run, f"detect/{number}/output") or ""
            return BuildFailed(
                f"bin/detect of the buildpack {broken.buildpack} failed with status {broken.status}",
                output=output.splitlines()[-_TAIL:], remedy="fix what it says, or add a Dockerfile",
            )  # fmt: skip
        buildpacks = all_buildpacks(order)
        return BuildFailed(
            "No buildpack recognises this app",
            output=tuple(f"{b.id} looks for {b.looks_for or 'what its own documentation says'}" for b in buildpacks),
            remedy="add one of these files to the top of the repository, or a Dockerfile",
        )


def build_env(stack_env: Mapping[str, str], host_env: Mapping[str, str], *, stack: str) -> dict[str, str]:
    """Return the environment of the phases; the app's config vars are added inside, as the buildpack asks for."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    distribution, _, version = stack.partition("-")
    return {
        **stack_env,
        **host_env,
        "HOME": f"/home/{USER}",
        "CNB_STACK_ID": stack,
        "CNB_TARGET_OS": "linux",
        "CNB_TARGET_ARCH": machine,
        "CNB_TARGET_DISTRO_NAME": distribution,
        "CNB_TARGET_DISTRO_VERSION": version,
    }


class Transcript:
    """Shows the lines of buildpacks as they come: `-----> ` is a step, ` !     ` a warning, all else detail.

    Warnings are held back until something else follows: the last ones of a failed build are its error.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines: deque[str] = deque(maxlen=_TAIL)
        self.warnings: list[str] = []

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the last lines, without the warnings that are held back."""
        return tuple(self._lines)

    def add(self, line: str) -> None:
        """Show a line, or hold it back."""
        if line.startswith(WARNING):
            self.warnings.append(line.removeprefix(WARNING))
            return
        self.close()
        self._lines.append(line)
        if line.startswith(STEP):
            self._output.step(line.removeprefix(STEP))
        else:
            self._output.detail(line.removeprefix(DETAIL))

    def close(self) -> None:
        """Show what is held back."""
        for warning in self.warnings:
            self._lines.append(WARNING + warning)
            self._output.warn(warning)
        self.warnings.clear()


def _resolved(order: Sequence[Group], detections: Sequence[Detection]) -> BuildPlan | None:
    try:
        return resolve(order, detections)
    except ValueError as exc:
        raise BuildFailed(f"A buildpack's bin/detect wrote a build plan that is not valid: {exc}") from exc


def _described(buildpacks: Sequence[Buildpack]) -> list[dict[str, object]]:
    return [
        {"id": b.id, "dir": b.target, "layers": b.layers_name, "clear_env": b.clears_env} for b in buildpacks
    ]


def _failure(message: str, result: StepResult, lines: Sequence[str], said: Sequence[str] = ()) -> BuildFailed:
    """Return the error: what the buildpack itself `said` was wrong, and then what to do, else `message`."""
    if result.is_oom_killed:
        message, said = "The build ran out of memory", ()
        remedy = "give it more: paas resource:limit --process-type build --memory 2g <app>, or build-memory-mb in paas.toml"
    else:
        remedy = "\n".join(said[1:]) or "fix what the output says and push again"
    return BuildFailed(said[0] if said else message, remedy=remedy, output=lines[-_TAIL:])
