from __future__ import annotations

import base64
import io
import json
import tarfile
from dataclasses import replace

import pytest

from paas.context import Identity
from paas.model.envfile import FORMATS
from paas.state import State

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


def test_a_value_that_no_process_will_see_is_said_to_be_none(shop, monkeypatch):
    assert shop("config:set", "shop", "PORT=3000", "PORTS=1") == 0
    assert shop.err.getvalue() == " !     Processes do not see this value of PORT: paas tells them its own\n"
    give(monkeypatch, b"\xef\xbb\xbfDYNO=web.9\r\n")  # as Windows writes it
    assert shop("config:import", "shop") == 0
    assert "this value of DYNO" in shop.err.getvalue()


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
        (("config:set", "shop", "A=my", "hunter2"), 1, "Number 2 is no KEY=value"),
        (("config:set", "--encoded", "shop", "A=/w=="), 1, "The value of A is not base64"),
        (("config:unset", "shop", "A=hunter2"), 1, "'A=...' is not a valid variable name"),
        (("config:get", "shop", "A=hunter2"), 1, "'A=...' is not a valid variable name"),
        (("config:clear", "shop", "A"), 2, "That is 1 more than it takes"),
        (("config:export", "shop", "--format", "xml"), 2, "xml"),
        (("config:import", "nope"), 20, "App nope does not exist"),
        (("config:show",), 2, "No app is named"),
        (("config:get", "shop", "NOPE"), 20, "NOPE is not set"),
        (("config:unset", "shop"), 2, "No config var is named"),
        (("config:set", "nope", "A=1"), 20, "App nope does not exist"),
    ],
)
def test_wrong_use_is_explained(shop, argv, code, said):
    assert shop(*argv) == code
    assert said in shop.err.getvalue()
    assert "hunter2" not in shop.err.getvalue()
    assert shop.ctx.state.config.get("shop") == {}


def give(monkeypatch, content: bytes) -> None:
    """Let stdin be this."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("options", [(), ("--encoded",)])
def test_what_is_exported_is_imported_as_it_was(shop, monkeypatch, style, options):
    shop("config:set", "shop", *(f"{k}={v}" for k, v in NASTY.items()))
    assert shop("config:export", "shop", "--format", style, *options) == 0
    exported = shop.out.getvalue()
    assert shop("config:clear", "shop") == 0
    assert shop.ctx.state.config.get("shop") == {}
    give(monkeypatch, exported.encode())
    assert shop("config:import", "shop", "--format", style, *options) == 0
    assert shop.ctx.state.config.get("shop") == NASTY
    assert "line1" not in shop.out.getvalue()


def test_an_import_adds_or_replaces(shop, monkeypatch):
    shop("config:set", "shop", "A=1", "B=2")
    give(monkeypatch, b"B=3\nC=4\n")
    assert shop("config:import", "shop", "-") == 0
    assert shop.ctx.state.config.get("shop") == {"A": "1", "B": "3", "C": "4"}
    give(monkeypatch, b"C=4\n")
    assert shop("config:import", "--replace", "shop") == 0
    assert shop.ctx.state.config.get("shop") == {"C": "4"}
    give(monkeypatch, b"G=1")
    assert shop("config:import", "--global") == 0
    assert shop.ctx.state.config.merged("shop") == {"C": "4", "G": "1"}
    assert shop("config:clear", "--global") == 0
    assert shop.ctx.state.config.get("") == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "There is no config var in it"), (b"\xff=1", "not UTF-8 text: byte 0"), (b"A=" + b"x" * (5 << 20), "more than 4 MiB"),
     (b"hunter2 and more", "Line 1 is no KEY=value")],
)  # fmt: skip
def test_a_bad_import_changes_nothing_and_shows_nothing(shop, monkeypatch, content, said):
    shop("config:set", "shop", "A=1")
    give(monkeypatch, content)
    assert shop("config:import", "--replace", "shop") == 1
    assert said in shop.err.getvalue()
    assert "hunter2" not in shop.err.getvalue()
    assert shop.ctx.state.config.get("shop") == {"A": "1"}


def test_only_an_administrator_names_a_file(shop, tmp_path):
    (tmp_path / "env").write_text("A=1")
    assert shop("config:import", "shop", str(tmp_path / "env")) == 13
    shop.ctx = replace(shop.ctx, identity=Identity(name="root", is_admin=True))
    assert shop("config:import", "shop", str(tmp_path / "env")) == 0
    assert shop("config:import", "shop", str(tmp_path / "none")) == 20
    assert shop.ctx.state.config.get("shop") == {"A": "1"}


def test_one_value_can_be_had_quoted_encoded_and_merged(shop):
    shop("config:set", "--global", "G=a b")
    assert shop("config:get", "shop", "G") == 20
    for option, said in ((), "a b\n"), (("--quoted",), "'a b'\n"), (("--encoded",), "YSBi\n"):
        assert shop("config:get", "shop", "G", "--merged", *option) == 0
        assert shop.out.getvalue() == said


def test_lists_are_to_be_had_as_json(shop):
    shop("config:set", "shop", "B=2", "A=x y")
    assert shop("config:show", "shop", "--format", "json") == 0
    assert json.loads(shop.out.getvalue()) == {"A": "x y", "B": "2"}
    assert shop("config:keys", "shop", "--format", "json") == 0
    assert json.loads(shop.out.getvalue()) == ["A", "B"]
    assert shop("config:export", "shop", "--format", "docker-args-keys") == 0
    assert shop.out.getvalue() == "--env=A --env=B\n"


def test_a_bundle_has_a_file_for_each_var(shop, capsysbinary):
    shop("config:set", "shop", *(f"{k}={v}" for k, v in NASTY.items()))
    assert shop("config:bundle", "shop") == 0
    with tarfile.open(fileobj=io.BytesIO(capsysbinary.readouterr().out)) as archive:
        found = {entry.name: (archive.extractfile(entry).read().decode(), entry.mode) for entry in archive}
    assert found == {key: (value, 0o600) for key, value in NASTY.items()}


def test_unchanged_values_are_said_to_be(shop):
    shop("config:set", "shop", "A=1")
    for command in (("config:set", "shop", "A=1"), ("config:unset", "shop", "B"), ("config:unset", "--global", "B")):
        assert shop(*command) == 0
        assert "nothing changed" in shop.out.getvalue()


def test_only_an_administrator_encrypts(shop, tmp_path):
    assert shop("config:rekey") == 13
    shop.ctx = replace(shop.ctx, identity=Identity(name="root", is_admin=True))
    assert shop("config:rekey") == 1
    assert "No key file is set" in shop.err.getvalue()
    file = tmp_path / "config.key"
    shop("config:set", "shop", "A=1")
    settings = replace(shop.ctx.settings, config_key_file=str(file))
    shop.ctx = replace(shop.ctx, settings=settings, state=State(shop.ctx.paths.database, key_file=file))
    assert shop("config:rekey") == 0
    assert "1 values are stored encrypted" in shop.out.getvalue()
    assert shop("config:rekey", "--new-key") == 0
    assert shop("config:get", "shop", "A") == 0
    assert shop.out.getvalue() == "1\n"
    assert shop("config:rekey", "--new-key", "--decrypt") == 2
    assert shop("config:rekey", "--decrypt") == 0
    file.unlink()
    assert shop("config:get", "shop", "A") == 0
    assert shop("config:set", "shop", "A=2") == 80
    assert f"The key file {file} cannot be read" in shop.err.getvalue()
