"""Finding containers: by id, by name, by the beginning of an id, by labels."""

from __future__ import annotations

from collections.abc import Mapping

from paas.engines.embedded.ground import Ground
from paas.engines.embedded.record import Record, container_from, read_record
from paas.engines.embedded.running import container_of
from paas.errors import Conflict, InvalidInput, NotFound
from paas.model.container import LABEL_APP, Container


def list_containers(ground: Ground, labels: Mapping[str, str]) -> tuple[Container, ...]:
    """Return the containers that carry all these labels, oldest first."""
    found = []
    for home in ground.homes_of(labels[LABEL_APP]) if LABEL_APP in labels else ground.homes():
        record = read_record(home)
        if record is not None and labels.items() <= record.labels.items():
            found.append(container_from(home, record))
    return tuple(sorted(found, key=lambda c: (c.created_at, c.id)))


def find(ground: Ground, container: str) -> Record:
    """Find a container by id, name, or unique beginning of its id. Raises NotFound, InvalidInput when there are several."""
    for key in (container, _id_of_name(ground, container)):
        record = read_record(ground.home(key)) if key and "/" not in key and not key.startswith(".") else None
        if record is not None:
            return record
    matching = [h for h in ground.homes() if container and h.name.startswith(container)]
    records = [record for home in matching if (record := read_record(home)) is not None]
    if len(records) > 1:
        raise InvalidInput(f"'{container}' is the beginning of {len(records)} container ids", remedy="give more of it")
    if not records:
        raise NotFound(f"There is no container '{container}'", remedy="list them with: paas container:ps -a")
    return records[0]


def find_running(ground: Ground, container: str) -> Record:
    """Find a container that runs. Raises as `find` does, and Conflict when it does not run."""
    record = find(ground, container)
    if not container_of(ground, record).is_running:
        raise not_running(record)
    return record


def not_running(record: Record) -> Conflict:
    """Return what to raise about a container that does not run."""
    return Conflict(f"Container {record.name or record.id} is not running", remedy=f"paas container:start {record.id}")


def _id_of_name(ground: Ground, name: str) -> str:
    if not name or "/" in name or "\0" in name:
        return ""
    try:
        return str((ground.claims / "names" / name).readlink())
    except OSError:
        return ""
