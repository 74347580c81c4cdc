"""`image:build` with the options of docker build, on a real engine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfile_yard import Yard
from paas.cli import root
from paas.cli.client import CALLER_PREFIX, named_variables
from paas.context import Context, Identity
from paas.oci.store import Image
from paas.output import Output
from paas.state import State

pytestmark = pytest.mark.integration


class Desk:
    """Runs command lines as the administrator in a directory of his."""

    def __init__(self, yard: Yard, home: Path) -> None:
        self.yard, self.home = yard, home
        self.out, self.err = io.StringIO(), io.StringIO()
        self.ctx = Context(
            paths=yard.paths, settings=yard.settings, state=State(home / "paas.db"), engine=yard.engine,
            scheduler=None, proxy=None, builders=(), output=Output(self.out, self.err),  # type: ignore[arg-type]
            identity=Identity(name="root", is_admin=True),
        )  # fmt: skip
        (home / "src").mkdir()

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.home / "src" / name).write_text(text)

    def build(self, *words: str, code: int = 0) -> str:
        """Run `image:build`; return what it printed."""
        for stream in (self.out, self.err):
            stream.truncate(stream.seek(0))
        assert root.run(["image:build", *words], self.ctx) == code, self.err.getvalue()
        return self.out.getvalue()

    def image(self, said: str) -> Image:
        return self.yard.store.image(said.splitlines()[-1])


@pytest.fixture
def desk(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(yard, tmp_path)


def test_arguments_labels_tags_and_target_are_docker_s(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_OUTSIDE", "outside")
    desk.write(
        Dockerfile="FROM debian:12 AS one\nARG A\nARG FROM_OUTSIDE\nARG NOWHERE=default\n"
        "ENV V=$A/$FROM_OUTSIDE/$NOWHERE\nLABEL a=1 b=2\nFROM one\nRUN exit 1\n"
    )
    said = desk.build(
        "src", "-t", "desk:1", "-t", "desk:2", "--target", "one", "--build-arg", "A=x y", "--build-arg", "FROM_OUTSIDE",
        "--build-arg", "NOWHERE", "--label", "b=3", "--label", "org.example.c=4", "--label", "alone",
    )  # fmt: skip
    config = desk.image(said).config
    assert config.env_value("V") == "x y/outside/default"
    assert dict(config.labels) == {"a": "1", "b": "3", "org.example.c": "4", "alone": ""}
    assert desk.yard.store.references(desk.image(said).id) == ("desk:1", "desk:2")


def test_secrets_come_from_files_and_variables(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t0ken")
    (desk.home / "key").write_bytes(b"\xff\x00key")
    desk.write(
        Dockerfile="FROM debian:12\nRUN --mount=type=secret,id=file --mount=type=secret,id=TOKEN,env=T --mount=type=secret,"
        "id=named,target=/n,mode=0444 cat /run/secrets/file > /f; echo $T > /t; cat /n > /n2\n"
    )
    said = desk.build("src", "--secret", "id=file,src=key", "--secret", "id=TOKEN", "--secret", "id=named,env=TOKEN")
    tree = desk.yard.tree(desk.image(said))
    entry = tree.find("f")
    assert entry is not None and Path(entry.real).read_bytes() == b"\xff\x00key"
    assert (tree.read_text("t"), tree.read_text("n2")) == ("t0ken\n", "t0ken")
    assert "t0ken" not in said


def test_keys_get_an_agent_for_as_long_as_the_build(desk: Desk) -> None:
    for name, phrase in (("one", ""), ("two", ""), ("locked", "secret")):
        subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", phrase, "-C", f"key {name}", "-f", desk.home / name], check=True)
    (desk.home / "one").chmod(0o644)  # ssh would not have it
    (desk.home / "none").write_text("no key")
    desk.write(Dockerfile="FROM paas/stack:debian-12\nRUN --mount=type=ssh,id=two perl -e '" + ASK_AGENT + "' > /said\n")
    said = desk.build("src", "--ssh", "two=one,two", "--ssh", f"default={desk.home}/two")
    assert desk.yard.tree(desk.image(said)).read_text("said") == "key one, key two"
    agents = [line for line in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout.splitlines()
              if line.startswith("ssh-agent") and str(desk.yard.paths.run) in line]  # fmt: skip
    assert agents == []
    for name, problem in (("locked", "it has a passphrase"), ("none", "cannot be used")):
        desk.build("src", "--ssh", f"default={name}", code=1)
        assert problem in desk.err.getvalue()
    assert desk.yard.leftovers() == []


ASK_AGENT = (
    "use Socket; use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ENV{SSH_AUTH_SOCK}) or die; print $s "
    'pack("NC", 1, 11); $s->flush; read($s, my $h, 5); my ($l, $t) = unpack("NC", $h); read($s, my $b, $l - 1); '
    'print join(", ", sort($b =~ /key \\w+/g));'
)


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["--secret", "id=x,src=gone"], 20, "The secret x cannot be read"),
        (["--secret", "src=x"], 1, "has no id"),
        (["--secret", "id=x,color=red"], 1, "'color=red' is nothing that --secret takes"),
        (["--secret", "id=x,env=GONE"], 20, "the variable GONE, which is not set"),
        (["--ssh", "default=/gone"], 20, "No SSH agent listens at /gone"), (["--ssh", "default"], 20, "SSH_AUTH_SOCK is not set"),
        (["--output", "type=zip,dest=x"], 1, "names no type of output"), (["gone"], 20, "There is no directory 'gone' to build"),
        (["-o", "type=tar,dest=gone/x.tar"], 20, "there is no directory gone"),
        (["-o", "type=oci,dest=src"], 1, "src is a directory, and type=oci needs a file"),
        (["-o", "src/Dockerfile"], 1, "src/Dockerfile is a file, and type=local needs a directory"),
        (["--label", "=x"], 1, "--label '=x' has no name"),
        (["-f", "other"], 30, "other: there is no such file"), (["--allow", "security.insecure"], 2, "network.host"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, problem: str
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    desk.write(Dockerfile="FROM scratch\n")
    desk.build(*([] if words == ["gone"] else ["src"]), *words, code=code)
    assert problem in desk.err.getvalue()
    assert desk.yard.leftovers() == []


def test_the_dockerfile_may_be_anywhere(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(a="A", here="FROM scratch\nCOPY a /here\n")
    (desk.home / "elsewhere").write_text("FROM scratch\nCOPY a /elsewhere\n")
    found = [desk.image(desk.build("src", "-f", name)) for name in ("src/here", "here", "elsewhere")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"FROM scratch\nCOPY a /stdin\n")))
    found.append(desk.image(desk.build("src", "-f", "-")))
    names = [[entry.path for entry in desk.yard.tree(image).walk("")] for image in found]
    assert names == [["here"], ["here"], ["elsewhere"], ["stdin"]]


def test_a_context_may_be_a_tar_or_a_dockerfile_on_standard_input(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(Dockerfile="FROM scratch\nCOPY a /tar\n", a="A")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(desk.home / "src", ".")
    found = []
    for content in (packed.getvalue(), b"FROM scratch\nLABEL from=stdin\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        found.append(desk.image(desk.build("-")))
    assert [entry.path for entry in desk.yard.tree(found[0]).walk("")] == ["tar"]
    assert dict(found[1].config.labels) == {"from": "stdin"}
    assert desk.yard.leftovers() == []


def test_outputs_are_files_tars_and_images(desk: Desk) -> None:
    desk.write(Dockerfile="FROM debian:12 AS base\nFROM scratch\nCOPY --from=base /etc /etc\nCOPY --chown=7:8 a /a\n", a="A")
    desk.build(
        "src", "-t", "desk:out", "-o", "files", "-o", "type=tar,dest=all.tar", "--output", "type=docker,dest=docker.tar",
        "--output", "type=oci,dest=oci.tar",
    )  # fmt: skip
    assert (desk.home / "files/a").read_text() == "A"
    assert (desk.home / "files/a").stat().st_uid == 0
    assert (desk.home / "files/etc/os-release").is_symlink()
    with tarfile.open(desk.home / "all.tar") as archive:
        assert (archive.getmember("a").uid, archive.getmember("a").gid) == (7, 8)
        assert archive.getmember("etc/passwd").isfile()
    with tarfile.open(desk.home / "docker.tar") as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert manifest[0]["RepoTags"] == ["docker.io/library/desk:out"]
    with tarfile.open(desk.home / "oci.tar") as archive:
        assert "oci-layout" in archive.getnames()


def test_quiet_prints_the_id_alone(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.write(Dockerfile="FROM debian:12\nRUN echo loud\n")
    said = desk.build("src", "-q")
    assert said == f"{desk.image(said).id}\n"
    assert capfd.readouterr().out == ""


def test_the_host_s_network_is_for_those_who_are_allowed(desk: Desk) -> None:
    desk.write(Dockerfile="FROM debian:12\nRUN --network=host readlink /proc/self/ns/net > /net\n")
    desk.build("src", code=30)
    assert "Dockerfile:2: network mode host is not allowed" in desk.err.getvalue()
    said = desk.build("src", "--allow", "network.host", "--no-cache")
    assert desk.yard.tree(desk.image(said)).read_text("net").strip() == str(Path("/proc/self/ns/net").readlink())


def test_pull_asks_the_registry_for_what_is_here(desk: Desk) -> None:
    desk.yard.store.tag("debian:12", "127.0.0.1:1/debian:12")
    desk.write(Dockerfile="FROM 127.0.0.1:1/debian:12\n")
    desk.build("src")
    desk.build("src", "--pull", code=30)
    assert "Dockerfile:1: failed to resolve source metadata for 127.0.0.1:1/debian:12" in desk.err.getvalue()


def test_the_client_sends_only_variables_that_the_command_line_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARG_ONE", "TOKEN", "NAMED", "OTHER", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, name.lower())
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    argv = ["image:build", ".", "--build-arg", "ARG_ONE", "--build-arg=B=1", "--secret", "id=TOKEN", "--secret=id=x,env=NAMED"]
    sent = {"ARG_ONE": "arg_one", "TOKEN": "token", "NAMED": "named", "SSH_AUTH_SOCK": "ssh_auth_sock", "": "1"}
    assert named_variables(argv, os.environ) == {CALLER_PREFIX + name: value for name, value in sent.items()}
    assert named_variables(["config:set", "shop", "ARG_ONE"], os.environ) == {}


def test_a_symlinked_context_is_the_directory_it_leads_to(desk: Desk) -> None:
    desk.write(Dockerfile="FROM scratch\nCOPY a /a\n", a="A")
    (desk.home / "link").symlink_to("src")
    assert desk.image(desk.build("link")).layers == desk.image(desk.build("src")).layers


def test_a_git_repository_that_cannot_be_fetched_is_no_context(desk: Desk) -> None:
    desk.build("git://127.0.0.1:1/gone.git", code=1)
    assert "failed to fetch git://127.0.0.1:1/gone.git" in desk.err.getvalue()


def test_a_build_is_limited_by_default(desk: Desk) -> None:
    desk.ctx = replace(desk.ctx, settings=replace(desk.ctx.settings, build_memory_mb=64, pids=48, build_timeout_s=60))
    desk.write(Dockerfile="FROM debian:12\nRUN perl -e '$x .= \"a\" x 10000000 while 1'\n")
    desk.build("src", code=40)
    assert "out of memory: the build's memory limit was reached" in desk.err.getvalue()
    desk.write(Dockerfile="FROM debian:12\nRUN while :; do sleep 1000 & done\n")
    desk.build("src", code=40)
    assert "too many processes: the build's limit was reached" in desk.err.getvalue()
    assert desk.yard.leftovers() == []
