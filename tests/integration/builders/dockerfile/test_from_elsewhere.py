"""ADD of git repositories from a real git daemon, of files that change on a web server, and SSH agents in steps."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerfile_yard import Yard
from paas.errors import InvalidFile

pytestmark = pytest.mark.integration


class Hosting:
    """A repository that anybody may clone, at this machine's own address."""

    def __init__(self, root: Path, url: str) -> None:
        self.tree, self.url = root / "repo.git", url

    def commit(self, text: str, *, tag: str = "") -> str:
        (self.tree / "docs").mkdir(exist_ok=True)
        (self.tree / "README").write_text(text)
        (self.tree / "docs/page").write_text(text)
        self.git("add", "-A")
        self.git("commit", "-qm", "x")
        if tag:
            self.git("tag", "-am", tag, tag)
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        done = subprocess.run(["git", *identity, "-C", self.tree, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


@pytest.fixture
def hosting(tmp_path: Path) -> Iterator[Hosting]:
    address = own_address()
    with socket.socket() as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    (tmp_path / "repo.git").mkdir()
    argv = ["git", "daemon", "--reuseaddr", "--export-all", f"--base-path={tmp_path}", f"--listen={address}", f"--port={port}"]
    environment = {**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    hosting = Hosting(tmp_path, f"git://{address}:{port}/repo.git")
    hosting.git("init", "-q", "-b", "main")
    with subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        until = time.monotonic() + 20
        while socket.socket().connect_ex((address, port)) and time.monotonic() < until:
            time.sleep(0.02)
        yield hosting
        daemon.terminate()


def test_a_repository_is_added_by_branch_tag_commit_and_directory(yard: Yard, hosting: Hosting) -> None:
    first = hosting.commit("one", tag="v1")
    hosting.commit("two")
    image = yard.build(
        f"""
        FROM scratch
        ADD {hosting.url} /head
        ADD {hosting.url}#v1 /tag
        ADD --checksum={first[:12]} {hosting.url}#{first}:docs /docs
        ADD --keep-git-dir=true --chown=5:6 {hosting.url}#main /kept
        """
    )
    tree = yard.tree(image)
    assert [tree.read_text(path) for path in ("head/README", "tag/README", "docs/page")] == ["two", "one", "one"]
    assert (tree.find("head/.git"), tree.find("kept/.git/HEAD") is not None) == (None, True)
    readme = tree.find("kept/README")
    assert readme is not None and (readme.status.st_uid, readme.status.st_gid) == (5, 6)


def test_only_a_commit_that_is_new_is_added_again(yard: Yard, hosting: Hosting) -> None:
    hosting.commit("one")
    dockerfile = f"FROM scratch\nADD {hosting.url}#main /src\n"
    first = yard.build(dockerfile)
    assert yard.build(dockerfile).layers == first.layers
    assert " ---> Using cache" in yard.said
    hosting.commit("two")
    assert yard.tree(yard.build(dockerfile)).read_text("src/README") == "two"


@pytest.mark.parametrize(
    ("words", "problem"),
    [("{}#gone /x", "has no reference gone"), ("--checksum=ffff {} /x", "expected checksum to match ffff"),
     ("{}#main:none /x", "subdir none does not exist"), ("{}x /x", "failed to fetch")],
)  # fmt: skip
def test_what_cannot_be_fetched_is_said_with_its_line(yard: Yard, hosting: Hosting, words: str, problem: str) -> None:
    hosting.commit("one")
    with pytest.raises(InvalidFile, match="Dockerfile:2: ") as refused:
        yard.build(f"FROM scratch\nADD {words.format(hosting.url)}\n")
    assert problem in refused.value.message
    assert yard.leftovers() == []


def test_a_link_in_a_repository_leads_nowhere_on_the_machine(yard: Yard, hosting: Hosting) -> None:
    (hosting.tree / "shadow").symlink_to("/etc/shadow")
    (hosting.tree / "up").symlink_to("../../../../../../etc")
    hosting.commit("one")
    tree = yard.tree(yard.build(f"FROM scratch\nADD {hosting.url} /src\n"))
    entry = tree.find("src/shadow", follows=False)
    assert entry is not None and entry.is_link
    with pytest.raises(InvalidFile, match="does not exist"):
        yard.build(f"FROM scratch\nADD {hosting.url}#main:up /src\n")


class Website:
    """One file on a web server at this machine's own address, and what was asked for it."""

    def __init__(self) -> None:
        self.content, self.headers = b"one", {"ETag": '"1"'}
        self.answers: list[int] = []
        website = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = {"ETag": self.headers["If-None-Match"], "Last-Modified": self.headers["If-Modified-Since"]}
                is_known = any(asked[name] == value for name, value in website.headers.items())
                website.answers.append(304 if is_known else 200)
                self.send_response(website.answers[-1])
                for name, value in website.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if not is_known:
                    self.wfile.write(website.content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer((own_address(), 0), Page)
        self.url = f"http://{own_address()}:{self.server.server_port}/page"


@pytest.fixture
def website(monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    monkeypatch.setenv("no_proxy", "*")
    website = Website()
    thread = threading.Thread(target=website.server.serve_forever)
    thread.start()
    yield website
    website.server.shutdown()
    thread.join()
    website.server.server_close()


@pytest.mark.parametrize("headers", [{"ETag": 'W/"1"'}, {"Last-Modified": "Sun, 09 Sep 2001 01:46:40 GMT"}])
def test_a_file_is_fetched_again_only_when_the_server_says_that_it_changed(
    yard: Yard, website: Website, headers: dict[str, str]
) -> None:
    website.headers = headers
    add = f"FROM scratch\nADD {website.url} /page\n"
    first = yard.build(add)
    assert (yard.build(add).id, website.answers) == (first.id, [200, 304])
    website.content, website.headers = b"two", {name: value.replace("1", "2") for name, value in headers.items()}
    assert yard.tree(yard.build(add)).read_text("page") == "two"
    # another step has not got the file: it is fetched, and must be the one that the server spoke of
    assert yard.tree(yard.build(f"FROM scratch\nADD {website.url} /other\n")).read_text("other") == "two"
    assert website.answers == [200, 304, 200, 304, 200]
    website.content = b"changed behind its name"
    with pytest.raises(InvalidFile, match="digest mismatch"):
        yard.build(f"FROM scratch\nADD {website.url} /third\n")
    assert yard.tree(yard.build(f"FROM scratch\nADD {website.url} /third\n")).read_text("third") == "changed behind its name"
    website.answers.clear()
    yard.build(add, uses_cache=False)
    yard.build(add, app="another")
    assert website.answers == [200, 200]


def test_a_file_of_which_the_server_says_nothing_is_always_fetched(yard: Yard, website: Website) -> None:
    website.headers = {}
    for _ in range(2):
        yard.build(f"FROM scratch\nADD {website.url} /page\n")
    assert website.answers == [200, 200]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """A real ssh-agent with one key."""
    assert shutil.which("ssh-agent")
    path = tmp_path / "agent.sock"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 20
        while not path.is_socket() and time.monotonic() < until:
            time.sleep(0.02)
        subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-C", "the key", "-f", tmp_path / "key"], check=True)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        subprocess.run(["ssh-add", "-q", str(tmp_path / "key")], env=environment, check=True, capture_output=True)
        yield path
        process.terminate()


ASK_AGENT = """
use Socket; use IO::Socket::UNIX;
my $s = IO::Socket::UNIX->new(Peer => $ENV{SSH_AUTH_SOCK}) or die "no agent: $!";
print $s pack("NC", 1, 11); $s->flush; read($s, my $h, 5); my ($l, $t) = unpack("NC", $h); read($s, my $b, $l - 1);
print "$t ", unpack("N", $b), " ", ($b =~ /the key/ ? "the key" : "another"), "\\n";
"""


def test_a_step_may_ask_the_caller_s_agent_and_the_next_may_not(yard: Yard, agent: Path) -> None:
    image = yard.build(
        """
        FROM paas/stack:debian-12
        COPY ask.pl /
        RUN --mount=type=ssh perl /ask.pl > /said
        RUN --mount=type=ssh,id=other,uid=1000,mode=0666,target=/a perl /ask.pl > /other; ls -la /a | cut -d' ' -f1 > /mode
        RUN test -z "$SSH_AUTH_SOCK" && ! ls /run/buildkit
        """,
        {"ask.pl": ASK_AGENT}, agents={"default": agent, "other": agent},
    )  # fmt: skip
    tree = yard.tree(image)
    assert [tree.read_text(name) for name in ("said", "other", "mode")] == ["12 1 the key\n"] * 2 + ["srw-rw-rw-\n"]
    assert tree.find("run/buildkit") is None


def test_a_step_that_does_not_require_an_agent_runs_without_one(yard: Yard) -> None:
    image = yard.build("FROM debian:12\nRUN --mount=type=ssh echo \"<$SSH_AUTH_SOCK>\" > /said\n")
    assert yard.tree(image).read_text("said") == "<>\n"
