"""How soon a deploy switches after its last process listens, and how long scaling takes.

    python tests/bench/processes.py --rounds 7

The app has two web processes and a worker and no check of its own; each deploy is a `config:set`, which builds nothing. When a
process listens it writes the time into its log; the switch is when a client that polls the URL first sees the new value.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from engine_ground import compiled_server  # noqa: E402
from harness import Instance  # noqa: E402

SERVER = """\
import http.server, os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        payload = os.environ.get("ROUND", "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *parts):
        pass

server = http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer)
print("round", os.environ.get("ROUND"), "listens", time.time(), flush=True)
server.serve_forever()
"""
WORKER = 'import os, time\nprint("round", os.environ.get("ROUND"), "works", time.time(), flush=True)\ntime.sleep(1e6)\n'
FILES = {
    "server.py": SERVER, "worker.py": WORKER, "requirements.txt": "",
    "Procfile": "web: python server.py\nworker: python worker.py\n",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with Instance() as instance:
        instance.paas("apps:create", "bench").expect()
        instance.paas("ps:scale", "bench", "web=2", "worker=1").expect()
        instance.repository(FILES).push("bench").expect()
        switches = [deploy(instance, str(number)) for number in range(options.rounds)]
        show("last process listens -> new release answers", switches)
        instance.paas("ps:scale", "bench", "web=1", "worker=0").expect()
        show("scale web 1 -> 20, Python", [scale(instance, "bench") for _ in range(options.rounds)])
        static = instance.repository({"Dockerfile": 'FROM scratch\nCOPY server /server\nCMD ["/server"]\n'})
        shutil.copy2(compiled_server(), static.directory / "server")
        static.commit({})
        static.push("static").expect()
        show("scale web 1 -> 20, static binary", [scale(instance, "static") for _ in range(options.rounds)])


def deploy(instance: Instance, number: str) -> float:
    """Deploy once; return the seconds from the last process's word to the first new answer."""
    command = threading.Thread(target=lambda: instance.paas("config:set", "bench", f"ROUND={number}").expect())
    command.start()
    while instance.get("bench.localhost").text != number:
        time.sleep(0.005)
    switched = time.time()
    command.join()
    words = [line.split() for line in instance.paas("logs", "bench", "-n", "200", "--quiet").stdout.splitlines()]
    said = [float(line[-1]) for line in words if line[-4:-2] == ["round", number]]
    assert len(said) == 3, said
    return switched - max(said)


def scale(instance: Instance, app: str) -> float:
    """Scale up, which is timed, and down again."""
    began = time.monotonic()
    instance.paas("ps:scale", app, "web=20").expect()
    took = time.monotonic() - began
    instance.paas("ps:scale", app, "web=1").expect()
    while len(json.loads(instance.paas("ps:inspect", app).stdout)) > 1:
        time.sleep(0.2)
    return took


def show(what: str, seconds: list[float]) -> None:
    print(f"{what}: median {statistics.median(seconds):.3f} s, from {min(seconds):.3f} to {max(seconds):.3f} s")


if __name__ == "__main__":
    main()
