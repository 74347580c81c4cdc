"""Push to served: a Flask app over real SSH, first push and one-line changes, until the new version answers through nginx.

Run: tests/run.sh once (it builds the base image), then
    sudo /var/tmp/paas-tests/venv/bin/python tests/bench/push.py [--rounds 7]
A client polls the URL all the time; "served" is when it first sees the new text.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import Instance, Repository  # noqa: E402

APP = """from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "{version}"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with Instance() as instance:
        repository = instance.repository({
            "app.py": APP.format(version="v0"),
            "requirements.txt": "flask\ngunicorn\n",
            "Procfile": "web: gunicorn --bind :$PORT --workers 1 app:app\n",
        })  # fmt: skip
        first, first_returned = timed_push(instance, repository, "v0")
        print(f"first push (with pip): served after {first:.2f} s, push returned after {first_returned:.2f} s")
        served, returned = [], []
        for number in range(1, rounds + 1):
            repository.commit({"app.py": APP.format(version=f"v{number}")})
            one_served, one_returned = timed_push(instance, repository, f"v{number}")
            served.append(one_served)
            returned.append(one_returned)
            print(f"one-line push {number}: served after {one_served:.2f} s, push returned after {one_returned:.2f} s")
        print(f"median of {rounds}: served {statistics.median(served):.2f} s, returned {statistics.median(returned):.2f} s")


def timed_push(instance: Instance, repository: Repository, version: str) -> tuple[float, float]:
    """Return the seconds until the version was served, and until the push returned."""
    seen: list[float] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set() and not seen:
            if instance.get("bench.localhost").text == version:
                seen.append(time.monotonic())
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.monotonic()
    pushed = repository.push("bench")
    returned = time.monotonic()
    watcher.join(5)
    is_over.set()
    if pushed.code != 0 or not seen:
        sys.exit(f"push failed:\n{pushed.output}")
    return seen[0] - started, returned - started


if __name__ == "__main__":
    main()
