"""`builds:*` and `releases:*` as they are typed."""

from __future__ import annotations

import json

import pytest

from paas.errors import NotFound
from paas.model.release import BuildKind, BuildStatus


@pytest.fixture
def shop(deployed):
    """Four deploys: one by push, two of config, one that failed."""
    deployed.ctx.state.builds.finish(1, BuildStatus.SUCCEEDED, 3.5)
    assert deployed("config:set", "shop", "A=hunter2", "B=x") == 0
    deployed.ctx.scheduler.failing = {"web"}
    assert deployed("config:set", "shop", "A=broken") == 60
    deployed.ctx.scheduler.failing = set()
    assert deployed("ps:rollback", "shop", "v1") == 0
    return deployed


def listed(cli, *options):
    assert cli("builds:list", "shop", *options, "--format", "json") == 0
    return [build["number"] for build in json.loads(cli.out.getvalue())]


def test_deploys_are_listed_by_kind_and_status(shop):
    assert listed(shop) == [4, 3, 2, 1]
    assert listed(shop, "--kind", "build") == [1]
    assert listed(shop, "--status", "failed") == [3]
    assert listed(shop, "--status", "running") == []
    assert shop("builds:list", "shop", "--kind", "nonsense") == 2
    assert shop("builds:list") == 0
    assert shop.out.getvalue().split()[:4] == ["APP", "BUILD", "KIND", "STATUS"]


def test_a_deploy_tells_all_about_itself_and_no_value(shop):
    assert shop("builds:info", "shop", "2") == 0
    assert "Build source:      config:set ~A +B" in shop.out.getvalue()
    assert "Build release:     v2" in shop.out.getvalue()
    assert shop("builds:info", "shop", "--format", "json") == 0
    said = json.loads(shop.out.getvalue())
    assert (said["number"], said["kind"], said["status"], said["release"]) == (4, "deploy", "succeeded", 4)
    for number in "1234":
        assert shop("builds:output", "shop", number) in (0, 20)
        assert "hunter2" not in shop.out.getvalue() and "broken" not in shop.out.getvalue()


def test_the_report_names_the_last_deploy_and_the_queue(shop):
    assert shop("builds:set", "shop", "queue", "all") == 0
    for key, value in (("builds-computed-queue", "all"), ("builds-computed-retention", "20"), ("build-status", "succeeded"),
                       ("builds-waiting", "0"), ("build-source", "rollback to v1")):  # fmt: skip
        assert shop("builds:report", "shop", f"--{key}") == 0
        assert shop.out.getvalue() == f"{value}\n"
    assert shop("builds:set", "shop", "queue", "some") == 1
    assert shop("builds:set", "shop", "retention", "0") == 1
    assert shop("builds:set", "nope", "queue", "all") == 20


def test_old_deploys_are_forgotten_when_asked(shop):
    assert shop("builds:set", "--global", "retention", "2") == 0
    assert shop("releases:set", "shop", "keep", "1") == 0
    assert shop("builds:prune", "shop") == 0
    assert "Forgot 1 of the deploys of shop" in shop.out.getvalue()  # the first build is what v4 was made of
    assert listed(shop) == [4, 3, 1]
    assert shop("builds:prune", "--all-apps") == 0
    assert "Nothing to forget of shop" in shop.out.getvalue()
    assert shop("builds:prune") == shop("builds:prune", "shop", "--all-apps") == 2
    assert shop("builds:prune", "nope") == 20


@pytest.mark.parametrize("number", ["x", "-1", "²", "1.5"])
def test_what_is_no_number_is_no_build(shop, number):
    assert shop("builds:info", "shop", number) in (1, 2)
    assert shop("builds:info", "shop", "9" * 40) == 20


def test_nothing_to_cancel_is_said(shop):
    assert shop("builds:cancel", "shop") == 1
    assert "No deploy of shop is under way" in shop.err.getvalue()
    assert shop("builds:cancel", "nope") == 20


def test_releases_say_when_they_served_and_what_they_changed(shop):
    assert shop("releases:list", "shop", "--format", "json") == 0
    releases = json.loads(shop.out.getvalue())
    assert [(r["version"], r["status"], r["cause"], r["config-changed"]) for r in releases] == [
        (4, "current", "rollback to v1", ["~A", "-B"]), (3, "failed", "config:set ~A", ["~A"]),
        (2, "rolled-back", "config:set ~A +B", ["~A", "+B"]), (1, "superseded", "git push", ["+A"]),
    ]  # fmt: skip
    assert releases[0]["live-at"] >= releases[0]["created-at"] and releases[0]["ended-at"] is None
    assert releases[1]["live-at"] is None and releases[1]["ended-at"]
    assert releases[2]["ended-at"] >= releases[2]["live-at"]
    assert shop("releases:info", "shop", "v2") == 0
    assert "Config changed: ~A +B" in shop.out.getvalue()
    assert "hunter" not in shop.out.getvalue()


def test_releases_are_compared_with_what_served_before(shop):
    assert shop("releases:diff", "shop") == 0  # v4 with v2: v3 never served
    assert shop.out.getvalue() == "~A\n-B\n"
    assert shop("releases:diff", "shop", "v1", "v4") == 0
    assert shop.out.getvalue() == ""
    assert shop("releases:diff", "shop", "1", "2", "--format", "json") == 0
    assert json.loads(shop.out.getvalue())["config"] == ["~A", "+B"]
    assert shop("releases:diff", "shop", "v9") == 20
    assert shop("releases:diff", "nope") == 20


def test_the_first_release_is_compared_with_nothing(deployed):
    assert deployed("releases:diff", "shop", "--format", "json") == 0
    said = json.loads(deployed.out.getvalue())
    assert (said["from"], said["to"], said["config"], said["process"]) == (None, 1, ["+A"], ["+web serve", "+worker work"])


def test_how_many_releases_are_kept_is_a_property(shop):
    assert shop("releases:set", "--global", "keep", "7") == 0
    assert shop("releases:report", "shop", "--releases-computed-keep") == 0
    assert shop.out.getvalue() == "7\n"
    assert shop("releases:set", "shop", "keep", "none") == 1


def test_a_log_that_is_gone_is_said(shop):
    build = shop.ctx.state.builds.list("shop")[0]
    shop.ctx.paths.build_log(build.id).unlink()
    assert shop("builds:output", "shop") == NotFound.exit_code
    assert "is gone" in shop.err.getvalue()
    assert build.kind is BuildKind.DEPLOY
