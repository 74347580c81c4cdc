import json

import pytest

from paas.cli.properties import PROPERTIES, check_value
from paas.errors import InvalidSetting

CASES = [(topic, key, declared) for topic, keys in PROPERTIES.items() for key, declared in keys.items()]


@pytest.mark.parametrize(("topic", "key", "declared"), CASES)
def test_the_example_and_the_default_are_values_and_code_is_none(topic, key, declared):
    check_value(topic, key, declared.example)
    check_value(topic, key, declared.default)
    for bad in ("a;b", "x\ny", "{", "../../etc", "/etc/passwd"):
        with pytest.raises(InvalidSetting) as caught:
            check_value(topic, key, bad)
        assert declared.example in caught.value.remedy


@pytest.mark.parametrize(("topic", "key"), [("nginx", "client-max-body-size"), ("checks", "timeout")])
def test_digits_of_other_scripts_are_no_number(topic, key):
    with pytest.raises(InvalidSetting):
        check_value(topic, key, "\u0663")


def test_no_deploy_is_given_no_time_at_all():
    with pytest.raises(InvalidSetting):
        check_value("checks", "timeout", "0")


def test_an_unknown_key_names_the_nearest(cli):
    cli.ctx.state.apps.create("shop", 0)
    assert cli("ps:set", "shop", "restart-polcy", "no") == 1
    assert "'restart-polcy' is no property of ps" in cli.err.getvalue()


def test_an_app_wins_over_all_apps_and_these_over_the_setting(cli):
    cli.ctx.state.apps.create("shop", 0)
    for argv, value in (
        ((), str(cli.ctx.settings.check_timeout_s)),
        (("--global", "timeout", "20"), "20"),
        (("shop", "timeout", "10"), "10"),
        (("shop", "timeout"), "20"),
    ):
        if argv:
            assert cli("checks:set", *argv) == 0
        assert cli("checks:report", "shop", "--checks-computed-timeout") == 0
        assert cli.out.getvalue() == f"{value}\n"


def test_a_deploy_branch_belongs_to_one_app(cli):
    cli.ctx.state.apps.create("shop", 0)
    assert cli("git:set", "shop", "deploy-branch", "main") == 0
    assert cli.ctx.state.apps.get("shop").deploy_branch == "main"
    assert cli("git:report", "shop", "--git-deploy-branch") == 0
    assert cli.out.getvalue() == "main\n"
    assert cli("git:set", "--global", "deploy-branch", "main") == 2


def test_nginx_properties_hold_for_one_app_or_all(cli):
    cli.ctx.state.apps.create("shop", 0)
    assert cli("nginx:set", "--global", "client-max-body-size", "5m") == 0
    assert cli("nginx:set", "shop", "proxy-read-timeout", "120s") == 0
    assert cli("nginx:report", "shop", "--format", "json") == 0
    report = json.loads(cli.out.getvalue())
    assert report["nginx-computed-client-max-body-size"] == "5m"
    assert report["nginx-computed-proxy-read-timeout"] == "120s"
    assert report["nginx-proxy-read-timeout"] == "120s"


def test_a_dockerfile_is_chosen_by_its_short_or_its_full_name(cli):
    cli.ctx.state.apps.create("shop", 0)
    assert cli("dockerfile:set", "shop", "path", "deploy/web.Dockerfile") == 0
    assert cli("builder-dockerfile:set", "shop", "target", "web") == 0
    assert cli("dockerfile:set", "--global", "build-args", "A='two words' B=") == 0
    assert cli("dockerfile:report", "shop", "--format", "json") == 0
    report = json.loads(cli.out.getvalue())
    assert report["builder-dockerfile-dockerfile-path"] == "deploy/web.Dockerfile"
    assert report["builder-dockerfile-computed-target"] == "web"
    assert report["builder-dockerfile-global-build-args"] == "A='two words' B="
    assert cli("builder-dockerfile:report", "shop", "--format", "json") == 0
    assert json.loads(cli.out.getvalue()) == report
    for wrong in (("path", "../x"), ("build-args", "A"), ("build-args", "'open"), ("colour", "red")):
        assert cli("dockerfile:set", "shop", *wrong) == 1
