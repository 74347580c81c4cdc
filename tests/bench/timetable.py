"""What scheduled tasks cost the supervisor: 300 apps with two tasks each and a full history, no containers.

    timetable.py [APPS]
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from paas.context import Context, make_context
from paas.model.appjson import parse_app_json
from paas.model.cron import CronStatus
from paas.output import Output
from paas.paths import Paths
from paas.serve.cron import Timetable
from paas.settings import Settings

START = 1_800_000_000.0


class NoWorkers:
    """Takes work and does none of it."""

    def __contains__(self, name: str) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def start(self, name: str, work: Callable[[], int], on_end: Callable[[int], None]) -> None:
        pass


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        paths = Paths(root=Path(directory) / "lib", run=Path(directory) / "run", etc=Path(directory) / "etc")
        paths.root.mkdir()
        clock = [START]
        quiet = Output(io.StringIO(), io.StringIO())
        ctx = replace(make_context(paths=paths, settings=Settings(), output=quiet), now=lambda: clock[0])
        fill(ctx, count)
        table = Timetable(ctx, None, NoWorkers())  # type: ignore[arg-type]
        report("after a start of the server", lambda: table.refresh(()))
        report("after a command that changed something", lambda: table.refresh(()))
        report("after a command that changed nothing", table.glance)
        clock[0] += 300
        report(f"{count} tasks due at one moment: claimed", table.step)


def fill(ctx: Context, count: int) -> None:
    """Make apps with a release and, for one task, as many runs as are kept."""
    with ctx.state.transaction():
        for number in range(count):
            name = f"app{number}"
            tasks = [{"command": f"a {name}", "schedule": "*/5 * * * *"}, {"command": f"b {name}", "schedule": "@daily"}]
            app_json = parse_app_json(json.dumps({"cron": tasks}))
            ctx.state.apps.create(name, START)
            ctx.state.releases.append(
                app=name, build_id=1, image="i", processes=(), ports=(), config={}, formation={}, actor="me", cause="bench",
                now=START, app_json=app_json,
            )  # fmt: skip
            ctx.state.releases.promote(name, 1, START)
            for moment in range(1, ctx.settings.cron_keep + 1):
                run = ctx.state.cron.claim(name, app_json.cron[0], float(moment), START, actor="")
                ctx.state.cron.finish(run, CronStatus.SUCCEEDED, START, exit_code=0)


def report(what: str, work: Callable[[], object]) -> None:
    begun = time.perf_counter()
    work()
    print(f"{what:<45} {(time.perf_counter() - begun) * 1000:8.2f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
