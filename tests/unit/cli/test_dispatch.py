import json
from pathlib import Path

from paas.cli.common import error_boundary, table
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


def test_an_error_shows_output_then_message_then_remedy(cli, capsys):
    def fail() -> int:
        raise DeployFailed("web.1 exited", output=["Traceback", "boom"], remedy="fix it")

    assert error_boundary(fail, cli.ctx.output) == 60
    assert cli.err.getvalue() == " !     web.1 exited\n"
    assert capsys.readouterr().err == "       Traceback\n       boom\n       fix it\n"


def test_a_defect_is_told_from_an_error_of_the_user(cli, capsys):
    assert error_boundary(lambda: 1 // 0, cli.ctx.output) == 70
    assert "defect of paas" in cli.err.getvalue()
    trace = capsys.readouterr().err.split()[-1]
    assert "ZeroDivisionError" in Path(trace).read_text()


def test_apps_are_listed_under_a_header_and_as_json(cli):
    cli.ctx.state.apps.create("shop", 1.0)
    assert cli("apps:list") == 0
    assert cli.out.getvalue() == "=====> My Apps\nshop\n"
    assert cli("apps:list", "--format", "json") == 0
    assert [app["name"] for app in json.loads(cli.out.getvalue())] == ["shop"]


def test_a_table_is_aligned():
    assert table(("A", "B"), [("longer", "x"), ("y", "")]) == ("A       B", "longer  x", "y")


def test_locking_is_seen_in_the_report(cli):
    cli.ctx.state.apps.create("shop", 1.0)
    cli("apps:lock", "shop")
    assert cli("apps:report", "shop", "--app-locked") == 0
    assert cli.out.getvalue() == "true\n"
