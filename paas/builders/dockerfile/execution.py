"""One RUN on the engine, within bounds: time, memory, processes, disk, output. Says which of them ended it."""

from __future__ import annotations

import time

from paas.builders.dockerfile.cache import Say
from paas.builders.dockerfile.control import Control, Guard
from paas.builders.dockerfile.copy import CopyError
from paas.builders.dockerfile.hosted import Hosted
from paas.builders.dockerfile.instructions import Run
from paas.engines import BuildStep, Engine, StepResult
from paas.errors import BuildFailed, Cancelled, CommandFailed, InvalidInput
from paas.host.run import LastLines
from paas.oci.store import ImageStore

#: What one step may print; the rest is left out, but its last lines explain a failure.
MAX_OUTPUT_BYTES = 8 << 20


class Execution:
    """Runs the steps of one build and stores what the good ones leave."""

    def __init__(self, engine: Engine, store: ImageStore, control: Control, *, file: str, timeout_s: float) -> None:
        self._engine, self._store, self._control = engine, store, control
        self._file, self._timeout_s = file, timeout_s
        self._deadline = time.monotonic() + timeout_s if timeout_s else 0.0

    def run(self, step: BuildStep, run: Run, hosted: Hosted, key: str, say: Say) -> str:
        """Run a step and return its layer. Raises BuildFailed with its last lines, Cancelled."""
        said = LastLines(_Clipped(say))
        with self._control.guarded(self._store.root) as guard:
            try:
                left_s = self._time_left(run)
                with self._engine.build_step(step, on_line=said, timeout_s=left_s, stop=guard.stop) as result:
                    if result.exit_code == 0:
                        hosted.clean(result.changes)
                        return self._store.adopt_layer(result.changes, content_key=key)
                    reason = _reason(result)
            except CommandFailed as exc:
                raise self._too_slow(run, said) from exc
            except InvalidInput as exc:  # the image has no such user or group
                raise CopyError(exc.message) from exc
            except Cancelled as exc:
                raise self._stopped(run, guard, said) or exc from exc
        raise BuildFailed(
            f'{self._file}:{run.line}: "{" ".join(run.text.split())}" did not complete successfully: '
            f"exit code: {result.exit_code}{reason}",
            output=said.lines, remedy="change the command and push again",
        )  # fmt: skip

    def _time_left(self, run: Run) -> float:
        if not self._deadline:
            return 0.0
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_slow(run, None)
        return left

    def _too_slow(self, run: Run, said: LastLines | None) -> BuildFailed:
        return BuildFailed(
            f"{self._file}:{run.line}: the build did not end within {self._timeout_s:.0f} s\n    {run.line} | {run.text}",
            output=said.lines if said else (), remedy="make the step faster, or raise build-timeout-s in paas.toml",
        )  # fmt: skip

    def _stopped(self, run: Run, guard: Guard, said: LastLines) -> BuildFailed | None:
        """Return what the step did wrong, None when it was not its fault."""
        if not guard.problem:
            return None
        return BuildFailed(
            f"{self._file}:{run.line}: the step was stopped because {guard.problem}\n    {run.line} | {run.text}",
            output=said.lines, remedy="free some space, e.g. with: paas image:prune --cache",
        )  # fmt: skip


class _Clipped:
    """Hands lines on until there were too many bytes."""

    def __init__(self, say: Say) -> None:
        self._say, self._left = say, MAX_OUTPUT_BYTES

    def __call__(self, line: str) -> None:
        if self._left <= 0:
            return
        self._left -= len(line) + 1
        self._say(line if self._left > 0 else f"[output clipped, {MAX_OUTPUT_BYTES >> 20} MiB is the limit of one step]")


def _reason(result: StepResult) -> str:
    if result.is_oom_killed:
        return " (out of memory: the build's memory limit was reached)"
    if result.has_hit_pids_limit:
        return " (too many processes: the build's limit was reached)"
    return ""
