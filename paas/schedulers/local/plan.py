"""What to start and what to let go: containers found x deployment -> decisions. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from paas.model.container import LABEL_RELEASE, Container, process_of
from paas.model.process import ProcessId
from paas.schedulers import LABEL_GENERATION, Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`keep` serve already, `start` are missing, `retire` are not wanted (any more).

    A process in both `keep` and `start` serves until its replacement does.
    """

    keep: tuple[Container, ...]
    start: tuple[ProcessId, ...]
    retire: tuple[Container, ...]

    def describe(self) -> str:
        """Say it in a line: "start web.2, worker.1; keep 1; retire 2"."""
        started = ", ".join(map(str, self.start)) or "nothing"
        return f"start {started}; keep {len(self.keep)}; retire {len(self.retire)}"


def plan_rollout(found: Sequence[Container], deployment: Deployment | None, *, retired: Collection[str] = ()) -> Plan:
    """Decide for all process containers of the app. One container for each process: of two that match, the older is kept.

    `retired` are ids of containers that were told to stop. One that is not held is replaced: writing would fail it.
    """
    if deployment is None:
        return Plan(keep=(), start=(), retire=tuple(found))
    keep: dict[ProcessId, Container] = {}
    for container in sorted(found, key=lambda c: (not c.is_held, c.created_at, c.id)):
        process = process_of(container)
        is_alive = container.is_running and container.id not in retired
        if is_alive and is_wanted(container, deployment) and process not in keep:
            keep[process] = container
    kept = {container.id for container in keep.values()}
    held = {process for process, container in keep.items() if container.is_held}
    missing = (process for process in deployment.wanted() if process not in held)
    return Plan(
        keep=tuple(keep.values()),
        start=tuple(p for p in missing if deployment.only is None or p in deployment.only),
        retire=tuple(container for container in found if container.id not in kept),
    )


def is_wanted(container: Container, deployment: Deployment) -> bool:
    """Say whether the container is of this release, of its type's generation, and within the formation."""
    process = process_of(container)
    return (
        container.labels.get(LABEL_RELEASE) == str(deployment.release.version)
        and container.labels.get(LABEL_GENERATION) == str(deployment.generation_of(process))
        and 1 <= process.index <= deployment.formation.get(process.type, 0)
    )
