import base64
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.cli.config import render

NASTY = {"A": "x y", "B": "it's \"q\" $HOME `id` \\", "C": "line1\nline2\n", "D": "", "E": "ümläut 日本"}


@pytest.fixture
def shop(cli):
    cli.ctx.state.apps.create("shop", 0)
    return cli


def test_values_survive_byte_for_byte(shop):
    assert shop("config:set", "shop", *(f"{k}={v}" for k, v in NASTY.items())) == 0
    assert shop.ctx.state.config.get("shop") == NASTY
    assert shop("config:get", "shop", "C") == 0
    assert shop.out.getvalue() == "line1\nline2\n\n"


def test_setting_never_prints_a_value(shop):
    shop("config:set", "shop", "A=hunter2")
    assert "hunter2" not in shop.out.getvalue() + shop.err.getvalue()


def test_encoded_values_are_decoded(shop):
    assert shop("config:set", "--encoded", "shop", "A=" + base64.b64encode(b"x\ny").decode()) == 0
    assert shop.ctx.state.config.get("shop") == {"A": "x\ny"}
    assert shop("config:set", "--encoded", "shop", "A=???") == 1


def test_values_may_look_like_options(shop):
    assert shop("config:set", "shop", "A=--x", "B=-1") == 0
    assert shop.ctx.state.config.get("shop") == {"A": "--x", "B": "-1"}


def test_global_vars_are_merged_on_demand(shop):
    assert shop("config:set", "--global", "A=1") == 0
    assert shop("config:set", "shop", "B=2") == 0
    assert shop("config:keys", "shop") == 0
    assert shop.out.getvalue() == "B\n"
    assert shop("config:keys", "--merged", "shop") == 0
    assert shop.out.getvalue() == "A\nB\n"


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("config:set", "A=1"), 1, "stands where the app's name belongs"),
        (("config:set", "shop"), 2, "No config var is given"),
        (("config:set", "shop", "1A=x"), 1, "'1A' is not a valid variable name"),
        (("config:set", "shop", "A"), 1, "'A' has no value"),
        (("config:get", "shop", "NOPE"), 20, "NOPE is not set"),
        (("config:unset", "shop"), 2, "No config var is named"),
        (("config:set", "nope", "A=1"), 20, "App nope does not exist"),
    ],
)
def test_wrong_use_is_explained(shop, argv, code, said):
    assert shop(*argv) == code
    assert said in shop.err.getvalue()
    assert shop.ctx.state.config.get("shop") == {}


def test_exported_vars_are_what_a_shell_reads_back():
    script = render(NASTY, "exports") + "\nfor k in A B C D E; do eval \"printf '%s\\0' \\\"\\$$k\\\"\"; done"
    said = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout.decode()
    assert said.split("\0")[:-1] == list(NASTY.values())


@given(st.dictionaries(st.sampled_from("ABC"), st.text()))
def test_json_is_what_json_reads_back(values):
    assert json.loads(render(values, "json")) == values
