"""Requests lost while an app is deployed, scaled and restarted ten times each, under wrk with keep-alive connections.

Run: sudo tests/run.sh once (it makes the environment and the base image), then
    sudo PATH=<environment>/bin:$PATH python tests/bench/under_load.py [--connections 16]
wrk must be installed. The app is Flask under gunicorn; every answer but 2xx and every socket error is a lost request.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from push import APP  # noqa: E402

from harness import Instance  # noqa: E402

ROUNDS = 10
#: wrk runs until it is interrupted, at the latest after so long; then it prints what it counted.
LIMIT_S = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=16)
    connections = parser.parse_args().connections
    with Instance() as instance:
        repository = instance.repository({
            "app.py": APP.format(version="v0"),
            "requirements.txt": "flask\ngunicorn\n",
            "Procfile": "web: gunicorn --bind :$PORT --workers 1 --threads 4 app:app\n",
        })  # fmt: skip
        repository.push("bench").expect()
        wrk = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", f"-d{LIMIT_S}s", "--timeout", "20s", "-H", "Host: bench.localhost",
             f"http://127.0.0.1:{instance.http_port}/"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started = time.monotonic()
        try:
            for number in range(1, ROUNDS + 1):
                repository.commit({"app.py": APP.format(version=f"v{number}")})
                repository.push("bench").expect()
                instance.ssh("ps:scale", "bench", f"web={1 + number % 3}").expect()
                instance.ssh("ps:restart", "bench").expect()
            time.sleep(2)
            took = time.monotonic() - started
        finally:
            wrk.send_signal(2)
            said, _ = wrk.communicate(timeout=30)
        print(f"{ROUNDS} deploys, {ROUNDS} scales and {ROUNDS} restarts in {took:.1f} s under {connections} connections:")
        print(said)
        if "Non-2xx" in said or "Socket errors" in said:
            sys.exit("requests were lost")
        print("no request was lost")


if __name__ == "__main__":
    main()
