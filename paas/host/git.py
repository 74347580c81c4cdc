"""Git repositories of apps: made, read and served as the user who owns them, never as root.

Every git process runs as the repository's owner, so root never parses what a stranger pushed, and git's check of the
directory's owner (safe.directory) has nothing to complain about. Not the meaning of a push: that is deploy/receive.
"""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from git import Git
from git.exc import GitCommandError

from paas.errors import CommandFailed, HostProblem, InvalidFile
from paas.host.files import remove_tree
from paas.host.run import find_tool, missing_tool, run
from paas.output import trace

#: Services of git's pack protocol, as clients name them (gitprotocol-pack(5)).
SERVICES = ("git-receive-pack", "git-upload-pack", "git-upload-archive")
#: The tree is exported whole: what the app's own .gitattributes would hide or rewrite belongs to release tarballs.
_ATTRIBUTES = "* -export-ignore -export-subst\n"
_GITLINK = "160000"
# fmt: off
_RECEIVE_OPTIONS = (
    "-c", "receive.denyNonFastForwards=false",
    "-c", "receive.denyDeletes=false",
    "-c", "receive.denyDeleteCurrent=ignore",
    "-c", "receive.shallowUpdate=false",        # git cannot, for branches that proc-receive moves (2.39: "BUG: connectivity")
    "-c", "receive.autogc=true",
    "-c", "receive.advertisePushOptions=true",  # git push -o cancel-on-disconnect
    "-c", "gc.pruneExpire=1.day.ago",
    "-c", "core.fsyncMethod=batch",
)
# fmt: on


#: Nobody's personal configuration, and no question to a terminal.
_ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "HOME": "/nonexistent"}


def ensure_repo(repo: Path, *, app: str, owner: str) -> None:
    """Make the app's bare repository, owned by the user `owner`, if it is not there. Raises HostProblem."""
    attributes = repo / "info" / "attributes"
    if attributes.exists():
        return  # written last: the repository is complete
    uid, gid = _ids(owner)
    for directory in (repo.parent, repo):
        if not directory.exists():
            directory.mkdir(mode=0o750, parents=True)
            _give(directory, uid, gid)
    _git(repo, "init", "--bare", "--quiet", "--template=", "--initial-branch=master", ".")
    _write_as_owner(repo, "description", f"{app}\n")
    _write_as_owner(repo, "info/attributes", _ATTRIBUTES)


def export_tree(repo: Path, revision: str, destination: Path) -> None:
    """Write the revision's whole tree into the new directory `destination`, modes and symlinks kept.

    Raises InvalidFile for submodules.
    """
    destination.mkdir(parents=True)
    argv = ["git", "-c", "tar.umask=0022", "archive", "--format=tar", _as_revision(revision)]
    archive = _execute(repo, argv, as_process=True)
    # GNU tar makes unsafe symlinks last and refuses '..', so a hostile tree stays inside the destination.
    unpack = ["tar", "--extract", "--no-same-owner", "--no-same-permissions", "--directory", str(destination)]
    try:
        try:
            run(unpack, stdin=archive.stdout.fileno())
        finally:
            archive.wait()  # when git failed, its words say more than tar's about an archive cut short
        _refuse_submodules(repo, revision, destination)
    except BaseException as exc:
        remove_tree(destination)
        if isinstance(exc, GitCommandError):
            raise _failed(exc) from exc
        raise


def _refuse_submodules(repo: Path, revision: str, tree: Path) -> None:
    """Raise InvalidFile if the tree links other repositories; an archive holds only empty directories for them."""
    modules = tree / ".gitmodules"
    if modules.is_symlink() or not modules.is_file():
        return
    entries = _git(repo, "ls-tree", "-r", "-z", revision).split("\0")
    links = [entry.partition("\t")[2] for entry in entries if entry.startswith(_GITLINK)]
    if links:
        raise InvalidFile(
            ".gitmodules", 0, f"git submodules are not supported: {', '.join(links)}",
            remedy=f"commit the files themselves, e.g. with: git rm --cached {links[0]} && git add {links[0]}",
        )  # fmt: skip


def resolve(repo: Path, name: str) -> str:
    """Return the commit that a branch, tag, abbreviation or HEAD names, or '' if there is none."""
    if not repo.exists() or not name or name.startswith("-"):
        return ""
    return _git(repo, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", ok=(0, 1, 128))


def subject(repo: Path, revision: str) -> str:
    """Return the first line of the commit's message."""
    return _git(repo, "log", "-1", "--format=%s", _as_revision(revision), "--")


def contains(repo: Path, revision: str, ancestor: str) -> bool:
    """Say whether the history of a revision holds a commit; any does when there is no such commit ('')."""
    if not ancestor:
        return True
    return _git_status(repo, "merge-base", "--is-ancestor", ancestor, _as_revision(revision)) == 0


def move_branch(repo: Path, ref: str, revision: str, *, expected: str) -> None:
    """Let a branch name another commit, if it is still where it is expected ('': not there). Raises CommandFailed."""
    _git(repo, "update-ref", "-m", "push", ref, _as_revision(revision), expected or "0" * len(revision))


def refs(repo: Path) -> dict[str, str]:
    """Return every ref with the object it names, e.g. refs/heads/master."""
    if not repo.exists():
        return {}
    lines = _git(repo, "for-each-ref", "--format=%(objectname) %(refname)").splitlines()
    return {name: commit for commit, name in (line.split(" ", 1) for line in lines)}


def head_branch(repo: Path) -> str:
    """Return the branch that a clone checks out, '' if the repository is not there. The branch may have no commit yet."""
    return _git(repo, "symbolic-ref", "--short", "HEAD") if repo.exists() else ""


def set_head(repo: Path, branch: str) -> None:
    """Let clones check out this branch."""
    if head_branch(repo) != branch:
        _git(repo, "symbolic-ref", "HEAD", f"refs/heads/{branch}")


def serve_pack(service: str, repo: Path, *, hooks: Path, env: Mapping[str, str]) -> NoReturn:
    """Become one of SERVICES on this process's stdin and stdout, as the repository's owner. Raises HostProblem.

    `hooks` is where proc-receive is found: outside the repository, so that its owner cannot change it. `env` is for the hooks.
    """
    program = find_tool("git")
    if program is None:
        raise missing_tool("git")
    options = receive_options(hooks) if service == "git-receive-pack" else ()
    argv = ["git", *options, service.removeprefix("git-"), str(repo)]
    trace(" ".join(argv))
    identity = _as_owner(repo)
    if identity:
        os.setgroups(identity["extra_groups"])
        os.setgid(identity["group"])
        os.setuid(identity["user"])
    os.chdir(repo)
    os.umask(0o027)
    os.execve(program, argv, {**_ENVIRONMENT, **env})


def receive_options(hooks: Path) -> tuple[str, ...]:
    """Return how git receives a push: branches are moved by the proc-receive hook where there is one."""
    moved_by_hook = ("-c", "receive.procReceiveRefs=refs/heads") if (hooks / "proc-receive").exists() else ()
    return (*_RECEIVE_OPTIONS, "-c", f"core.hooksPath={hooks}", *moved_by_hook)


def _git(repo: Path, *argv: str, ok: Sequence[int] = (0,)) -> str:
    status, out, err = _execute(repo, ["git", *argv], with_extended_output=True, with_exceptions=False)
    if status not in ok:
        raise CommandFailed(["git", *argv], status, str(err).splitlines())
    return str(out) if status == 0 else ""


def _git_status(repo: Path, *argv: str) -> int:
    status, _, _ = _execute(repo, ["git", *argv], with_extended_output=True, with_exceptions=False)
    return int(status)


def _execute(repo: Path, argv: list[str], **options: Any) -> Any:
    """Run git in the repository with the identity of its owner."""
    trace(" ".join(argv))
    git: Any = Git(repo)  # its overloads do not let options be passed through
    return git.execute(argv, env=_ENVIRONMENT, **options, **_as_owner(repo))


def _failed(exc: GitCommandError) -> CommandFailed:
    status = exc.status if isinstance(exc.status, int) else 1
    said = str(exc.stderr).strip().removeprefix("stderr: ").strip("'").splitlines()
    return CommandFailed(list(map(str, exc.command)), status, said)


def _as_revision(revision: str) -> str:
    if revision.startswith("-"):
        raise CommandFailed(["git", "rev-parse", revision], 128, ["a revision does not begin with '-'"])
    return revision


def _write_as_owner(repo: Path, name: str, text: str) -> None:
    """Write a file of the repository as the repository's owner: root would follow the links that the owner may have put there."""
    with tempfile.TemporaryFile() as content:
        content.write(text.encode())
        content.seek(0)
        try:
            _execute(repo, ["mkdir", "-p", str(Path(name).parent)])
            _execute(repo, ["tee", name], istream=content)
        except GitCommandError as exc:
            raise _failed(exc) from exc


def _as_owner(directory: Path) -> dict[str, Any]:
    """Return subprocess options that make root become the directory's owner; nothing for other users. Raises HostProblem."""
    if os.geteuid() != 0:
        return {}
    owner = directory.lstat()
    if stat.S_ISLNK(owner.st_mode) or owner.st_uid == 0:
        raise HostProblem(f"{directory} is no repository of the SSH user", remedy="see who put it there, then remove it")
    return {"extra_groups": [], "group": owner.st_gid, "user": owner.st_uid}


def _ids(user: str) -> tuple[int, int]:
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise HostProblem(f"There is no user '{user}' on this machine", remedy="run: vagrant/provision.sh") from None
    return found.pw_uid, found.pw_gid


def _give(path: Path, uid: int, gid: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, uid, gid, follow_symlinks=False)
