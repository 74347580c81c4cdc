"""Probing: poll until a process is ready, dead, or out of time; then say what one would want to know."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

from paas.engines import Engine
from paas.errors import DeployFailed
from paas.model.container import Container, process_of
from paas.model.probe import Probe, ProbeKind
from paas.schedulers.local.stillness import Stillness

#: The longest pause between two polls: a slow starter is asked less and less often.
MAX_INTERVAL_S = 0.05
CONNECT_TIMEOUT_S = 1.0
#: A process that goes on listening for so long after it hung up speaks something else than HTTP.
OTHER_PROTOCOL_S = 2.0
#: How long a process that listens may take for its first answer before it counts as ready all the same.
ANSWER_TIMEOUT_S, ANSWER_POLL_S = 10.0, 0.1
#: A process that has not run for so long is done with loading; one that runs all the time is believed after a while.
STILL_S, BUSY_S = 0.1, 3.0
#: The exit code and the last lines are written a moment after the process's end.
EXIT_CODE_TIMEOUT_S = 5.0
LOG_LINES = 20
_CHUNK_BYTES, _ANSWER_CHUNKS = 65536, 32
_LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h
_LOOPBACK = ("0100007F", "00000000000000000000000001000000")


def wait_until_ready(
    engine: Engine, container: Container, probe: Probe, *, process: str, host: str,
    now: Callable[[], float], sleep: Callable[[float], None], is_cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Poll until the probe passes. Raises DeployFailed with the process's last lines when it dies or time is up.

    `host` is the name under which a web process is asked for its first answer.
    """
    started, interval_s = now(), probe.interval_s
    stillness = Stillness(container.pid, started)
    hung_up_at = 0.0
    while True:
        present = refuse_ended(engine, container, process=process)
        if is_ready(probe, present, uptime_s=now() - started, still_s=stillness.lasts_s(now())):
            if probe.kind is not ProbeKind.LISTENING or has_answered(engine, present, probe, host=host):
                return
            hung_up_at = hung_up_at or now()
            if now() - hung_up_at >= OTHER_PROTOCOL_S:
                return
        if is_cancelled():
            raise DeployFailed(f"{process} was given up because another process failed")
        if now() - started >= probe.timeout_s:
            raise _timeout(engine, present, probe, process)
        sleep(interval_s)
        interval_s = min(interval_s * 1.3, MAX_INTERVAL_S)


def refuse_ended(engine: Engine, container: Container, *, process: str = "") -> Container:
    """Return the container as it is now. Raises DeployFailed with the process's last lines when it has ended."""
    present = engine.inspect(container.id)
    if present.is_running:
        return present
    engine.wait(container.id, timeout_s=EXIT_CODE_TIMEOUT_S)
    ended = engine.inspect(container.id)
    raise failure(engine, ended, f"{process or process_of(container)} {how_it_ended(ended)}")


def is_ready(probe: Probe, container: Container, *, uptime_s: float, still_s: float) -> bool:
    """Try the probe once. One that only has to stay up must also have come to rest, unless it is always busy."""
    if probe.kind is ProbeKind.LISTENING:
        return is_listening(container.address, probe.port)
    return uptime_s >= probe.uptime_s and (still_s >= STILL_S or uptime_s >= BUSY_S)


def has_answered(engine: Engine, container: Container, probe: Probe, *, host: str) -> bool:
    """Ask for a page and wait until anything comes back; False when the process hung up, and may be about to end.

    Servers such as gunicorn listen before they load the app: one that cannot be loaded shows only now, by the end of the
    process. What the answer says does not matter, and a process that takes longer than a few seconds is not waited for.
    """
    request = f"GET {probe.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: paas-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((container.address, probe.port), timeout=CONNECT_TIMEOUT_S) as connection:
            connection.sendall(request.encode())
            connection.settimeout(ANSWER_POLL_S)
            for _ in range(int(ANSWER_TIMEOUT_S / ANSWER_POLL_S)):
                try:
                    has_begun = bool(connection.recv(_CHUNK_BYTES))
                    _hear_out(connection)
                    return has_begun
                except TimeoutError:
                    if not engine.inspect(container.id).is_running:
                        return False
            return True
    except OSError:
        return False


def _hear_out(connection: socket.socket) -> None:
    """Take the rest of an answer of ordinary size, so that the app does not log a visitor who hung up."""
    with contextlib.suppress(OSError):
        for _ in range(_ANSWER_CHUNKS):
            if not connection.recv(_CHUNK_BYTES):
                return


def is_listening(address: str, port: int) -> bool:
    """Say whether a TCP connect succeeds."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=CONNECT_TIMEOUT_S):
        return True
    return False


def how_it_ended(container: Container) -> str:
    """Return why a container stopped, as a predicate."""
    reason = container.exit_reason
    return f"{reason} instead of staying up" if reason.startswith("exited") else reason


def failure(engine: Engine, container: Container, message: str, *, remedy: str = "") -> DeployFailed:
    """Return the error with the last lines that the process wrote."""
    lines = [line.text for line in engine.logs(container.id, lines=LOG_LINES)]
    usual = "its last lines are above; fix it and try again" if lines else "it wrote nothing; fix it and try again"
    return DeployFailed(message, output=lines, remedy=remedy or usual)


def _timeout(engine: Engine, container: Container, probe: Probe, process: str) -> DeployFailed:
    listening = listening_ports(container.pid)
    inside = sorted({port for address, port in listening if address in _LOOPBACK})
    outside = sorted({port for address, port in listening} - set(inside))
    if probe.port in inside:
        said = f"{process} listens on port {probe.port} of its own loopback only, where nobody can reach it"
        remedy = "bind to 0.0.0.0 instead of 127.0.0.1"
    elif probe.port in outside:
        said = f"{process} listens on port {probe.port}, but this machine cannot reach it at {container.address}"
        remedy = f"another network or firewall is in the way: ip route get {container.address}, then paas doctor"
    elif outside:
        said = f"{process} listens on port {', '.join(map(str, outside))}, not on $PORT ({probe.port})"
        remedy = "let it listen on $PORT"
    else:
        said = f"{process} did not listen on port {probe.port} ($PORT) within {probe.timeout_s:g} s"
        remedy = "listen on 0.0.0.0:$PORT, or give it longer: paas checks:set <app> timeout <seconds>"
    return failure(engine, container, said, remedy=remedy)


def listening_ports(pid: int) -> tuple[tuple[str, int], ...]:
    """Return (address in hex, port) of each TCP socket that listens in the network namespace of `pid`; none if it is gone.

    Source: proc(5), /proc/pid/net/tcp.
    """
    found = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    address, _, port = fields[1].partition(":")
                    found.append((address, int(port, 16)))
    return tuple(found)
