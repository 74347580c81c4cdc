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
from paas.builders.buildpack.plan import BuildPlan, Detection, parse_offers, resolve
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
class BuildContainer:
    """All that the containers of one build have in common. `layers` are the build image and the base layer."""

    engine: Engine
    request: BuildRequest
    workspace: Workspace
    layers: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    host_mounts: tuple[Mount, ...] = ()
    deadline: float = 0

    def detect(self, order: tuple[Group, ...]) -> BuildPlan:
        """Run every buildpack's bin/detect and choose a group. Raises BuildFailed."""
        buildpacks = all_buildpacks(order)
        self.workspace.request("detect", {"buildpacks": [_described(buildpack) for buildpack in buildpacks]})
        lines: list[str] = []
        with self._run("detect", self.layers, lines.append) as result:
            if result.exit_code != 0:
                raise _failure("Detection of the app's language failed", result, lines)
        detections = {b.id: self._detection(number, b) for number, b in enumerate(buildpacks)}
        plan = resolve(order, detections)
        if plan is None:
            raise _no_match(buildpacks, detections)
        return plan

    @contextlib.contextmanager
    def build(self, plan: BuildPlan, kept: Kept) -> Iterator[Path]:
        """Run bin/build of the chosen buildpacks and give what they changed: an overlay upper directory. Raises BuildFailed."""
        self.workspace.request(
            "build",
            {
                "buildpacks": [_described(buildpack) for buildpack in plan.buildpacks],
                "entries": [{"name": e.name, "providers": e.providers, "requires": e.requires} for e in plan.entries],
                "restored": {b.layers_name: kept.restored_files(b) for b in plan.buildpacks},
            },
        )
        transcript = Transcript(self.request.output)
        with self._run("build", (*self.layers, *kept.restored_layers(plan.buildpacks)), transcript.add) as result:
            if result.exit_code != 0:
                names = ", ".join(buildpack.id for buildpack in plan.buildpacks)
                message = f"The {names} buildpack failed with status {result.exit_code}"
                raise _failure(message, result, transcript.lines, transcript.warnings)
            transcript.close()
            yield result.changes

    @contextlib.contextmanager
    def _run(self, phase: str, layers: tuple[str, ...], on_line: Callable[[str], None]) -> Iterator[StepResult]:
        is_detect = phase == "detect"
        step = BuildStep(
            layers=layers, argv=(*_PHASES, phase), env=dict(self.env), user=f"{USER_ID}:{USER_ID}", workdir="/workspace",
            mounts=(*self.workspace.mounts(is_read_only=is_detect), *self.host_mounts),
            network=NetworkMode.NONE if is_detect else NetworkMode.TENANT,
            limits=self.request.limits, tenant=self.request.tenant,
        )  # fmt: skip
        left_s = max(1.0, self.deadline - time.monotonic())
        try:
            with self.engine.build_step(step, on_line=on_line, timeout_s=left_s) as result:
                yield result
        except CommandFailed as exc:
            if time.monotonic() < self.deadline:
                raise
            raise BuildFailed(
                f"The build took longer than {self.request.timeout_s:.0f} s and was stopped",
                remedy="raise build-timeout-s in paas.toml",
            ) from exc

    def _detection(self, number: int, buildpack: Buildpack) -> Detection:
        run, directory = self.workspace.run, f"detect/{number}"
        status = (read_text(run, f"{directory}/status") or "").strip()
        try:
            offers = parse_offers(read_text(run, f"{directory}/plan.toml") or "")
        except ValueError as exc:
            raise BuildFailed(f"The buildpack {buildpack.id} wrote a build plan that is not valid: {exc}") from exc
        output = read_text(run, f"{directory}/output") or ""
        return Detection(status=int(status) if status.isdecimal() else 1, offers=offers, output=output)


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


def _described(buildpack: Buildpack) -> dict[str, object]:
    return {
        "id": buildpack.id,
        "dir": buildpack.target,
        "layers": buildpack.layers_name,
        "clear_env": buildpack.clears_env,
    }


def _failure(message: str, result: StepResult, lines: Sequence[str], said: Sequence[str] = ()) -> BuildFailed:
    """Return the error: what the buildpack itself `said` was wrong, and then what to do, else `message`."""
    if result.is_oom_killed:
        message, said = "The build ran out of memory", ()
        remedy = "raise build-memory-mb in paas.toml, or let the build do less at once"
    else:
        remedy = "\n".join(said[1:]) or "fix what the output says and push again"
    return BuildFailed(said[0] if said else message, remedy=remedy, output=lines[-_TAIL:])


def _no_match(buildpacks: tuple[Buildpack, ...], detections: Mapping[str, Detection]) -> BuildFailed:
    broken = next((b for b in buildpacks if detections[b.id].is_error), None)
    if broken is not None:
        found = detections[broken.id]
        return BuildFailed(
            f"bin/detect of the buildpack {broken.id} failed with status {found.status}",
            output=found.output.splitlines()[-_TAIL:], remedy="fix what it says, or add a Dockerfile",
        )  # fmt: skip
    return BuildFailed(
        "No buildpack recognises this app",
        output=tuple(f"{b.id} looks for {b.looks_for or 'what its own documentation says'}" for b in buildpacks),
        remedy="add one of these files to the top of the repository, or a Dockerfile",
    )
