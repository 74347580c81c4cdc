"""Requests lost while an app is deployed, scaled and restarted ten times each, under wrk with keep-alive connections.

Run: sudo tests/run.sh once (it makes the environment and the base image), then
    sudo PATH=<environment>/bin:$PATH python tests/bench/under_load.py [--connections 16] [--matrix]
wrk must be installed. The app is Flask under gunicorn; every answer but 2xx and every socket error is a lost request.
With --matrix: ten good deploys, and between them one failing deploy for every row of the failure matrix (tests/e2e/matrix.py).
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from push import APP  # noqa: E402

from e2e import matrix  # noqa: E402
from harness import Instance  # noqa: E402

ROUNDS = 10
#: wrk runs until it is interrupted, at the latest after so long; then it prints what it counted.
LIMIT_S = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--matrix", action="store_true")
    asked = parser.parse_args()
    with Instance() as instance:
        (through_the_matrix if asked.matrix else deploy_scale_restart)(instance, asked.connections)
    print("no request was lost")


def deploy_scale_restart(instance: Instance, connections: int) -> None:
    repository = instance.repository({
        "app.py": APP.format(version="v0"),
        "requirements.txt": "flask\ngunicorn\n",
        "Procfile": "web: gunicorn --bind :$PORT --workers 1 --threads 4 app:app\n",
    })  # fmt: skip
    repository.push("bench").expect()
    with load(instance, "bench", "/", connections, f"{ROUNDS} deploys, {ROUNDS} scales and {ROUNDS} restarts"):
        for number in range(1, ROUNDS + 1):
            repository.commit({"app.py": APP.format(version=f"v{number}")})
            repository.push("bench").expect()
            instance.ssh("ps:scale", "bench", f"web={1 + number % 3}").expect()
            instance.ssh("ps:restart", "bench").expect()


def through_the_matrix(instance: Instance, connections: int) -> None:
    """Deploy well ten times; between two good deploys one fails, and has changed nothing."""
    shop = matrix.deployed_shop(instance)
    rows: dict[str, Callable[[], None]] = {row: lambda row=row: matrix.push_row(shop, row) for row in matrix.ROWS}  # type: ignore[misc]
    rows["everything is killed half-way"] = lambda: matrix.push_and_kill(shop)
    kept = {  # these are no failures of the release: it serves
        "the postdeploy task fails": lambda: matrix.push_with_failing_postdeploy(shop, "with postdeploy"),
        "the developer hangs up": lambda: matrix.push_and_hang_up(shop, "without its developer"),
    }
    with load(instance, matrix.SHOP, "/slow/0.01", connections, f"{ROUNDS} good deploys and {len(rows) + 3} of the matrix"):
        matrix.settled(shop)
        for number, (row, deploy) in enumerate({**rows, **kept}.items(), 1):
            before = matrix.settled(shop)
            deploy()
            if row in rows and matrix.settled(shop) != before:
                sys.exit(f"{row}: something has changed")
            matrix.push(shop, {"server.py": matrix.server(f"good {number}")}).expect()
            print(f"{row}: as it should be, and good deploy {number} after it")
        with matrix.broken_site(instance):
            matrix.push(shop, {"server.py": matrix.server("good 10")}).expect()
        print("nginx holds a broken site: good deploy 10 all the same")


@contextlib.contextmanager
def load(instance: Instance, app: str, path: str, connections: int, what: str) -> Iterator[None]:
    """Ask the app all the time; print what was answered, and exit when a request was lost."""
    wrk = subprocess.Popen(
        ["wrk", "-t1", f"-c{connections}", f"-d{LIMIT_S}s", "--timeout", "20s", "-H", f"Host: {app}.localhost",
         f"http://127.0.0.1:{instance.http_port}{path}"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    started = time.monotonic()
    try:
        yield
        time.sleep(2)
        took = time.monotonic() - started
    finally:
        wrk.send_signal(2)
        said, _ = wrk.communicate(timeout=30)
    print(f"{what} in {took:.1f} s under {connections} connections:")
    print(said)
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit("requests were lost")


if __name__ == "__main__":
    main()
