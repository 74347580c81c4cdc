"""ADD from a git repository: `https://host/repo.git#ref:subdir`, `git@host:repo`, `ssh://`, `git://`.

Git runs as nobody, without configuration, hooks or a terminal: what it fetches comes from strangers. It may use the SSH agent
that was given to the build, no other key.

Source: Dockerfile reference, "Adding files from a Git repository"; git-fetch(1), git(1) on GIT_ALLOW_PROTOCOL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from paas.builders.dockerfile.copy import CopyError
from paas.errors import CommandFailed
from paas.host.files import remove_tree
from paas.host.run import run

NOBODY = 65534
_TIMEOUT_S = 600
_SCP = re.compile(r"(?:[\w.-]+@)[\w.-]+:(?!//)[^#]+")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_REF = re.compile(r"(?!-)[\w./@+-]+\Z")
_SSH = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={}/known_hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """What an ADD source says about a repository; '' is the default branch and the whole tree."""

    url: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keeps_git_dir: bool = False

    @property
    def host(self) -> str:
        """Return the host that is asked."""
        return (urlsplit(self.url).hostname or "") if "://" in self.url else self.url.partition("@")[2].partition(":")[0]


def parse_git_source(source: str) -> GitSource | None:
    """Return the repository that an ADD source names, None when it names none. Raises CopyError."""
    plain, _, fragment = source.partition("#")
    url, _, query = plain.partition("?")
    is_web = url.startswith(("http://", "https://"))
    if not (url.startswith(("git://", "ssh://")) or _SCP.fullmatch(url) or (is_web and url.rstrip("/").endswith(".git"))):
        return None
    ref, _, subdir = fragment.partition(":")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    unknown = asked.keys() - {"ref", "branch", "tag", "subdir", "checksum", "commit", "keep-git-dir"}
    if unknown:
        raise CopyError(f"unexpected query '{min(unknown)}' in {source}")
    ref = ref or asked.get("ref") or asked.get("branch") or asked.get("tag") or ""
    if ref and not _REF.match(ref):
        raise CopyError(f"invalid git reference '{ref}' in {source}")
    return GitSource(
        url=url, ref=ref, subdir=(subdir or asked.get("subdir", "")).strip("/"),
        checksum=asked.get("checksum") or asked.get("commit") or "",
        keeps_git_dir=asked.get("keep-git-dir", "false") not in ("false", "0"),
    )  # fmt: skip


def find_commit(source: GitSource, scratch: Path, *, agent: Path | None) -> str:
    """Return the commit that the source means now. Raises CopyError."""
    if _COMMIT.match(source.ref):
        return source.ref
    said = _git(["ls-remote", "--", source.url], source, scratch, agent)
    commits = {name: commit for commit, _, name in (line.partition("\t") for line in said.splitlines())}
    names = [source.ref, f"refs/tags/{source.ref}^{{}}", f"refs/tags/{source.ref}", f"refs/heads/{source.ref}"]
    found = next((commits[name] for name in names if name in commits), "") if source.ref else commits.get("HEAD", "")
    if not found:
        raise CopyError(f"{source.url} has no reference {source.ref or 'HEAD'}")
    return found


def fetch_commit(source: GitSource, commit: str, scratch: Path, *, agent: Path | None) -> Path:
    """Check the commit out below `scratch`, submodules too; return the wanted directory. Raises CopyError."""
    tree = scratch / "tree"
    tree.mkdir()
    os.chown(tree, NOBODY, NOBODY)
    inside = ["-C", str(tree)]
    _git([*inside, "init", "--quiet", "--template="], source, scratch, agent)
    _git([*inside, "remote", "add", "origin", "--", source.url], source, scratch, agent)
    try:
        _git([*inside, "fetch", "--quiet", "--depth=1", "origin", commit], source, scratch, agent)
    except CopyError:  # an old server gives out only what a reference names
        _git([*inside, "fetch", "--quiet", "--tags", "origin"], source, scratch, agent)
    _git([*inside, "checkout", "--quiet", "--detach", commit], source, scratch, agent)
    _git([*inside, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"], source, scratch, agent)
    when = int(_git([*inside, "log", "-1", "--format=%ct"], source, scratch, agent))
    if not source.keeps_git_dir:
        for found in sorted(tree.rglob(".git")):
            remove_tree(found)
    _date(tree, when)
    return tree


def check_commit(source: GitSource, commit: str) -> None:
    """Raise CopyError unless the commit begins with the checksum that was asked for."""
    if source.checksum and not commit.startswith(source.checksum.lower()):
        raise CopyError(f"expected checksum to match {source.checksum}, got {commit}")


def _date(tree: Path, when: int) -> None:
    """Give all files the commit's time: the same commit is the same layer."""
    for parent, names, files in os.walk(tree, topdown=False):
        for name in (*names, *files):
            os.utime(f"{parent}/{name}", (when, when), follow_symlinks=False)
    os.utime(tree, (when, when))


def _git(words: Sequence[str], source: GitSource, scratch: Path, agent: Path | None) -> str:
    os.chown(scratch, NOBODY, NOBODY)
    # fmt: off
    argv = [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "--",
        "git", "-c", "core.hooksPath=/dev/null",
        "-c", "http.followRedirects=false",      # the address that was checked is the one that is asked
        "-c", "advice.detachedHead=false",
        *words,
    ]
    # fmt: on
    try:
        return run(argv, env=_environment(scratch, agent), cwd=scratch, timeout_s=_TIMEOUT_S)
    except CommandFailed as exc:
        said = exc.output[-1] if exc.output else exc.message
        raise CopyError(f"failed to fetch {source.url}: {said}") from exc


def _environment(scratch: Path, agent: Path | None) -> Mapping[str, str]:
    kept = {k: v for k, v in os.environ.items() if k.lower() in ("http_proxy", "https_proxy", "no_proxy", "all_proxy")}
    return {
        **kept, "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(scratch), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "http:https:ssh:git",
        "GIT_SSH_COMMAND": _SSH.format(scratch), **({"SSH_AUTH_SOCK": str(agent)} if agent is not None else {}),
    }  # fmt: skip
