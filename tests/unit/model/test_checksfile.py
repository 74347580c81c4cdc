"""The CHECKS file of older Dokku versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import InvalidFile
from paas.model.appjson import NO_APP_JSON, parse_app_json
from paas.model.checksfile import with_checks
from paas.model.healthcheck import Healthcheck, HealthcheckKind

CHECKS = """\
# comment
WAIT=2
export ATTEMPTS = 7

/                       Home, sweet "home"
//admin.example.com/x?a=b   Admin\r
https://shop.example.com/secure
"""


def test_each_line_is_a_startup_check_of_web() -> None:
    def check(path: str, **changes) -> Healthcheck:
        return Healthcheck(kind=HealthcheckKind.PATH, path=path, wait_s=2, attempts=7, timeout_s=30, **changes)

    assert with_checks(NO_APP_JSON, CHECKS).healthchecks == {
        "web": (
            check("/", content='Home, sweet "home"'),
            check("/x?a=b", content="Admin", headers=(("Host", "admin.example.com"),)),
            check("/secure", scheme="https", headers=(("Host", "shop.example.com"),)),
        )
    }


def test_app_json_keeps_what_it_says_and_wins_with_checks_of_its_own() -> None:
    plain = parse_app_json('{"formation": {"web": {"quantity": 2}}, "healthchecks": {"worker": [{"uptime": 3}]}} // end')
    both = with_checks(plain, "/ ok")
    assert (both.quantities, set(both.healthchecks)) == ({"web": 2}, {"worker", "web"})
    assert parse_app_json(both.text) == both
    own = parse_app_json('{"healthchecks": {"web": [{"path": "/health"}]}}')
    assert with_checks(own, "/ ok") == own
    assert with_checks(plain, "# nothing\n\nWAIT=3\n") == plain


@pytest.mark.parametrize(
    ("text", "line"), [("/ ok\nnonsense", 2), ("WAIT=x", 1), ("\n\n# x\n//", 4), ("http:/nohost x y", 1), ("ATTEMPTS=0\n/ ok", 0)]
)
def test_a_line_that_is_no_check_is_named(text: str, line: int) -> None:
    with pytest.raises(InvalidFile) as caught:
        with_checks(NO_APP_JSON, text)
    assert caught.value.line == line


@given(st.text(max_size=200))
def test_any_text_is_checks_or_an_invalid_file(text: str) -> None:
    try:
        found = with_checks(NO_APP_JSON, text)
    except InvalidFile:
        return
    assert parse_app_json(found.text) == found
