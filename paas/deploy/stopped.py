"""What a command stops before its replacement runs, where checks are disabled: noted, so that it comes back if the command dies.

A file for each app in the run directory; after a reboot everything is started anyway. An entry holds as long as what should run
is what ran then: once the command has recorded its change, the processes are of another release or generation.
"""

from __future__ import annotations

from collections.abc import Collection

from paas.context import Context
from paas.host.files import atomic_write
from paas.model.process import ProcessId
from paas.schedulers import Deployment


def note_stopped(ctx: Context, present: Deployment, processes: Collection[ProcessId]) -> None:
    """Remember that these processes of what should run are about to be stopped. The caller holds the app's containers."""
    missing = {process for process in stopped_first(ctx, present) if process not in processes}
    _write(ctx, present, (*missing, *processes))


def stopped_first(ctx: Context, present: Deployment) -> frozenset[ProcessId]:
    """Return the processes of what should run that a command has stopped and not brought back."""
    try:
        lines = set(ctx.paths.stopped_first(present.app.name).read_text().splitlines())
    except FileNotFoundError:
        return frozenset()
    return frozenset(process for process in present.wanted() if _entry(present, process) in lines)


def forget_stopped(ctx: Context, present: Deployment, processes: Collection[ProcessId]) -> None:
    """Forget processes that were started again, or could not be: from here on they are like all others."""
    noted = stopped_first(ctx, present)
    if noted & set(processes):
        _write(ctx, present, noted - set(processes))


def _write(ctx: Context, present: Deployment, processes: Collection[ProcessId]) -> None:
    file = ctx.paths.stopped_first(present.app.name)
    if not processes:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, "".join(f"{_entry(present, process)}\n" for process in processes))


def _entry(present: Deployment, process: ProcessId) -> str:
    return f"{process} v{present.release.version} g{present.generation_of(process)}"
