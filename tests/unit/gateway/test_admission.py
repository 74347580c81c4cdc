"""Which connections are taken."""

from __future__ import annotations

from paas.gateway.admission import Admission


def test_no_more_than_the_limit_at_once() -> None:
    admission = Admission(max_connections=2, attempts_per_minute=100)
    assert [admission.admit("a", 0.0), admission.admit("b", 0.0), admission.admit("c", 0.0)] == ["", "", "too many connections"]
    admission.note_end()
    assert admission.admit("c", 0.0) == ""


def test_an_address_that_never_logs_in_has_to_wait_a_minute() -> None:
    admission = Admission(max_connections=100, attempts_per_minute=2)
    assert [admission.admit("a", 0.0), admission.admit("a", 1.0)] == ["", ""]
    assert admission.admit("a", 59.0) == "too many connections from this address without a login"
    assert admission.admit("b", 59.0) == ""
    assert admission.admit("a", 60.0) == ""


def test_logins_do_not_count() -> None:
    admission = Admission(max_connections=100, attempts_per_minute=1)
    for second in range(10):
        assert admission.admit("a", float(second)) == ""
        admission.note_login("a")
