"""Running a container's health check once. When is the supervisor's; what follows from a result is model/health's."""

from __future__ import annotations

import time

from paas.engines.embedded.executing import execute_quietly
from paas.engines.embedded.ground import Ground
from paas.engines.embedded.record import Record, is_alive, read_health, read_processes, write_health
from paas.model.health import MAX_OUTPUT, TIMED_OUT, HealthResult, after_check


def check_health(ground: Ground, record: Record) -> None:
    """Run the check and write down what it says; nothing when there is none or the container does not run."""
    home, check = ground.home(record.id), record.health
    processes = read_processes(home)
    if check is None or processes is None or not is_alive(processes):
        return
    code, output = execute_quietly(ground, record, check.argv, timeout_s=check.timeout_s, max_output=MAX_OUTPUT)
    if code is None:
        code, output = TIMED_OUT, output or f"no end after {check.timeout_s:g} s"
    if read_processes(home) != processes or not is_alive(processes):
        return  # it has ended meanwhile: that says more
    result = HealthResult(at=time.time(), exit_code=code, output=output)
    before = read_health(home, record, processes.started_at)
    write_health(home, after_check(check, before, result, started_at=processes.started_at), processes.started_at)
