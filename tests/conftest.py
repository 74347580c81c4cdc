"""Fixtures for everyone, and two rules: what needs root is skipped without it, and in a complete run a skip is a failure."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator

import pytest

from harness import Instance

_COUNTER = itertools.count(1)


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl-C, so that fixtures take down what they made.

    A shell's background job is born with SIGINT ignored, and so would be all that tests start and interrupt.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what touches the kernel when we may not."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("integration") or item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a complete run (tests/run.sh) in which anything was skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("PAAS_TESTS_COMPLETE") and skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} skipped, and a complete run skips nothing", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    """A running instance for tests that leave the server as they found it."""
    with Instance() as running:
        yield running


@pytest.fixture
def fresh_instance() -> Iterator[Instance]:
    """A running instance of this test's own, to kill and to fill."""
    with Instance() as running:
        yield running


@pytest.fixture
def app_name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test uses; the app is destroyed afterwards."""
    name = f"app{next(_COUNTER)}"
    yield name
    for fixture in ("instance", "fresh_instance"):
        if fixture in request.fixturenames:
            request.getfixturevalue(fixture).paas("apps:destroy", name, "--force")
