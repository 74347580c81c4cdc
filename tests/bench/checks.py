"""What a running HTTP check costs: cpu time of our own process for one, from the connection to the verdict.

    python tests/bench/checks.py
"""

from __future__ import annotations

import http.server
import os
import signal
import time
from typing import Any, cast

from paas.model.container import PLATFORM, Container, ContainerStatus
from paas.model.healthcheck import Healthcheck, HealthcheckKind
from paas.schedulers.local.healthchecks import attempt

CHECKS = 1000
APPS, WAIT_S = 300, 5.0


class Answer(http.server.BaseHTTPRequestHandler):
    """Says ok."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *parts: Any) -> None:
        pass


def main() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    app = os.fork()
    if app == 0:
        server.serve_forever()
    container = Container(
        id="c", name="web.1", image="i", tenant=PLATFORM, argv=(), labels={}, status=ContainerStatus.RUNNING, created_at=0,
        address="127.0.0.1",
    )  # fmt: skip
    check = Healthcheck(kind=HealthcheckKind.PATH)
    try:
        began = time.process_time()
        for _ in range(CHECKS):
            assert attempt(cast(Any, None), container, check, port=server.server_port, host="shop.localhost").is_passed
        each_s = (time.process_time() - began) / CHECKS
    finally:
        os.kill(app, signal.SIGKILL)
        os.waitpid(app, 0)
    share = each_s * APPS / WAIT_S
    print(f"{each_s * 1000:.2f} ms for a check; {APPS} apps with one every {WAIT_S:g} s: {share:.1%} of a cpu")


if __name__ == "__main__":
    main()
