"""Where the time of a command goes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from paas.output import Output
from paas.timing import Step, Timing, table


def test_nothing_is_measured_unless_it_was_asked_for() -> None:
    output = Output()
    with output.timed("build"), output.timed("fetch"):
        pass
    assert output.timing.lines() == ()
    assert output.timed("build") is output.timed("start")  # nothing is made for it


def test_the_table_nests_and_what_is_left_has_a_name() -> None:
    build = Step(name="build", began=0.010, ended=0.090, parts=[
        Step(name="fetch", began=0.010, ended=0.060), Step(name="compile", began=0.060, ended=0.080)])  # fmt: skip
    root = Step(name="total", began=0.0, ended=0.1005, parts=[Step(name="receive", began=0.0, ended=0.010), build])
    assert table(root, now=9) == (
        "      10.0 ms  receive",
        "      80.0 ms  build",
        "      50.0 ms    fetch",
        "      20.0 ms    compile",
        "      10.0 ms    other",
        "      10.5 ms  other",
        "     100.5 ms  total",
    )


def test_steps_of_several_threads_lie_side_by_side_and_are_counted_once() -> None:
    start = Step(name="start", began=0.0, ended=0.100, parts=[
        Step(name="web.1", began=0.010, ended=0.080), Step(name="web.2", began=0.015, ended=0.090)])  # fmt: skip
    assert table(Step(name="total", began=0.0, ended=0.100, parts=[start]), now=9) == (
        "     100.0 ms  start, side by side",
        "      70.0 ms    web.1",
        "      75.0 ms    web.2",
        "      20.0 ms    other",
        "     100.0 ms  total",
    )


def test_a_step_that_was_interrupted_has_ended_and_one_under_way_lasts_until_now() -> None:
    assert table(Step(name="total", began=1.0), now=1.5) == ("     500.0 ms  total",)
    timing = Timing()
    timing.begin()
    try:
        with timing.step("build"):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    with timing.step("undo"):
        pass
    assert names(timing) == ["build", "undo", "total"]


def test_a_new_thread_adds_to_what_the_command_is_at() -> None:
    timing, first, second = Timing(), threading.Event(), threading.Event()
    timing.begin()

    def start(process: str) -> None:
        if process == "web.2":
            first.wait()
        with timing.step(process):
            first.set()
            second.wait() if process == "web.1" else second.set()
            with timing.step(f"create {process}"):
                pass

    with timing.step("start"), ThreadPoolExecutor(2) as pool:
        list(pool.map(start, ("web.1", "web.2")))
    timing.later("retire")
    lines = [line.partition(" ms  ")[2] for line in timing.lines()[:-1]]
    assert [line for line in lines if "other" not in line] == [
        "start, side by side", "  web.1", "    create web.1", "  web.2", "    create web.2", "total",
    ]  # fmt: skip
    assert timing.lines()[-1].split() == ["-", "retire"]


def test_what_somebody_else_measured_is_cut_to_the_step_it_belongs_to() -> None:
    timing = Timing()
    timing.add("nothing is measured yet", 0.0, 1.0)
    timing.begin()
    with timing.step("build"):
        timing.add("bin/build", -1e9, 1e9)
        timing.add("back to front", 1e9, float("nan"))
    build, inner = (float(line.split()[0]) for line in timing.lines()[:2])
    assert 0 <= inner <= build + 0.1
    assert names(timing) == ["build", "bin/build", "back to front", "total"]


def names(timing: Timing) -> list[str]:
    found = [line.partition(" ms  ")[2].strip() for line in timing.lines()]
    return [name for name in found if name != "other"]
