"""Commands about what runs: ps, releases, builds, run, enter, domains, ports."""

from __future__ import annotations

import json

import pytest

from paas.cli.enter import SHELL
from paas.model.process import ProcessType
from paas.model.release import BuildResult, BuildStatus


def test_scale_without_counts_shows_the_formation(deployed):
    assert deployed("ps:scale", "shop") == 0
    assert deployed.out.getvalue() == (
        "-----> Scaling for shop\n       proctype:  qty:\n       web:       1\n       worker:    0\n"
    )
    assert deployed("ps:scale", "shop", "--format", "json") == 0
    assert json.loads(deployed.out.getvalue()) == {"web": 1, "worker": 0}


def test_scale_starts_and_records(deployed):
    assert deployed("ps:scale", "shop", "web=2", "worker=1") == 0
    assert deployed.ctx.state.apps.formation("shop") == {"web": 2, "worker": 1}
    assert len(deployed.ctx.engine.names()) == 3


@pytest.mark.parametrize("scale", ["web", "web=x", "web=-1", "web=501", "nope=1", "=1", "web=2 web=3"])
def test_a_scale_that_cannot_be_changes_nothing(deployed, scale):
    assert deployed("ps:scale", "shop", *scale.split()) == 1
    assert deployed.ctx.state.apps.formation("shop") == {}
    assert deployed.ctx.engine.names() == ["shop.web.1.v1.g0"]


def test_a_count_that_is_there_already_is_said_to_be(deployed):
    assert deployed("ps:scale", "shop", "web=1", "worker=1") == 0
    assert deployed.out.getvalue() == "       web is scaled to 1 already\n-----> Scaling shop worker to 1\n"


def test_urls_are_to_be_had_and_an_app_without_any_says_so(deployed):
    assert deployed("urls", "shop", "--format", "json") == 0
    urls = json.loads(deployed.out.getvalue())
    assert deployed("url", "shop") == 0
    assert [deployed.out.getvalue().strip()] == urls
    release = deployed.ctx.state.releases.current("shop")
    deployed.ctx.state.releases.append(
        app="shop", build_id=release.build_id, image="i", ports=(), config={}, formation={"worker": 1}, actor="alice",
        processes=(ProcessType(name="worker", command="work"),), cause="git push", revision="c0ffee", now=3.0,
    )  # fmt: skip
    deployed.ctx.state.releases.promote("shop", 2, 4.0)
    assert deployed("urls", "shop") == 0
    assert deployed.out.getvalue() == ""
    assert deployed("url", "shop") == 20


def test_the_report_shows_each_process(deployed):
    def running() -> str:
        assert deployed("ps:report", "shop", "--running") == 0
        return deployed.out.getvalue()

    assert running() == "true\n"
    assert deployed("ps:scale", "shop", "worker=1") == 0
    deployed.ctx.engine.exit("c2", 1)
    assert running() == "mixed\n"
    deployed.ctx.engine.exit("c1", 1)
    assert running() == "false\n"
    assert deployed("ps:restore", "shop") == 0
    assert running() == "true\n"
    assert deployed("ps:report", "shop") == 0
    assert "Status web 1 v1:" in deployed.out.getvalue()
    assert "running (CID: c3)" in deployed.out.getvalue()


def test_inspect_never_prints_config_vars(deployed):
    assert deployed("ps:inspect", "shop") == 0
    assert [container["id"] for container in json.loads(deployed.out.getvalue())] == ["c1"]
    assert "old" not in deployed.out.getvalue()


def test_releases_are_listed_newest_first_and_compared_without_values(deployed):
    assert deployed("config:set", "shop", "A=hunter2", "B=hunter3") == 0
    assert deployed("releases:list", "shop") == 0
    header, *rows = deployed.out.getvalue().splitlines()
    assert header.split() == ["VERSION", "STATUS", "CREATED", "ACTOR", "REVISION", "CAUSE"]
    assert [(row.split()[0], row.split()[1]) for row in rows] == [("v2", "current"), ("v1", "superseded")]
    assert deployed("releases:diff", "shop", "v1") == 0
    assert deployed.out.getvalue() == "~A\n+B\n"
    for style in ("text", "json"):
        assert deployed("releases:info", "shop", "v2", "--format", style) == 0
        assert "hunter" not in deployed.out.getvalue()


def test_a_release_names_its_build_as_builds_list_does(deployed):
    deployed.ctx.state.apps.create("other", 0)
    deployed.ctx.state.builds.start("other", "alice", "git push", "c0ffee1234", 1.0)
    build = deployed.ctx.state.builds.start("other", "alice", "git push", "c0ffee1234", 1.0)
    shop = deployed.ctx.state.releases.get("shop", 1)
    deployed.ctx.state.releases.append(
        app="other", build_id=build.id, image="i", ports=(), config={}, formation={}, actor="alice", processes=shop.processes,
        cause="git push", revision="c0ffee1234", now=1.0,
    )  # fmt: skip
    assert deployed("releases:info", "other", "v1", "--format", "json") == 0
    assert json.loads(deployed.out.getvalue())["build"] == build.number == 2
    assert deployed("releases:list", "other", "--format", "json") == 0
    assert [release["build"] for release in json.loads(deployed.out.getvalue())] == [2]


@pytest.mark.parametrize(("version", "code"), [("v9", 20), ("nine", 1), ("-1", 2), ("0", 20), ("9" * 20, 1)])
def test_a_release_that_is_not_there_is_not_rolled_back_to(deployed, version, code):
    assert deployed("ps:rollback", "shop", version) == code
    assert len(deployed.ctx.state.releases.list("shop")) == 1


def test_builds_show_their_log(deployed):
    build = deployed.ctx.state.builds.list("shop")[0]
    deployed.ctx.paths.builds.mkdir(parents=True)
    deployed.ctx.paths.build_log(build.id).write_text("-----> Building\n       done\n")
    deployed.ctx.state.builds.note_image(build.id, BuildResult(image="image-1", builder="buildpack"))
    deployed.ctx.state.builds.finish(build.id, BuildStatus.SUCCEEDED, 3.5)
    assert deployed("builds:output", "shop", "--follow") == 0
    assert deployed.out.getvalue() == "-----> Building\n       done\n"
    assert deployed("builds:list", "shop") == 0
    assert deployed.out.getvalue().splitlines()[1].split()[:3] == ["1", "build", "succeeded"]
    assert "2.5 s" in deployed.out.getvalue()
    assert deployed("builds:info", "shop", "1", "--format", "json") == 0
    assert json.loads(deployed.out.getvalue())["builder"] == "buildpack"
    assert deployed("builds:output", "shop", "7") == 20
    assert deployed("builds:info", "shop", "x") == 1


def test_enter_names_what_runs_when_the_process_does_not(deployed, capsys):
    assert deployed("enter", "shop", "worker.1") == 20
    assert "shop has no running process worker.1" in deployed.err.getvalue()
    assert "running: web.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "process"),
    [((), "web"), (("web",), "web"), (("web.1",), "web"), (("web", "--", "ls"), "web"), (("worker", "ls", "-l", "-a"), "worker")],
)
def test_enter_hands_words_and_exit_code_through(deployed, argv, process, monkeypatch):
    ran = []
    monkeypatch.setattr(
        deployed.ctx.engine, "exec", lambda container, command, **options: ran.append((container, *command)) or 7, raising=False
    )
    assert deployed("ps:scale", "shop", "worker=1") == 0
    assert deployed("enter", "shop", *argv) == 7
    (container, *command), = ran
    assert deployed.ctx.engine.inspect(container).labels["paas.type"] == process
    assert command == ([word for word in argv[1:] if word != "--"] or list(SHELL))


def test_run_hands_options_behind_the_app_to_the_command(deployed, monkeypatch):
    specs = []
    monkeypatch.setattr(deployed.ctx.engine, "run", lambda spec, stdio: specs.append(spec) or 3, raising=False)
    assert deployed("run", "-e", "X=a b", "--no-tty", "shop", "ls", "-l", "--no-tty", "a b") == 3
    assert specs[0].argv == ("/bin/sh", "-c", "exec ls -l --no-tty 'a b'")
    assert specs[0].env["X"] == "a b"
    assert specs[0].env["A"] == "old"
    assert not specs[0].has_terminal


@pytest.mark.parametrize("option", ["--ttl", "--ttl-seconds"])
def test_run_takes_a_longest_time_in_seconds(deployed, monkeypatch, option):
    given = []
    monkeypatch.setattr("paas.deploy.tasks.run_oneoff", lambda *words, ttl_s, **_: given.append((words[1:], ttl_s)) or 0)
    assert deployed("run", option, "5", "shop", "ls") == 0
    assert given == [(("shop", ("ls",)), 5)]


def test_dashes_may_stand_between_an_app_and_the_command(deployed, monkeypatch):
    given = []
    monkeypatch.setattr("paas.deploy.tasks.run_oneoff", lambda _, app, words, **__: given.append((app, words)) or 0)
    for words in (("--", "ls", "-l", "--", "x"), ("ls", "-l", "--", "x")):
        assert deployed("run", "shop", *words) == 0
    assert given == [("shop", ("ls", "-l", "--", "x"))] * 2
    assert deployed("run", "shop", "--") == 2
    assert "Missing argument 'COMMAND...'" in deployed.err.getvalue()


@pytest.mark.parametrize("command", ["run", "run:detached"])
def test_an_option_that_run_does_not_know_is_not_taken_for_an_app(deployed, command):
    assert deployed(command, "--forever", "shop", "ls") == 2
    assert "No such option '--forever'" in deployed.err.getvalue()


def test_what_has_nothing_to_do_says_so(deployed):
    assert deployed("ps:restart", "shop", "worker") == 0
    assert deployed.out.getvalue() == "-----> Restarting shop worker\n       nothing to do: worker is scaled to 0\n"
    assert deployed("ps:start", "shop") == 0
    assert "shop is started already" in deployed.out.getvalue()
    for already in (False, True):
        assert deployed("ps:stop", "shop") == 0
        assert ("shop is stopped already" in deployed.out.getvalue()) is already


def test_what_was_not_deployed_cannot_be_run_or_restarted(cli):
    cli.ctx.state.apps.create("shop", 0)
    for argv in (("run", "shop", "ls"), ("ps:restart", "shop"), ("ps:stop", "shop"), ("releases:info", "shop")):
        assert cli(*argv) == 1, argv
        assert "App shop has not been deployed" in cli.err.getvalue()


def test_domains_and_ports_reach_the_proxy(deployed):
    assert deployed("domains:add", "shop", "Shop.Example.com") == 0
    assert deployed.out.getvalue() == "-----> Added shop.example.com (shop)\n"
    assert deployed("ports:set", "shop", "http:8080:3000") == 0
    vhost, upstreams = deployed.ctx.proxy.served["shop"]
    assert vhost.domains == ("shop.localhost", "shop.example.com")
    assert [str(port) for port in vhost.ports] == ["http:8080:3000"]
    assert deployed("urls", "shop") == 0
    assert deployed.out.getvalue() == "http://shop.localhost:8080\nhttp://shop.example.com:8080\n"


def test_a_refusing_proxy_leaves_domains_and_ports_as_they_were(deployed):
    deployed.ctx.proxy.is_refusing = True
    assert deployed("domains:set", "shop", "a.example.com") == 70
    assert deployed("ports:set", "shop", "http:8080:3000") == 70
    assert deployed.ctx.state.routes.domains("shop") == ()
    assert deployed.ctx.state.routes.ports("shop") == ()


@pytest.mark.parametrize("bad", ["http:80", "ftp:21:21", "http:0:1", "http:80:99999", "x"])
def test_a_port_map_that_cannot_be_is_refused(deployed, bad):
    assert deployed("ports:add", "shop", bad) == 1
    assert deployed("ports:remove", "shop", bad) == 20
    assert deployed.ctx.state.routes.ports("shop") == ()


def test_all_apps_are_restarted_and_those_without_a_release_left_alone(deployed):
    deployed.ctx.state.apps.create("empty", 0)
    assert deployed("ps:restart", "--all", "--parallel", "2") == 0
    assert deployed.ctx.engine.names() == ["shop.web.1.v1.g0", "shop.web.1.v1.g1"]


def test_one_app_that_fails_does_not_keep_the_others_from_their_restart(deployed):
    state = deployed.ctx.state
    state.apps.create("blog", 0)
    state.releases.append(
        app="blog", build_id=1, image="image-2", ports=(), config={}, formation={}, actor="alice", cause="git push", now=1.0,
        processes=(ProcessType(name="bad", command="serve"),),
    )  # fmt: skip
    state.releases.promote("blog", 1, 1.0)
    state.apps.scale("blog", {"bad": 1})
    deployed.ctx.scheduler.failing = {"bad"}
    assert deployed("ps:restart", "--all") == 60
    assert "blog: bad.1 did not start" in deployed.err.getvalue()
    assert "It failed for 1 of 2 apps: blog" in deployed.err.getvalue()
    assert "shop.web.1.v1.g1" in deployed.ctx.engine.names()


@pytest.mark.parametrize("argv", [("ps:restart",), ("ps:stop", "shop", "--all"), ("ps:rebuild",), ("ps:start",)])
def test_either_one_app_or_all(deployed, argv):
    assert deployed(*argv) == 2
    assert deployed.ctx.engine.names() == ["shop.web.1.v1.g0"]


def test_one_process_is_restarted_by_name(deployed):
    assert deployed("ps:restart", "shop", "web.1") == 0
    assert deployed.ctx.engine.names() == ["shop.web.1.v1.g0", "shop.web.1.v1.g1"]
    assert deployed("ps:restart", "shop", "web.2") == 1
    assert "there is no web.2" in deployed.err.getvalue()


def test_restore_without_a_name_is_for_all(deployed):
    deployed.ctx.engine.containers.clear()
    assert deployed("ps:restore") == 0
    assert deployed.ctx.engine.names() == ["shop.web.1.v1.g0"]
