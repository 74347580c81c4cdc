"""Tars to overlayfs directories and back, on a real filesystem: devices, whiteouts, file capabilities."""

from __future__ import annotations

import ctypes
import gzip
import io
import os
import stat
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

from paas.errors import HostProblem, InvalidInput
from paas.oci.digest import Digest
from paas.oci.layer import pack_layer
from paas.oci.limits import Unpacked, UnpackLimits
from paas.oci.unpack import unpack_layer

pytestmark = pytest.mark.integration
CASES = tomllib.loads((Path(__file__).parents[2] / "data/oci/layers.toml").read_text())["case"]
#: cap_net_bind_service=ep as the kernel stores it (VFS_CAP_REVISION_2).
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
_TYPES = {"f": tarfile.REGTYPE, "d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE, "p": tarfile.FIFOTYPE}


def tar_of(members: list[list[str]]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for kind, name, *rest in members:
            member = tarfile.TarInfo(name)
            member.type = _TYPES.get(kind, tarfile.REGTYPE)
            member.mode = 0o755 if kind == "d" else 0o644
            content = b"\0" * int(rest[0]) if kind == "z" else rest[0].encode() if kind == "f" else b""
            member.size = len(content)
            member.linkname = rest[0] if kind in "lh" else ""
            tar.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


def unpack(stream: io.BytesIO, diff: Path, **options: Any) -> Unpacked:
    with tempfile.NamedTemporaryFile() as file:
        file.write(stream.getvalue())
        file.flush()
        return unpack_layer(Path(file.name), diff, **options)


def tree_of(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): describe(path) for path in sorted(directory.rglob("*"))}


def describe(path: Path) -> str:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return f"link: {path.readlink()}"
    if stat.S_ISDIR(found.st_mode):
        return "dir opaque" if "trusted.overlay.opaque" in os.listxattr(path) else "dir"
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
        return "whiteout"
    return "pipe" if stat.S_ISFIFO(found.st_mode) else f"file: {path.read_text()}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_layer_unpacks_to_this_tree_or_is_refused(case: dict[str, object], tmp_path: Path) -> None:
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    stream, limits = tar_of(case["members"]), UnpackLimits(max_bytes=1 << 20, max_files=8)  # type: ignore[arg-type]
    if refused := case.get("refused"):
        with pytest.raises(InvalidInput) as caught:
            unpack(stream, root, limits=limits)
        assert str(refused) in caught.value.message
    else:
        unpack(stream, root, limits=limits)
        assert tree_of(root) == case["tree"]
    assert [path for path in tmp_path.rglob("*") if root not in (path, *path.parents)] == [root.parent]


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A directory with everything that an overlay upper may hold."""
    root = tmp_path / "layer"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root")
    (root / "etc/hard").hardlink_to(root / "etc/passwd")
    (root / "etc/soft").symlink_to("/nowhere/else")
    (root / "etc/empty").touch()
    os.mknod(root / "etc/gone", stat.S_IFCHR, os.makedev(0, 0))
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(root / "pipe")
    (root / "new").mkdir(mode=0o1777)
    (root / "new").chmod(0o1777)
    os.setxattr(root / "new", "trusted.overlay.opaque", b"y")
    os.setxattr(root / "new", "trusted.overlay.origin", b"of this machine")
    (root / "sudo").write_text("x")
    os.chown(root / "sudo", 1000, 1001)
    (root / "sudo").chmod(0o4755)
    (root / "server").write_text("x")
    os.setxattr(root / "server", "security.capability", CAPABILITY)
    os.setxattr(root / "server", "user.note", bytes(range(256)))
    (root / os.fsdecode(b"latin-\xe9")).write_text("name")
    (root / ("long-" * 40)).write_text("name")
    os.utime(root / "etc/passwd", (1_600_000_000, 1_600_000_000))
    os.utime(root / "etc", (1_500_000_000, 1_500_000_000))
    os.utime(root / "etc/soft", (1_400_000_000, 1_400_000_000), follow_symlinks=False)
    return root


def facts_of(root: Path) -> dict[str, tuple[object, ...]]:
    found = {}
    for path in root.rglob("*"):
        at = path.lstat()
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}
        attributes.pop("trusted.overlay.origin", None)
        whiteout = stat.S_ISCHR(at.st_mode) and at.st_rdev == 0
        modified = 0 if whiteout else int(at.st_mtime)
        found[str(path.relative_to(root))] = (
            stat.S_IFMT(at.st_mode) if whiteout else at.st_mode,
            at.st_uid, at.st_gid, at.st_rdev, modified, at.st_nlink, attributes,
        )  # fmt: skip
    return found


def test_what_is_packed_unpacks_to_the_same(layer: Path, tmp_path: Path) -> None:
    stream, copy = io.BytesIO(), tmp_path / "copy"
    copy.mkdir()
    packed = pack_layer(layer, stream)
    assert (packed.diff_id, packed.size) == (Digest.of_bytes(stream.getvalue()), len(stream.getvalue()))
    stream.seek(0)
    unpack(stream, copy)
    assert facts_of(copy) == facts_of(layer)
    assert pack_layer(copy, io.BytesIO()).diff_id == packed.diff_id


def test_the_tar_has_the_whiteouts_of_the_spec(layer: Path) -> None:
    stream = io.BytesIO()
    pack_layer(layer, stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        members = {member.name: member for member in tar}
    assert members["etc/.wh.gone"].isreg() and members["etc/.wh.gone"].size == 0
    assert members["new/.wh..wh..opq"].isreg()
    assert not [name for name in members if name.endswith("/gone")]
    assert members["etc/passwd"].linkname == "etc/hard"
    assert set(members["new"].pax_headers) == set()
    attributes = {name for name in members["server"].pax_headers if name.startswith("SCHILY.xattr.")}
    assert attributes == {"SCHILY.xattr.security.capability", "SCHILY.xattr.user.note"}


def test_gnu_tar_reads_the_packed_layer(layer: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with (tmp_path / "layer.tar").open("wb") as stream:
        pack_layer(layer, stream)
    argv = ["tar", "--extract", "--xattrs", "--xattrs-include=*", "--file", "../layer.tar"]
    subprocess.run(argv, cwd=tmp_path / "copy", check=True)
    assert os.getxattr(tmp_path / "copy/server", "security.capability") == CAPABILITY
    assert (tmp_path / "copy/sudo").stat().st_mode & 0o7777 == 0o4755


def test_an_overlay_of_unpacked_layers_shows_what_the_spec_says(tmp_path: Path) -> None:
    lower = tar_of([["f", "a/old", "1"], ["f", "b/old", "1"], ["f", "c", "1"]])
    upper = tar_of([["f", "a/.wh..wh..opq", ""], ["f", "a/new", "2"], ["f", "b/new", "2"], ["f", ".wh.c", ""]])
    for name, stream in (("lower", lower), ("upper", upper)):
        (tmp_path / name).mkdir()
        unpack(stream, tmp_path / name)
    target = tmp_path / "merged"
    target.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"lowerdir={tmp_path / 'upper'}:{tmp_path / 'lower'}".encode()
    assert libc.mount(b"overlay", os.fsencode(target), b"overlay", 0, options) == 0, os.strerror(ctypes.get_errno())
    try:
        seen = sorted(str(path.relative_to(target)) for path in target.rglob("*"))
    finally:
        libc.umount2(os.fsencode(target), 2)
    assert seen == ["a", "a/new", "b", "b/new", "b/old"]


def test_attributes_of_this_machine_do_not_come_in(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a")
        member.type = tarfile.DIRTYPE
        names = ("trusted.overlay.redirect", "trusted.overlay.opaque", "security.selinux", "user.kept")
        member.pax_headers = {f"SCHILY.xattr.{name}": "/../etc" for name in names}
        tar.addfile(member)
    stream.seek(0)
    unpack(stream, tmp_path)
    assert os.listxattr(tmp_path / "a") == ["user.kept"]


def test_implied_directories_are_like_those_below(tmp_path: Path) -> None:
    lower, diff = tmp_path / "lower", tmp_path / "diff"
    (lower / "tmp").mkdir(parents=True)
    (lower / "tmp").chmod(0o1777)
    diff.mkdir()
    unpack(tar_of([["f", "tmp/file", ""], ["f", "new/file", ""]]), diff, lowers=[lower])
    assert [stat.S_IMODE((diff / name).stat().st_mode) for name in ("tmp", "new")] == [0o1777, 0o755]


def test_names_of_whiteouts_are_files_in_what_is_no_layer(tmp_path: Path) -> None:
    unpack(tar_of([["f", ".wh.file", "x"]]), tmp_path, has_whiteouts=False)
    assert tree_of(tmp_path) == {".wh.file": "file: x"}


@pytest.mark.parametrize("content", [b"no tar", gzip.compress(b"no tar"), b"\0" * 100, gzip.compress(b"x" * 4096)[:20]])
def test_what_is_no_tar_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        unpack(io.BytesIO(content), tmp_path)


def test_a_truncated_tar_is_refused(tmp_path: Path) -> None:
    whole = tar_of([["f", "a", "1"], ["z", "b", "100000"]]).getvalue()
    with pytest.raises(InvalidInput):
        unpack(io.BytesIO(whole[:5000]), tmp_path)


def test_a_gigantic_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 1 << 33
    with pytest.raises(InvalidInput, match="header of"):
        unpack(io.BytesIO(member.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10240), tmp_path)


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a")
        member.pax_headers = {"size": "-1024"}
        tar.addfile(member)
    stream.seek(0)
    with pytest.raises(InvalidInput):
        unpack(stream, tmp_path)


def test_a_compressed_bomb_is_stopped(tmp_path: Path) -> None:
    bomb = io.BytesIO(gzip.compress(tar_of([["z", "zeros", str(64 << 20)]]).getvalue()))
    with pytest.raises(InvalidInput, match="more than 16 MiB"):
        unpack(bomb, tmp_path, limits=UnpackLimits(max_bytes=16 << 20, max_files=8))
    assert not (tmp_path / "zeros").exists()


def test_a_directory_of_a_redirecting_overlay_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    os.setxattr(tmp_path / "moved", "trusted.overlay.redirect", b"/old")
    with pytest.raises(HostProblem, match="redirect_dir"):
        pack_layer(tmp_path, io.BytesIO())


def test_a_file_that_would_read_as_a_whiteout_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / ".wh.file").touch()
    with pytest.raises(HostProblem, match=r"\.wh\."):
        pack_layer(tmp_path, io.BytesIO())


@pytest.mark.parametrize("program", ["cat", "gzip"])
def test_members_of_every_kind_come_whole_wherever_a_chunk_ends(program: str, tmp_path: Path) -> None:
    tree, archive, out = tmp_path / "tree", tmp_path / "layer.tar", tmp_path / "out"
    out.mkdir()
    for number in range(600):
        file = tree / f"d{number % 7}" / (f"{number}-" + "n" * (110 if number % 5 == 0 else 10))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"{number} ".encode() * (number * 7 % 900))
        os.utime(file, ns=(number, number))
        if number % 3 == 0:
            file.with_name(f"link-{number}").symlink_to(file.name)
        if number % 11 == 0:
            os.link(file, file.with_name(f"name-{number}"))
    subprocess.run(f"tar -c --format=posix -C {tree} . | {program} > {archive}", shell=True, check=True)
    unpacked = unpack_layer(archive, out)
    assert subprocess.run(["diff", "-r", "--no-dereference", tree, out], capture_output=True, text=True).stdout == ""
    found = [(entry.relative_to(tree), entry.lstat()) for entry in sorted(tree.rglob("*"))]
    assert unpacked.files == len(found) + 1
    for name, before in found:
        after = (out / name).lstat()
        assert (name, after.st_mode, after.st_nlink, after.st_size) == (name, before.st_mode, before.st_nlink, before.st_size)
