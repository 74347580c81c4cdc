import errno
import io
import json
import os
from pathlib import Path

import pytest

from paas.cli.common import error_boundary
from paas.errors import DeployFailed


def test_an_unknown_command_names_the_nearest_and_exits_1(cli, capsys):
    assert cli("ps:scael", "shop") == 1
    assert cli.err.getvalue() == " !     `ps:scael` is not a paas command.\n"
    assert "did you mean: paas ps:scale" in capsys.readouterr().err


def test_a_topic_alone_lists_its_commands(cli):
    assert cli("domains") == 0
    assert "domains:add" in cli.out.getvalue()


def test_no_command_is_help(cli):
    assert cli() == 0
    assert "apps:create" in cli.out.getvalue()
    assert "container:run" not in cli.out.getvalue()  # for administrators only


def test_what_reaches_past_the_apps_is_for_administrators(cli):
    assert cli("container:ps") == 13
    assert "container is for administrators" in cli.err.getvalue()


def test_a_missing_app_exits_20_as_with_dokku(cli):
    for command in ("ps:report", "config:show", "logs", "domains:report", "nginx:show-config", "releases:list"):
        assert cli(command, "nope") == 20, command
        assert "App nope does not exist" in cli.err.getvalue()


def test_a_missing_argument_shows_the_usage(cli, capsys):
    assert cli("apps:create") == 2
    assert "Missing argument 'APP'" in cli.err.getvalue()
    assert "Usage: paas apps:create" in capsys.readouterr().err


def test_an_error_shows_message_then_output_then_remedy(cli, capsys):
    def fail() -> int:
        raise DeployFailed("web.1 exited", output=["Traceback", "boom"], remedy="fix it")

    assert error_boundary(fail, cli.ctx.output) == 60
    assert cli.err.getvalue() == " !     web.1 exited\n"
    assert capsys.readouterr().err == "       Traceback\n       boom\n       fix it\n"


def test_a_defect_is_told_from_an_error_of_the_user(cli, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert error_boundary(lambda: 1 // 0, cli.ctx.output) == 70
    assert "defect of paas" in cli.err.getvalue()
    trace = capsys.readouterr().err.split()[-1]
    assert "ZeroDivisionError" in Path(trace).read_text()


def test_a_full_disk_is_a_problem_of_the_host_not_a_defect(cli, capsys):
    def fill() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/lib/paas/x")

    assert error_boundary(fill, cli.ctx.output) == 80
    assert cli.err.getvalue() == " !     The disk is full (/var/lib/paas/x)\n"
    assert "image:prune" in capsys.readouterr().err


def test_ctrl_c_exits_130_and_a_closed_pipe_0(cli):
    def interrupt() -> int:
        raise KeyboardInterrupt

    def close() -> int:
        raise BrokenPipeError

    assert error_boundary(interrupt, cli.ctx.output) == 130
    assert error_boundary(close, cli.ctx.output) == 0


def test_a_report_of_all_apps_is_one_json_document(cli):
    for name in ("shop", "blog"):
        cli.ctx.state.apps.create(name, 1.0)
    assert cli("apps:report", "--format", "json") == 0
    assert sorted(json.loads(cli.out.getvalue())) == ["blog", "shop"]
    assert cli("apps:report", "shop", "--format", "json") == 0
    assert json.loads(cli.out.getvalue())["app-locked"] == "false"
    assert cli("apps:report", "shop", "--nope") == 1
    assert "There is no 'nope' in this report" in cli.err.getvalue()


@pytest.mark.parametrize("words", [("domains", ), ("domains:help",), ("help", "domains")])
def test_a_topic_is_explained_in_three_ways(cli, words):
    assert cli(*words) == 0
    assert "domains:add" in cli.out.getvalue()
    assert "apps:create" not in cli.out.getvalue()


def test_commands_that_people_do_not_type_are_not_shown(cli):
    assert cli("help") == 0
    assert "git:hook" not in cli.out.getvalue()
    assert "git-receive-pack" not in cli.out.getvalue()
    assert cli("misc") == 1


def test_destroying_asks_for_the_name(cli, monkeypatch, capsys):
    cli.ctx.state.apps.create("shop", 1.0)
    monkeypatch.setattr("sys.stdin", io.StringIO("blog\n"))
    assert cli("apps:destroy", "shop") == 1
    assert "Confirmation did not match shop" in cli.err.getvalue()
    assert 'type "shop"' in capsys.readouterr().err
    assert cli.ctx.state.apps.find("shop") is not None


def test_the_last_domain_is_not_removed(cli):
    cli.ctx.state.apps.create("shop", 1.0)
    assert cli("domains:remove", "shop", "shop.localhost") == 1
    assert "would have no domain left" in cli.err.getvalue()
    assert cli("domains:set", "shop", "a.example.com", "b.example.com") == 0
    assert cli("domains:remove", "shop", "a.example.com") == 0
    assert cli.ctx.state.routes.domains("shop") == ("b.example.com",)


def test_apps_are_listed_under_a_header_and_as_json(cli):
    cli.ctx.state.apps.create("shop", 1.0)
    assert cli("apps:list") == 0
    assert cli.out.getvalue() == "=====> My Apps\nshop\n"
    assert cli("apps:list", "--format", "json") == 0
    assert [app["name"] for app in json.loads(cli.out.getvalue())] == ["shop"]


def test_a_lock_is_told_to_scripts(cli):
    cli.ctx.state.apps.create("shop", 0)
    assert cli("apps:locked", "shop", "--format", "json") == 1
    assert json.loads(cli.out.getvalue()) == {"locked": False}


def test_locking_is_seen_in_the_report(cli):
    cli.ctx.state.apps.create("shop", 1.0)
    cli("apps:lock", "shop")
    assert cli("apps:report", "shop", "--app-locked") == 0
    assert cli.out.getvalue() == "true\n"
