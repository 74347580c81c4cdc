from __future__ import annotations

import json
from pathlib import Path

from paas.engines.embedded.record import Record, read_record, write_record
from paas.model.container import PLATFORM, Extras, Limits, Mount, NetworkMode, PortMapping, Ulimit
from paas.model.health import HealthCheck

RECORD = Record(
    id="c0ffee", name="web", image="i", layers=("a", "b"), tenant=PLATFORM, argv=("x", "y"), env={"A": "1"}, uid=1, gid=2,
    groups=(3, 4), home="/h", workdir="/w", hostname="h", address="10.0.0.1", network=NetworkMode.NONE,
    ports=(PortMapping(host_port=1, container_port=2),), mounts=(Mount(target="/a", source=Path("/b")), Mount(target="/c")),
    limits=Limits(pids=3), labels={"k": "v"}, has_terminal=True, keeps_stdin=True, has_init=False, is_read_only=True,
    stop_signal=15, stop_timeout_s=1.5, log_path=Path("/log"), log_max_bytes=9, created_at=1.0, exposed_ports=("80/tcp",),
    health=HealthCheck(argv=("true",)),
    extras=Extras(
        hosts=(("a", "b"),), ulimits=(Ulimit(name="nofile", soft=1, hard=2),), shm_bytes=3, dropped_capabilities=("CAP_ALL",),
        added_capabilities=("CAP_KILL",), name_servers=("1.1.1.1",), search_domains=("x",), groups=("audio",),
        sysctls=(("n", "v"),),
    ),
)  # fmt: skip


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD


def test_a_record_of_before_there_were_extras_has_none(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    written = json.loads((tmp_path / "container.json").read_text())
    del written["extras"]["sysctls"], written["extras"]["groups"]
    (tmp_path / "container.json").write_text(json.dumps(written))
    found = read_record(tmp_path)
    assert found is not None and (found.extras.sysctls, found.extras.groups, found.extras.shm_bytes) == ((), (), 3)
