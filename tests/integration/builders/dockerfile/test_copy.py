"""COPY and ADD onto layers: owners, permissions, destinations, links, archives."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from paas.builders.dockerfile.accounts import find_owner
from paas.builders.dockerfile.context import open_context
from paas.builders.dockerfile.copy import CopyError, CopyOrder, destination_path, find_sources, parse_mode, perform_copy
from paas.builders.dockerfile.ignore import parse_ignore
from paas.builders.dockerfile.instructions import Copy
from paas.builders.dockerfile.parser import parse_dockerfile
from paas.builders.dockerfile.tree import LayeredTree
from paas.builders.dockerfile.writer import LayerWriter

pytestmark = pytest.mark.integration  # changes owners


class Build:
    """A context, a lower layer, and a new one that COPY writes to."""

    def __init__(self, root: Path) -> None:
        self.context, self.below, self.diff = root / "context", root / "below", root / "diff"
        for directory in (self.context, self.below, self.diff):
            directory.mkdir()
        self.write(self.below, {"etc/passwd": "app:x:1000:1001::/:\n", "etc/group": "web:x:33:\n"})

    def write(self, root: Path, files: dict[str, str], *, mode: int = 0o644) -> None:
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            (root / name).chmod(mode)

    def copy(self, line: str, *, workdir: str = "/", from_below: bool = False) -> None:
        copy = parse_dockerfile(f"FROM x\n{line}\n").instructions[1]
        assert isinstance(copy, Copy)
        tree = LayeredTree([self.below]) if from_below else open_context(self.context)
        owner = find_owner(copy.chown, LayeredTree([self.below])) if copy.chown else None if from_below else (0, 0)
        order = CopyOrder(
            copy=copy, sources=find_sources(copy, tree), destination=destination_path(workdir, copy.destination), owner=owner,
            excludes=parse_ignore(copy.excludes), is_immutable=from_below,
        )  # fmt: skip
        perform_copy(order, LayerWriter(self.diff, [self.below]))

    def listing(self) -> list[str]:
        found = (path for path in self.diff.rglob("*") if path.is_symlink() or not path.is_dir())
        return sorted(str(path.relative_to(self.diff)) for path in found)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY a /x", ["x"]),
        ("COPY a /x/", ["x/a"]),
        ("COPY a /etc", ["etc/a"]),
        ("COPY a b /x/", ["x/a", "x/b"]),
        ("COPY d /x", ["x/e/f", "x/g"]),
        ("COPY d /x/", ["x/e/f", "x/g"]),
        ("COPY d/e d/g /x/", ["x/f", "x/g"]),
        ("COPY . /x", ["x/a", "x/b", "x/d/e/f", "x/d/g"]),
        ("COPY [ab] /x/", ["x/a", "x/b"]),
        ("COPY a nothing* /x/", ["x/a"]),
        ("COPY ./a x", ["work/x"]),
        ("COPY a .", ["work/a"]),
        ("COPY a ../y", ["y"]),
        ("COPY ../../a /x", ["x"]),
        ("COPY --exclude=e --exclude=a . /x", ["x/b", "x/d/e/f", "x/d/g"]),
        ("COPY --exclude=**/f . /x", ["x/a", "x/b", "x/d/g"]),
        ("COPY --parents d/e /x/", ["x/d/e/f"]),
        ("COPY --parents ./d/./e/f /x/", ["x/e/f"]),
        ("COPY <<one <<two /x/\n1\none\n2\ntwo", ["x/one", "x/two"]),
        ("COPY <<one /x\n1\none", ["x"]),
    ],
)
def test_sources_land_where_docker_puts_them(build: Build, line: str, expected: list[str]) -> None:
    build.write(build.context, {"a": "A", "b": "B", "d/e/f": "F", "d/g": "G"})
    build.copy(line, workdir="/work")
    assert build.listing() == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("COPY gone /x", '"/gone": not found'),
        ("COPY a b /x", "must be a directory and end with a /"),
        ("COPY a /etc/passwd/x", "cannot copy to non-directory: /etc/passwd"),
        ("COPY d /etc/passwd", "cannot copy to non-directory: /etc/passwd"),
        ("COPY --chown=nobody a /x", "unable to find user nobody"),
        ("COPY --chown=app:none a /x", "unable to find group none"),
        ("COPY --chmod=rw a /x", "invalid chmod parameter"),
    ],
)
def test_what_cannot_be_copied_is_said(build: Build, line: str, problem: str) -> None:
    build.write(build.context, {"a": "A", "b": "B", "d/e": "E"})
    with pytest.raises(CopyError, match=problem):
        build.copy(line)


def test_a_file_does_not_replace_a_directory(build: Build) -> None:
    build.write(build.context, {"d/etc": "file"})
    with pytest.raises(CopyError, match="cannot overwrite directory with non-directory: /etc"):
        build.copy("COPY d /")


def test_files_of_the_context_belong_to_root_and_keep_permissions_and_times(build: Build) -> None:
    build.write(build.context, {"run.sh": "x"}, mode=0o750)
    os.chown(build.context / "run.sh", 1234, 1234)
    os.utime(build.context / "run.sh", (1_000_000_000, 1_000_000_000))
    build.copy("COPY run.sh /bin/")
    status = (build.diff / "bin/run.sh").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_mtime) == (0, 0, 0o750, 1_000_000_000)


def test_chown_and_chmod_apply_to_all_that_is_copied(build: Build) -> None:
    build.write(build.context, {"d/e/x": "x"})
    build.copy("COPY --chown=app:web --chmod=u=rwX,go= d /srv/d")
    found = {p: (build.diff / p).stat() for p in ("srv/d", "srv/d/e", "srv/d/e/x")}
    assert {p: (s.st_uid, s.st_gid, oct(stat.S_IMODE(s.st_mode))) for p, s in found.items()} == {
        "srv/d": (1000, 33, "0o755"), "srv/d/e": (1000, 33, "0o700"), "srv/d/e/x": (1000, 33, "0o600"),
    }  # fmt: skip


def test_files_of_another_stage_keep_their_owner(build: Build) -> None:
    os.chown(build.below / "etc/group", 5, 6)
    build.copy("COPY etc/group /g", from_below=True)
    assert ((build.diff / "g").stat().st_uid, (build.diff / "g").stat().st_gid) == (5, 6)


def test_unchanged_files_of_a_layer_are_linked_and_changed_ones_copied(build: Build) -> None:
    build.copy("COPY etc/group /same", from_below=True)
    build.copy("COPY --chmod=600 etc/group /other", from_below=True)
    original = (build.below / "etc/group").stat()
    assert (build.diff / "same").stat().st_ino == original.st_ino
    assert (build.diff / "other").stat().st_ino != original.st_ino
    assert stat.S_IMODE(original.st_mode) == 0o644


def test_a_directory_of_a_lower_layer_keeps_its_attributes(build: Build) -> None:
    build.write(build.below, {"srv/app/old": "x"})
    os.chown(build.below / "srv/app", 1000, 1000)
    (build.below / "srv/app").chmod(0o2775)
    build.write(build.context, {"new": "x"})
    build.copy("COPY new /srv/app/")
    status = (build.diff / "srv/app").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (1000, 0o2775)


def test_the_context_s_own_permissions_do_not_spread(build: Build) -> None:
    build.context.chmod(0o700)
    build.write(build.context, {"a": "x"})
    build.copy("COPY . /app")
    assert stat.S_IMODE((build.diff / "app").stat().st_mode) == 0o755


def test_a_destination_through_a_link_of_the_image_stays_in_the_image(build: Build, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (build.below / "lib").symlink_to("/usr/lib")
    (build.below / "evil").symlink_to(outside)
    build.write(build.context, {"a": "x"})
    build.copy("COPY a /lib/")
    build.copy("COPY a /evil/")
    assert set(build.listing()) == {str(outside)[1:] + "/a", "usr/lib/a"}
    assert list(outside.iterdir()) == []


def test_links_of_the_context_never_reach_the_host(build: Build) -> None:
    (build.context / "shadow").symlink_to("/etc/shadow")
    (build.context / "up").symlink_to("../../../../../../etc")
    with pytest.raises(CopyError, match="not found"):
        build.copy("COPY shadow /x")
    with pytest.raises(CopyError, match="not found"):
        build.copy("COPY up/shadow /x")
    build.copy("COPY . /all/")
    assert (build.diff / "all/shadow").is_symlink()


def test_a_link_named_as_source_is_followed_and_one_inside_a_directory_is_kept(build: Build) -> None:
    build.write(build.context, {"real/file": "content"})
    (build.context / "link").symlink_to("real/file")
    build.copy("COPY link /a")
    build.copy("COPY . /b/")
    assert (build.diff / "a").read_text() == "content"
    assert str((build.diff / "b/link").readlink()) == "real/file"


def tar_with(path: Path, members: dict[str, object], *, compression: str = "gz") -> None:
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.uid, member.gid, member.mode, member.mtime = 7, 8, 0o640, 1_000_000_000
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                assert isinstance(content, tuple)
                member.type, member.linkname = content
                archive.addfile(member)


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_add_unpacks_archives_with_their_owners_and_copy_does_not(build: Build, compression: str) -> None:
    tar_with(build.context / "x", {"d/f": b"1", "d/l": (tarfile.SYMTYPE, "f"), "h": (tarfile.LNKTYPE, "d/f")},
             compression=compression)
    build.copy("ADD x /in/")
    build.copy("COPY x /plain")
    assert build.listing() == ["in/d/f", "in/d/l", "in/h", "plain"]
    status = (build.diff / "in/d/f").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_mtime) == (7, 8, 0o640, 1e9)
    assert (build.diff / "in/h").stat().st_ino == status.st_ino


def test_an_archive_cannot_write_outside_the_image(build: Build, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tar_with(build.context / "x.tar.gz", {
        "../../up": b"1", "/absolute": b"2", "link": (tarfile.SYMTYPE, str(outside)), "link/x": b"3",
        "dev": (tarfile.CHRTYPE, ""),
    })  # fmt: skip
    build.copy("ADD x.tar.gz /in/")
    assert list(outside.iterdir()) == []
    assert build.listing() == ["in/absolute", "in/link", "in/up", str(outside)[1:] + "/x"]


def test_a_file_that_only_looks_like_an_archive_is_copied(build: Build) -> None:
    (build.context / "x.gz").write_bytes(b"\x1f\x8bnot really")
    build.copy("ADD x.gz /x/")
    assert build.listing() == ["x/x.gz"]


@pytest.mark.parametrize(
    ("text", "mode", "is_directory", "expected"),
    [
        ("0755", 0o600, False, 0o755), ("4755", 0, False, 0o4755), ("u+x", 0o644, False, 0o744),
        ("a-w", 0o666, False, 0o444), ("go=rX", 0o700, False, 0o755), ("go=rX", 0o600, False, 0o644),
        ("go=rX", 0o600, True, 0o655), ("+x", 0o644, False, 0o755), ("u=rw,go=r", 0o777, False, 0o644),
        ("u+s,+t", 0o755, False, 0o5755),
    ],
)  # fmt: skip
def test_modes_are_octal_or_symbolic(text: str, mode: int, is_directory: bool, expected: int) -> None:
    assert parse_mode(text, mode, is_directory=is_directory) == expected
