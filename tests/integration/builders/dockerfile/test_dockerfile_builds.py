"""Whole Dockerfile builds: stages, RUN, cache, secrets, failures. On the real engine."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfile_yard import TENANT, Yard
from paas.builders import BuildRequest
from paas.builders.dockerfile.builder import DockerfileBuilder
from paas.errors import BuildFailed, InvalidFile
from paas.model.container import Limits
from paas.model.process import ProcessType
from paas.model.source import Source
from paas.output import Output

pytestmark = pytest.mark.integration

BASE = "debian:12"


def test_stages_run_and_only_the_last_one_is_the_image(yard: Yard) -> None:
    image = yard.build(
        """
        FROM debian:12 AS build
        WORKDIR /src
        COPY src/ .
        RUN cat a b > both && echo secret > /left-behind
        FROM debian:12 AS never
        RUN exit 1
        FROM debian:12
        COPY --from=build --chown=7:8 /src/both /out/
        ENV GREETING="hello world"
        EXPOSE 8080
        CMD ["cat", "/out/both"]
        """,
        {"src/a": "A\n", "src/b": "B\n", "unused": ""},
    )
    entry = yard.tree(image).find("out/both")
    assert entry is not None and Path(entry.real).read_text() == "A\nB\n"
    assert (entry.status.st_uid, entry.status.st_gid) == (7, 8)
    assert yard.added(image, BASE) == ["out/both"]
    assert dict(image.config.env)["GREETING"] == "hello world"
    assert image.config.cmd == ("cat", "/out/both")
    assert yard.said[0].strip() == "Step 1/9 : FROM debian:12 AS build"
    assert yard.leftovers() == []


def test_run_sees_env_args_workdir_and_user_and_keeps_what_it_changes(yard: Yard) -> None:
    image = yard.build(
        """
        FROM debian:12
        ARG VERSION=1
        ENV NAME=app
        WORKDIR /work
        RUN useradd --uid 1234 --create-home app && chown app /work && rm /etc/issue
        USER app
        RUN echo "$NAME $VERSION $(id -u) $PWD" > said
        RUN ["/bin/sh", "-c", "umask 077 && mkdir -p deep/er && ln -s said deep/link"]
        """,
        build_args={"VERSION": "2"},
    )
    tree = yard.tree(image)
    assert tree.read_text("work/said") == "app 2 1234 /work\n"
    assert tree.find("etc/issue") is None
    deep = tree.find("work/deep/er")
    assert deep is not None and (deep.mode, deep.status.st_uid) == (0o700, 1234)
    assert (image.config.user, image.config.workdir) == ("app", "/work")


def test_heredocs_are_scripts_files_and_standard_input(yard: Yard) -> None:
    image = yard.build(
        textwrap.dedent(
            """\
            FROM debian:12
            RUN <<EOF
            set -e
            echo one > /one
            echo "$(cat /one) two" > /two
            EOF
            RUN cat <<A <<'B' > /three
            never
            A
            it is $HOME
            B
            RUN <<EOF
            #!/usr/bin/perl
            open(F, ">/four"); print F "perl\\n";
            EOF
            ENV X=expanded
            COPY <<EOF <<'RAW' /files/
            $X
            EOF
            $X
            RAW
            """
        )
    )
    tree = yard.tree(image)
    found = [tree.read_text(name) for name in ("two", "three", "four", "files/EOF", "files/RAW")]
    assert found == ["one two\n", "it is $HOME\n", "perl\n", "expanded\n", "$X\n"]


def test_a_build_from_nothing_holds_only_what_was_copied(yard: Yard) -> None:
    image = yard.build("FROM scratch\nCOPY --chmod=755 app /bin/\nENTRYPOINT [\"/bin/app\"]\n", {"app": "x"})
    assert [entry.path for entry in yard.tree(image).walk("")] == ["bin", "bin/app"]
    assert image.config.entrypoint == ("/bin/app",)


CACHED = """
FROM debian:12
WORKDIR /app
COPY deps .
RUN cat deps && date +%s%N > /installed
COPY . .
RUN date +%s%N > /built
CMD ["true"]
"""


def test_an_unchanged_tree_is_the_same_image_without_running_anything(yard: Yard) -> None:
    first = yard.build(CACHED, {"deps": "1", "code": "1"}, app="cached")
    second = yard.build(CACHED, {"deps": "1", "code": "1"}, app="cached")
    assert second.id == first.id
    assert [line.strip() for line in yard.said].count("---> Using cache") == 4


def test_a_changed_file_repeats_only_what_depends_on_it(yard: Yard) -> None:
    first = yard.build(CACHED, {"deps": "1", "code": "1"}, app="cached")
    code = yard.build(CACHED, {"deps": "1", "code": "2"}, app="cached")
    deps = yard.build(CACHED, {"deps": "2", "code": "1"}, app="cached")

    def seen(name: str) -> list[str]:
        return [yard.tree(image).read_text(name) for image in (first, code, deps)]

    installed, built = seen("installed"), seen("built")
    assert installed[0] == installed[1] != installed[2]
    assert len(set(built)) == 3


def test_ignored_files_neither_arrive_nor_change_the_cache(yard: Yard) -> None:
    files = {".dockerignore": "secret\n**/*.log\n!keep.log\n", "a": "a", "d/x.log": "1", "keep.log": "k", "secret": "1"}
    image = yard.build("FROM debian:12\nCOPY . /app\n", files)
    names = [entry.path for entry in yard.tree(image).walk("app")]
    assert names == ["app/.dockerignore", "app/Dockerfile", "app/a", "app/d", "app/keep.log"]
    again = yard.build("FROM debian:12\nCOPY . /app\n", files | {"secret": "2", "d/x.log": "2"})
    assert again.id == image.id


def test_no_cache_runs_every_step_again(yard: Yard) -> None:
    first = yard.build(CACHED, {"deps": "1", "code": "1"})
    again = yard.build(CACHED, {"deps": "1", "code": "1"}, uses_cache=False)
    assert yard.tree(first).read_text("installed") != yard.tree(again).read_text("installed")


def test_secrets_reach_one_step_and_no_layer(yard: Yard) -> None:
    image = yard.build(
        """
        FROM debian:12
        RUN --mount=type=secret,id=TOKEN,env=GIVEN \
            --mount=type=secret,id=FILE,target=/root/file,mode=0444 sha256sum /root/file > /sum && test "$GIVEN" = t0ken
        RUN test -z "$GIVEN" && ! test -e /root/file
        """,
        secrets={"TOKEN": "t0ken", "FILE": "content"},
    )
    assert yard.added(image, BASE) == ["sum"]
    assert yard.tree(image).read_text("sum").startswith(hashlib.sha256(b"content").hexdigest())
    with pytest.raises(InvalidFile, match="Dockerfile:2: secret GONE: not found"):
        yard.build("FROM debian:12\nRUN --mount=type=secret,id=GONE,required=true true\n")


def test_cache_mounts_live_on_and_belong_to_the_app(yard: Yard) -> None:
    dockerfile = "FROM debian:12\nARG N\nRUN --mount=type=cache,target=/c echo $N >> /c/log && cat /c/log > /seen\n"
    yard.build(dockerfile, app="one", build_args={"N": "1"})
    second = yard.build(dockerfile, app="one", build_args={"N": "2"})
    other = yard.build(dockerfile, app="two", build_args={"N": "3"})
    assert yard.tree(second).read_text("seen") == "1\n2\n"
    assert yard.tree(other).read_text("seen") == "3\n"
    assert yard.added(second, BASE) == ["seen"]


def test_bind_mounts_show_context_and_stages_and_take_no_writes(yard: Yard) -> None:
    image = yard.build(
        """
        FROM debian:12 AS other
        RUN mkdir /o && echo o > /o/file
        FROM debian:12
        RUN --mount=target=/ctx --mount=from=other,source=/o,target=/o,rw \
            cp /ctx/a /a && cp /o/file /o-file && ! touch /ctx/x 2>/dev/null && touch /o/x
        """,
        {"a": "A", "skip": "", ".dockerignore": "skip"},
    )
    assert yard.added(image, BASE) == ["a", "o-file"]


def test_a_bind_of_a_directory_from_several_layers_shows_all_of_it_without_copies(yard: Yard) -> None:
    image = yard.build(
        """
        FROM debian:12 AS other
        RUN mkdir /o && echo 1 > /o/one && echo gone > /o/gone
        RUN echo 2 > /o/two && rm /o/gone
        FROM debian:12
        RUN --mount=from=other,source=/o,target=/o ls /o > /names && stat -c %h /o/one > /links && ! touch /o/x
        RUN --mount=from=other,source=/o,target=/o,rw echo changed > /o/one
        RUN --mount=from=other,source=/o,target=/o cat /o/one /o/two > /texts
        """
    )
    tree = yard.tree(image)
    assert [tree.read_text(name) for name in ("names", "links", "texts")] == ["one\ntwo\n", "2\n", "1\n2\n"]


def test_a_step_without_network_has_none(yard: Yard) -> None:
    image = yard.build("FROM debian:12\nRUN --network=none ls /sys/class/net > /net\n")
    assert yard.tree(image).read_text("net") == "lo\n"


def test_a_failing_step_shows_line_and_last_output_and_leaves_nothing(yard: Yard) -> None:
    with pytest.raises(BuildFailed) as failed:
        yard.build("FROM debian:12\n\nRUN echo one; echo two >&2; exit 3\n")
    assert failed.value.message == (
        'Dockerfile:3: "RUN echo one; echo two >&2; exit 3" did not complete successfully: exit code: 3'
    )
    assert failed.value.output == ("one", "two")
    assert yard.leftovers() == []


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("FROM debian:12\nCOPY gone /x\n", 'Dockerfile:2: "/gone": not found'),
        ("FROM debian:12\nENV A=${B:?set-it}\n", "Dockerfile:2: B: set-it"),
        ("FROM registry.invalid/none:1\n", "Dockerfile:1: failed to resolve source metadata for registry.invalid/none:1"),
        ("FROM Debian\n", "Dockerfile:1: 'Debian' is not a valid image reference"),
        ("FROM debian:12\nWORKDIR /etc/passwd\n", "Dockerfile:2: cannot make working directory /etc/passwd"),
        ("FROM debian:12\nCOPY https://example.com/x.git /x\n", "Dockerfile:2: source can't be a git ref for COPY"),
        ("FROM debian:12\nCOPY https://example.com/x /x\n", "Dockerfile:2: source can't be a URL for COPY"),
        ("FROM debian:12\nADD git://127.0.0.1/x.git /x\n", "Dockerfile:2: git://127.0.0.1/x.git is on this machine"),
        ("FROM debian:12\nRUN --mount=type=ssh,required true\n", 'Dockerfile:2: no SSH key "default" forwarded'),
        ("FROM debian:12\nRUN --network=host true\n", "Dockerfile:2: network mode host is not allowed"),
        ("FROM debian:12\nRUN --device=x true\n", "Dockerfile:2: device x is not available"),
        ("FROM debian:12\nRUN --mount=target=/proc/x true\n", 'Dockerfile:2: invalid mount target "/proc/x"'),
        ("FROM debian:12\nADD http://127.0.0.1:1/x /x\n", "Dockerfile:2: http://127.0.0.1:1/x is on this machine"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(yard: Yard, dockerfile: str, message: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        yard.build(dockerfile)
    assert refused.value.message.startswith(message)
    assert yard.leftovers() == []


def test_a_build_that_takes_too_long_is_stopped(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match="did not end within 1 s"):
        yard.build("FROM debian:12\nRUN echo started && sleep 60\n", timeout_s=1)
    assert yard.leftovers() == []


def test_a_build_out_of_memory_says_so(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match="memory"):
        yard.build("FROM debian:12\nRUN perl -e '$x = \"a\" x 300000000'\n", limits=Limits(memory_bytes=64 << 20))


def test_triggers_of_a_base_run_in_its_children_only(yard: Yard) -> None:
    yard.build("FROM debian:12\nONBUILD COPY . /app\nONBUILD RUN echo triggered > /t\n", {"base": ""}, reference="triggers:1")
    child = yard.build("FROM triggers:1\n", {"mine": "m"})
    assert "# Executing 2 build triggers" in yard.said
    assert yard.tree(child).read_text("t") == "triggered\n"
    assert yard.tree(child).read_text("app/mine") == "m"
    assert child.config.onbuild == ()


def test_package_managers_work_as_the_host_is_configured_and_leave_no_trace_of_it(yard: Yard) -> None:
    image = yard.build(
        """
        FROM paas/stack:debian-12
        RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends hello && hello > /hello
        WORKDIR /app
        RUN python3 -m venv v && v/bin/pip install -q itsdangerous && v/bin/python -c 'import itsdangerous'
        RUN npm install --no-fund left-pad && test -d node_modules/left-pad
        """
    )
    assert yard.tree(image).read_text("hello") == "Hello, world!\n"
    added = yard.added(image, "paas/stack:debian-12")
    assert [name for name in added if name.startswith(("run/", ".cargo", "etc/apt", "etc/ssl", "root/.npmrc"))] == []
    assert set(dict(image.config.env)) == {"PATH", *dict(yard.store.image("paas/stack:debian-12").config.env)}


def test_a_build_may_edit_apt_s_sources(yard: Yard) -> None:
    image = yard.build(
        """
        FROM paas/stack:debian-12
        RUN sed -i 's/^Components: .*/Components: main contrib/' /etc/apt/sources.list.d/*.sources
        RUN chmod -R go+r /etc/apt && grep -h ^Components /etc/apt/sources.list.d/*.sources | sort -u > /seen
        """
    )
    assert yard.tree(image).read_text("seen") == "Components: main contrib\n"


def test_without_inheritance_the_host_s_configuration_stays_out(yard: Yard) -> None:
    image = yard.build("FROM debian:12\nRUN env > /env; ls /run > /run-list\n", inherits=False)
    assert "host-config" not in yard.tree(image).read_text("env") + yard.tree(image).read_text("run-list")


@pytest.fixture
def web() -> Iterator[str]:
    """A web server on this machine's own address with one file."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
            self.end_headers()
            self.wfile.write(b"page")

        def log_message(self, *_: object) -> None:
            pass

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    server = http.server.ThreadingHTTPServer((address, 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{address}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_add_downloads_checks_and_names_the_file(yard: Yard, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    digest = hashlib.sha256(b"page").hexdigest()
    image = yard.build(f"FROM debian:12\nADD --checksum=sha256:{digest} {web}/some/page.txt /in/\n")
    entry = yard.tree(image).find("in/page.txt")
    assert entry is not None and (entry.mode, entry.status.st_mtime) == (0o600, 1_000_000_000)
    with pytest.raises(InvalidFile, match="digest mismatch"):
        yard.build(f"FROM debian:12\nADD --checksum=sha256:{'0' * 64} {web}/page /in/\n")


def test_the_builder_reports_process_ports_and_properties(yard: Yard, tmp_path: Path) -> None:
    builder = DockerfileBuilder(engine=yard.engine, paths=yard.paths, settings=yard.settings)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/web.Dockerfile").write_text(
        'FROM debian:12 AS web\nARG A\nENV A=$A\nEXPOSE 9000/udp 8080 8081\nENTRYPOINT ["/e"]\nCMD ["c"]\nFROM web\nRUN exit 1\n'
    )
    request = BuildRequest(
        app="shop", tenant=TENANT, source=Source(tree=tmp_path), cache=tmp_path / "cache", output=Output(quiet=True),
        options={
            "builder-dockerfile.dockerfile-path": "deploy/web.Dockerfile", "builder-dockerfile.target": "web",
            "builder-dockerfile.build-args": "A='two words'",
        },
    )  # fmt: skip
    result = builder.build(request)
    assert result.processes == (ProcessType(name="web", argv=("/e", "c")),)
    assert result.ports == (8080, 8081)
    assert dict(yard.store.image(result.image).config.env)["A"] == "two words"
    assert builder.detect(tmp_path) is False


def test_a_dockerfile_that_is_a_link_out_of_the_tree_is_not_read(yard: Yard, tmp_path: Path) -> None:
    builder = DockerfileBuilder(engine=yard.engine, paths=yard.paths, settings=yard.settings)
    (tmp_path / "Dockerfile").symlink_to("/etc/hostname")
    assert builder.detect(tmp_path) is False
    request = BuildRequest(app="x", tenant=TENANT, source=Source(tree=tmp_path), cache=tmp_path, output=Output(quiet=True))
    with pytest.raises(InvalidFile, match="there is no such file"):
        builder.build(replace(request))


KILLED = """
import sys
from pathlib import Path
from paas.builders.dockerfile.builder import build_image
from paas.builders.dockerfile.order import BuildOrder
from paas.engines.embedded.engine import EmbeddedEngine
from paas.model.container import Tenant
from paas.output import Output
from paas.paths import Paths
from paas.settings import parse_settings
import json
root, run, settings, tree = Path(sys.argv[1]), Path(sys.argv[2]), parse_settings(json.loads(sys.argv[3])), Path(sys.argv[4])
paths = Paths(root=root, run=run, etc=root)
order = BuildOrder(tree=tree, cache=paths.app_cache("killed"), output=Output(), tenant=Tenant(name="yard", number=1))
build_image(order, engine=EmbeddedEngine(paths=paths, settings=settings), paths=paths, settings=settings)
"""


def test_a_killed_build_leaves_no_step_that_looks_done(yard: Yard, tmp_path: Path) -> None:
    dockerfile = textwrap.dedent(
        """
        FROM debian:12
        RUN --mount=type=cache,target=/c \\
            echo half > /half; if test -e /c/x; then echo again; else touch /c/x; echo started; sleep 30; fi; echo whole > /half
        """
    )
    (tmp_path / "Dockerfile").write_text(dockerfile)
    settings = {name: getattr(yard.settings, name) for name in ("network_prefix", "network_pool", "cgroup_parent", "uid_start")}
    argv = [sys.executable, "-c", KILLED, str(yard.paths.root), str(yard.paths.run), json.dumps(settings), str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as child:
        assert child.stdout is not None
        assert any(line.strip() == "started" for line in child.stdout)
        child.send_signal(signal.SIGKILL)
    yard.engine.repair()
    image = yard.build(dockerfile, app="killed")
    assert "again" in yard.said
    assert yard.tree(image).read_text("half") == "whole\n"
    assert yard.leftovers() == []


def test_undefined_variables_are_warnings_or_errors_and_the_base_image_may_define_them(yard: Yard) -> None:
    text = "FROM debian:12 AS base\nENV FROM_BASE=1\nARG DECLARED\nFROM base\nLABEL a=$FROM_BASE b=$DECLARED c=$FROM_BSE\n"
    yard.build(text)
    said = [line for line in yard.said if "Warning" in line]
    assert said == ["[Warning] UndefinedVar: Usage of undefined variable '$FROM_BSE' (did you mean $FROM_BASE?) (line 5)"]
    with pytest.raises(InvalidFile, match=r"Dockerfile:6: lint violation found for rules: UndefinedVar\. Usage of undefined"):
        yard.build("# check=error=true\n" + text)
    yard.build("# check=skip=UndefinedVar;error=true\n" + text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# check=error=true\nFROM debian:12\nRUN exit 7\nENV a $b\nWORKDIR $c\n",
         "Dockerfile:4: lint violation found for rules: LegacyKeyValueFormat, UndefinedVar"),
        ("FROM debian:12\nRUN exit 7\nSTOPSIGNAL ${none:?is not given}\n", "Dockerfile:3: none: is not given"),
        ("FROM debian:12 AS one\nRUN exit 7\nFROM localhost:1/no/such:image\nCOPY --from=one /a /b\n",
         "Dockerfile:3: failed to resolve source metadata for localhost:1/no/such:image"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_later_line_ends_the_build_before_its_first_step(yard: Yard, text: str, problem: str) -> None:
    with pytest.raises(InvalidFile, match=re.escape(problem)):
        yard.build(text)
    assert [line for line in yard.said if line.startswith("Step ")] == []


def test_variables_of_triggers_are_checked_too_at_the_line_of_from(yard: Yard) -> None:
    yard.build("FROM debian:12\nONBUILD ENV A=$nothing\n", reference="with-trigger")
    with pytest.raises(InvalidFile, match=r"Dockerfile:2: lint violation found for rules: UndefinedVar"):
        yard.build("# check=error=true\nFROM with-trigger\n")
