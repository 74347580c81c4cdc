"""One attempt at a health check of app.json, and the attempts that a new process has for passing all of its checks.

Source: Dokku docker-container-healthchecker, docs/healthchecks.md. What is different: a port where nobody listens yet is asked
again at once within the attempt, and a page with the wrong content is retried like any other failure.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from paas.engines import Engine
from paas.errors import DeployFailed, PaasError
from paas.model.container import Container
from paas.model.healthcheck import Healthcheck, HealthcheckKind
from paas.output import Output
from paas.schedulers import CheckResult
from paas.schedulers.local.deadline import cut_after
from paas.schedulers.local.probes import MAX_INTERVAL_S, failure, is_listening, refuse_ended

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

_FIRST_INTERVAL_S = 0.005
_MAX_BODY_BYTES, _SAID_LINES = 1 << 20, 5


def attempt(engine: Engine, container: Container, check: Healthcheck, *, port: int, host: str) -> CheckResult:
    """Try the check once. `port` is the process's $PORT."""
    match check.kind:
        case HealthcheckKind.PATH:
            return _ask(container, check, check.port or port, host)
        case HealthcheckKind.LISTENING:
            wanted = check.port or port
            is_there = is_listening(container.address, wanted)
            return CheckResult() if is_there else CheckResult(problem=f"nobody listens on port {wanted}", is_early=True)
        case HealthcheckKind.COMMAND:
            return _execute(engine, container, check)
    uptime_s = time.time() - container.started_at
    if uptime_s >= check.uptime_s:
        return CheckResult()
    return CheckResult(problem=f"has been up for {uptime_s:.0f} s, not {check.uptime_s:g}", is_early=True)


def title_of(check: Healthcheck) -> str:
    """Return what the user calls a check, else what it looks at."""
    if check.name:
        return f"'{check.name}'"
    match check.kind:
        case HealthcheckKind.PATH:
            return f"of {check.path}"
        case HealthcheckKind.COMMAND:
            return f"'{' '.join(check.command)}'"
        case HealthcheckKind.LISTENING:
            return f"for a listener on port {check.port or '$PORT'}"
    return f"of {check.uptime_s:g} s uptime"


class Checking:
    """All checks of one new process, side by side: each has its attempts, all must pass but those that only warn.

    `on_failure` does what a check wants done when it has failed, and returns what to say about that.
    """

    def __init__(
        self, engine: Engine, container: Container, *, process: str, port: int, host: str, output: Output,
        on_failure: Callable[[Healthcheck, str], tuple[str, ...]], now: Callable[[], float], sleep: Callable[[float], None],
        is_cancelled: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._engine, self._container = engine, container
        self._process, self._port, self._host, self._warn, self._say = process, port, host, output.warn, output.detail
        self._on_failure = on_failure
        self._now, self._sleep, self._is_cancelled = now, sleep, is_cancelled
        self._is_over = threading.Event()

    def run(self, checks: Sequence[Healthcheck]) -> None:
        """Return when all that count have passed. Raises DeployFailed with the process's last lines."""
        counting = [check for check in checks if not check.is_warning]
        if counting:
            with ThreadPoolExecutor(max_workers=len(counting), thread_name_prefix="check") as pool:
                futures = [pool.submit(self._pass, check) for check in counting]
                errors = [error for future in futures if (error := future.exception()) is not None]
            if errors:
                raise self._first(errors)
        for check in checks:
            result = CheckResult() if not check.is_warning else self._attempt(check)
            if not result.is_passed:
                self._warn(f"{self._process}: check {title_of(check)} {result.problem}; it only warns")
                self._act(check, result.problem)

    def _first(self, errors: Sequence[BaseException]) -> BaseException:
        """Return the failure that is the cause: the others were given up for it."""
        return next((error for error in errors if not isinstance(error, _GivenUpError)), errors[0])

    def _pass(self, check: Healthcheck) -> None:
        try:
            self._pause_until(self._now() + check.initial_delay_s)
            for number in range(1, check.attempts + 1):
                result = self._patient_attempt(check)
                if result.is_passed:
                    return
                if number < check.attempts and not result.is_early:
                    self._pause_until(self._now() + check.wait_s)
            raise self._failure(check, result)
        except BaseException as exc:
            self._is_over.set()
            if isinstance(exc, DeployFailed) and not isinstance(exc, _GivenUpError):
                self._act(check, exc.message)
            raise

    def _act(self, check: Healthcheck, problem: str) -> None:
        for line in self._on_failure(check, problem):
            self._say(line)

    def _patient_attempt(self, check: Healthcheck) -> CheckResult:
        """Try once; while nobody listens, again and again for as long as an attempt and the wait behind it last."""
        lasts_s = check.timeout_s + check.wait_s
        until = self._now() + (max(lasts_s, check.uptime_s) if check.kind is HealthcheckKind.UPTIME else lasts_s)
        interval_s = _FIRST_INTERVAL_S
        while True:
            self._look()
            result = self._attempt(check)
            if not result.is_early or self._now() >= until:
                return result
            self._sleep(interval_s)
            interval_s = min(interval_s * 1.3, MAX_INTERVAL_S)

    def _attempt(self, check: Healthcheck) -> CheckResult:
        return attempt(self._engine, self._container, check, port=self._port, host=self._host)

    def _pause_until(self, at: float) -> None:
        while (left := at - self._now()) > 0:
            self._look()
            self._sleep(min(left, MAX_INTERVAL_S))

    def _look(self) -> None:
        """Raise DeployFailed when there is no point in going on."""
        refuse_ended(self._engine, self._container, process=self._process)
        if self._is_cancelled() or self._is_over.is_set():
            raise _GivenUpError(f"{self._process} was given up because another check or process failed")

    def _failure(self, check: Healthcheck, result: CheckResult) -> DeployFailed:
        times = "once" if check.attempts == 1 else f"{check.attempts} times"
        problem = f"{self._process} failed its check {title_of(check)} {times}: {result.problem}"
        remedy = "see what the process says above; attempts, wait and timeout of the check stand in app.json, or CHECKS"
        found = failure(self._engine, self._container, problem, remedy=remedy)
        return DeployFailed(found.message, output=(*found.output, *result.output), remedy=found.remedy)


class _GivenUpError(DeployFailed):
    """A check ended early because another one failed."""


def _ask(container: Container, check: Healthcheck, port: int, host: str) -> CheckResult:
    from http.client import HTTPException

    said = f"GET {check.path} on port {port}"
    try:
        with _answer(container.address, port, check, host) as response:
            status, body = response.status, response.read(_MAX_BODY_BYTES)
    except ConnectionRefusedError:
        return CheckResult(problem=f"{said}: nobody listens there", is_early=True)
    except TimeoutError:
        return CheckResult(problem=f"{said} was not answered within {check.timeout_s:g} s")
    except (OSError, HTTPException, ValueError) as exc:
        return CheckResult(problem=f"{said} was not answered: {exc or type(exc).__name__}")
    if not 200 <= status < 300:
        location = f" to {response.getheader('Location')}" if 300 <= status < 400 else ""
        return CheckResult(problem=f"{said} answered {status}{location}, not 2xx")
    if check.content and check.content not in body.decode(errors="replace"):
        return CheckResult(problem=f"{said} answered {status}, but without '{check.content}'")
    return CheckResult()


@contextlib.contextmanager
def _answer(address: str, port: int, check: Healthcheck, host: str) -> Iterator[HTTPResponse]:
    """GET the page. A peer that sends a byte now and then is cut off when the time is over, too: TimeoutError."""
    connection = _connection(address, port, check)
    connection.connect()
    peer: socket.socket = connection.sock  # kept: the connection lets go of it when the answer begins
    try:
        with cut_after(peer, check.timeout_s):
            headers = {"Host": host, "User-Agent": "paas-check", "Connection": "close", **dict(check.headers)}
            connection.request("GET", check.path, headers=headers)
            with connection.getresponse() as response:
                yield response
    finally:
        connection.close()


def _connection(address: str, port: int, check: Healthcheck) -> HTTPConnection:
    from http.client import HTTPConnection, HTTPSConnection

    if check.scheme == "http":
        return HTTPConnection(address, port, timeout=check.timeout_s)
    context = ssl._create_unverified_context()  # whatever its name is, it is not the address that we ask
    return HTTPSConnection(address, port, timeout=check.timeout_s, context=context)


def _execute(engine: Engine, container: Container, check: Healthcheck) -> CheckResult:
    """Run the command inside."""
    try:
        code, said = engine.try_command(container.id, check.command, timeout_s=check.timeout_s)
    except PaasError as exc:
        return CheckResult(problem=f"could not be run: {exc.message}")
    problem = f"exited with status {code}" if code is not None else f"did not end within {check.timeout_s:g} s"
    return CheckResult() if code == 0 else CheckResult(problem=problem, output=tuple(said.splitlines()[-_SAID_LINES:]))
