from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import InvalidInput
from paas.model.cron import GRACE_S, MOST_MISSED, Due, Schedule, next_moment, parse_schedule, plan_due


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("*/5 * * * *", Schedule(text="*/5 * * * *", fields="*/5 * * * *")),
        ("  0\t4 * *  MON-FRI ", Schedule(text="0 4 * * MON-FRI", fields="0 4 * * MON-FRI")),
        ("@daily", Schedule(text="@daily", fields="0 0 * * *")),
        ("@Hourly", Schedule(text="@Hourly", fields="0 * * * *")),
        ("@every 90s", Schedule(text="@every 90s", period_s=90)),
        ("@every  1h30m", Schedule(text="@every 1h30m", period_s=5400)),
        ("0 0 29 2 *", Schedule(text="0 0 29 2 *", fields="0 0 29 2 *")),
    ],
)
def test_a_schedule_is_read(text, schedule):
    assert parse_schedule(text) == schedule


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "60 * * * *", "* * * * 8", "a * * * *", "*/0 * * * *", "@reboot", "@sometimes", "@every",
     "@every 0s", "@every 5", "@every 5d", "@every -5m", "@every 9999h", "@every 1m1h", "0 0 30 2 *", "1,,2 * * * *",
     "* * * * *\0"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_with_an_example(text):
    with pytest.raises(InvalidInput) as caught:
        parse_schedule(text)
    assert "e.g. " in caught.value.remedy


@given(st.text() | st.text(alphabet="0123456789*/,-L# @MONJAeveryhms", max_size=25))
def test_any_text_is_a_schedule_or_invalid_input(text):
    try:
        found = parse_schedule(text)
    except InvalidInput:
        return
    assert (found.period_s > 0) != bool(found.fields)
    assert parse_schedule(found.text) == found


BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone=UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("line", "after", "expected"),
    [
        ("0 4 * * *", "2026-01-01T03:59:59", "2026-01-01T04:00:00"),
        ("0 4 * * *", "2026-01-01T04:00:00", "2026-01-02T04:00:00"),
        ("30 2 * * *", "2026-03-28T12:00:00", "2026-03-29T03:00:00"),  # the clock goes from 2 to 3
        ("@every 90s", "1970-01-01T01:01:30", "1970-01-01T01:03:00"),
    ],
)
def test_a_schedule_is_due_next_in_its_time_zone(line, after, expected):
    assert next_moment(parse_schedule(line), BERLIN, after=at(after, BERLIN)) == at(expected, BERLIN)


def test_a_day_with_an_hour_twice_has_one_run_of_a_daily_task():
    moments = [at("2026-10-24T12:00:00", BERLIN)]
    for _ in range(3):
        moments.append(next_moment(parse_schedule("30 2 * * *"), BERLIN, after=moments[-1]))
    assert [datetime.fromtimestamp(m, BERLIN).isoformat()[:16] for m in moments[1:]] == [
        "2026-10-25T02:30", "2026-10-26T02:30", "2026-10-27T02:30",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "after", "now", "due"),
    [
        ("*/5 * * * *", 0, 299.9, Due()),
        ("*/5 * * * *", 0, 300, Due(run_at=300)),
        ("*/5 * * * *", 0, 300 + GRACE_S, Due(run_at=300)),
        ("*/5 * * * *", 0, 300 + GRACE_S + 1, Due(missed=1, missed_at=300)),
        ("*/5 * * * *", 0, 1201, Due(run_at=1200, missed=3, missed_at=900)),
        ("*/5 * * * *", 1200, 1201, Due()),
        ("* * * * *", 0, 86400 * 30, Due(run_at=86400 * 30, missed=MOST_MISSED, missed_at=86400 * 30 - 60)),
        ("@every 1s", 0, 0.5, Due()),
        ("@every 1s", 10, 11.01, Due(run_at=11)),
        ("@every 1s", 10, 13.5, Due(run_at=13, missed=2, missed_at=12)),
        ("@every 1h", 0, 3600 * 24 * 365 + 100, Due(missed=MOST_MISSED, missed_at=3600 * 24 * 365)),
        ("0 0 29 2 *", at("2024-03-01T00:00:00"), at("2027-01-01T00:00:00"), Due()),
        ("* * * * *", 500, 400, Due()),  # the clock was set back
    ],
)
def test_the_last_moment_is_run_unless_it_is_old_and_the_others_were_missed(line, after, now, due):
    assert plan_due(parse_schedule(line), UTC, after=after, now=now) == due


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "13 */2 * * *", "30 2 * * *", "@every 7s", "@every 1h30m", "0 0 1 * *"]),
    st.floats(min_value=at("2025-01-01T00:00:00"), max_value=at("2026-12-31T00:00:00")),
    st.lists(st.floats(min_value=0.1, max_value=7000), min_size=1, max_size=12),
)
def test_however_often_one_looks_each_moment_comes_up_once(line, start, pauses):
    schedule, after, now, seen = parse_schedule(line), start, start, []
    for pause in pauses:
        now += pause
        due = plan_due(schedule, BERLIN, after=after, now=now)
        assert due.run_at == 0 or after < due.run_at <= now
        assert due.missed_at == 0 or after < due.missed_at <= now
        seen += [due.run_at] if due.run_at else []
        after = max(after, due.run_at, due.missed_at)
        assert next_moment(schedule, BERLIN, after=after) > after
    assert all(one < other for one, other in pairwise(seen))
