"""What COPY and ADD keep of files: names, holes, attributes, kinds; and how they merge with what is there."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from dockerfile_yard import Yard
from paas.builders.dockerfile.copy import CopyError, parse_mode
from paas.builders.dockerfile.unpack import ArchiveError, is_archive, unpack_archive
from paas.builders.dockerfile.writer import LayerWriter
from paas.errors import InvalidFile
from paas.oci.unpack import UnpackLimits

pytestmark = pytest.mark.integration

#: cap_net_bind_service+ep, as setcap writes it (struct vfs_cap_data, revision 2).
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def rich_tree(root: Path) -> None:
    """Make one file of each kind."""
    (root / "d").mkdir()
    (root / "d/one").write_text("1")
    os.link(root / "d/one", root / "d/two")
    os.setxattr(root / "d/one", "user.note", b"kept")
    (root / "d/able").write_text("x")
    os.setxattr(root / "d/able", "security.capability", CAPABILITY)
    with (root / "d/sparse").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"in the middle")
    os.mkfifo(root / "d/pipe")
    os.mknod(root / "d/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))


def assert_rich(root: Path) -> None:
    one, two, sparse, null = ((root / name).lstat() for name in ("one", "two", "sparse", "null"))
    assert one.st_ino == two.st_ino
    assert os.getxattr(root / "one", "user.note") == b"kept"
    assert os.getxattr(root / "able", "security.capability") == CAPABILITY
    assert (sparse.st_size, sparse.st_blocks * 512 < 2 << 20) == (64 << 20, True)
    assert (root / "sparse").read_bytes()[32 << 20 : (32 << 20) + 13] == b"in the middle"
    assert stat.S_ISFIFO((root / "pipe").lstat().st_mode)
    assert (stat.S_ISCHR(null.st_mode), null.st_rdev) == (True, os.makedev(1, 3))


def test_links_holes_attributes_and_devices_survive_copies_between_stages(yard: Yard, tmp_path: Path) -> None:
    rich_tree(tmp_path)
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch AS first\nCOPY d /d\nFROM scratch\nCOPY --from=first /d /same\nCOPY --from=first --chown=7 /d /other\n"
    )
    image = yard.build("", tree=tmp_path)
    same, other = (yard.store.layer_dir(layer) for layer in image.layers)
    assert_rich(same / "same")
    assert_rich(other / "other")
    assert (other / "other/one").stat().st_uid == 7


@pytest.mark.parametrize("compression", ["", "zstd"])
def test_an_archive_s_links_attributes_and_devices_arrive(tmp_path: Path, compression: str) -> None:
    rich_tree(tmp_path)
    subprocess.run(["tar", "--xattrs", "--xattrs-include=*", "--sparse", "--format=posix", "-cf", tmp_path / "a.tar", "-C",
                    tmp_path / "d", "."], check=True)  # fmt: skip
    archive = tmp_path / "a.tar"
    if compression:
        subprocess.run(["zstd", "--quiet", str(archive)], check=True)
        archive = tmp_path / "a.tar.zst"
    (tmp_path / "diff").mkdir()
    assert is_archive(str(archive))
    unpack_archive(str(archive), "in", LayerWriter(tmp_path / "diff", ()))
    assert_rich(tmp_path / "diff/in")


def bomb(path: Path, *, files: int = 0, size: int = 0) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for number in range(files):
            archive.addfile(tarfile.TarInfo(f"f{number}"))
        member = tarfile.TarInfo("large")
        member.size = size
        archive.addfile(member, io.BytesIO(bytes(size)))


@pytest.mark.parametrize(("files", "size", "problem"), [(60, 0, "more than 50 files"), (0, 3 << 20, "more than 2 MiB")])
def test_a_bomb_is_stopped_at_its_bounds(tmp_path: Path, files: int, size: int, problem: str) -> None:
    bomb(tmp_path / "bomb.tgz", files=files, size=size)
    (tmp_path / "diff").mkdir()
    writer = LayerWriter(tmp_path / "diff", ())
    with pytest.raises(ArchiveError, match=problem):
        unpack_archive(str(tmp_path / "bomb.tgz"), "in", writer, limits=UnpackLimits(max_bytes=2 << 20, max_files=50))


def test_an_archive_that_is_cut_off_is_refused_with_its_line(yard: Yard, tmp_path: Path) -> None:
    bomb(tmp_path / "cut.tgz", files=2000, size=1 << 20)
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "cut.tgz").read_bytes()[:-600])
    (tmp_path / "Dockerfile").write_text("FROM scratch\nADD cut.tgz /\n")
    with pytest.raises(InvalidFile, match="Dockerfile:2: cut.tgz is a damaged archive"):
        yard.build("", tree=tmp_path)
    assert yard.leftovers() == []


def test_directories_that_are_there_take_the_attributes_of_those_copied_onto_them(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "d/sub").mkdir(parents=True)
    (tmp_path / "d").chmod(0o700)
    (tmp_path / "d/sub").chmod(0o750)
    (tmp_path / "Dockerfile").write_text(
        "FROM debian:12\nRUN mkdir -p /t/sub && chmod 711 /t /t/sub\nCOPY --chown=5:6 d /t\nCOPY d /new\n"
    )
    tree = yard.tree(yard.build("", tree=tmp_path))
    found = {path: tree.find(path) for path in ("t", "t/sub", "new", "new/sub")}
    modes = {path: (oct(entry.mode), entry.status.st_uid) for path, entry in found.items() if entry is not None}
    assert modes == {"t": ("0o711", 0), "t/sub": ("0o750", 5), "new": ("0o755", 0), "new/sub": ("0o750", 0)}


def test_a_linked_copy_is_the_same_layer_on_any_base(yard: Yard) -> None:
    dockerfile = "FROM debian:12\nRUN echo {} > /base && mkdir /real && ln -s real /way\nCOPY --link a /way/a\nCMD [\"x\"]\n"
    first = yard.build(dockerfile.format(1), {"a": "A"})
    second = yard.build(dockerfile.format(2), {"a": "A"})
    assert first.layers[-1] == second.layers[-1]
    assert first.layers[-2] != second.layers[-2]
    assert sorted(path.name for path in yard.store.layer_dir(first.layers[-1]).iterdir()) == ["way"]
    assert yard.tree(second).read_text("way/a") == "A"


def test_parents_are_kept_for_what_a_pattern_finds_at_any_depth(yard: Yard) -> None:
    files = {"a/b/x.txt": "1", "a/y.txt": "2", "a/z.md": "3", "c/x.txt": "4"}
    image = yard.build("FROM scratch\nCOPY --parents a/**/*.txt /all/\nCOPY --parents ./a/./b/*.txt /some/\n", files)
    names = [entry.path for entry in yard.tree(image).walk("") if entry.is_file]
    assert names == ["all/a/b/x.txt", "all/a/y.txt", "some/b/x.txt"]


def test_a_working_directory_belongs_to_the_user(yard: Yard) -> None:
    image = yard.build(
        "FROM debian:12\nRUN useradd -u 1234 app\nUSER app\nWORKDIR /home/a/b\nUSER 55:66\nWORKDIR /n\nUSER root\nWORKDIR /r\n"
    )
    tree = yard.tree(image)
    found = [tree.find(path) for path in ("home/a", "home/a/b", "n", "r")]
    owners = [(e.status.st_uid, e.status.st_gid) for e in found if e is not None]
    assert owners == [(1234, 1234), (1234, 1234), (55, 66), (0, 0)]


def test_a_mode_beyond_the_permissions_is_refused() -> None:
    for text in ("77777", "8", "0o7"):
        with pytest.raises(CopyError, match="invalid chmod parameter"):
            parse_mode(text, 0)
