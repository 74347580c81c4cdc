import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import InvalidInput
from paas.model.cron import Schedule, parse_schedule


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
