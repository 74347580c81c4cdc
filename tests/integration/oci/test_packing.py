"""Properties of packing: whatever tree a layer is, its tar makes the same tree again, and the same tree the same tar."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paas.errors import InvalidInput
from paas.oci.layer import OPAQUE_XATTR, PackedLayer, pack_layer
from paas.oci.unpack import unpack_layer

pytestmark = pytest.mark.integration
_WHITEOUT = stat.S_IFCHR
#: Any bytes that a file name may have, but for what means a deletion in a layer.
names = st.binary(min_size=1, max_size=40).filter(
    lambda n: not {0, 0x2F} & set(n) and n not in (b".", b"..") and not n.startswith(b".wh.")
)
owners = st.integers(0, 2**31 - 2)
times = st.integers(-(2**31), 2**33)
modes = st.integers(0, 0o7777)
xattrs = st.dictionaries(st.from_regex(r"user\.[a-z]{1,10}", fullmatch=True), st.binary(max_size=100), max_size=2)


@dataclass(frozen=True, slots=True)
class Node:
    """A file of a tree. `kind` is one of stat's types; `content` what it holds, points to or links to."""

    kind: int
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    content: bytes = b""
    xattrs: dict[str, bytes] = field(default_factory=dict)
    is_opaque: bool = False
    children: dict[bytes, Node] = field(default_factory=dict)


def _nodes(kind: int, **parts: st.SearchStrategy[object]) -> st.SearchStrategy[Node]:
    return st.builds(Node, kind=st.just(kind), uid=owners, gid=owners, mtime=times, **parts)


plain_files = _nodes(stat.S_IFREG, mode=modes, content=st.binary(max_size=3000), xattrs=xattrs)
links = _nodes(stat.S_IFLNK, content=st.binary(min_size=1, max_size=120).filter(lambda c: 0 not in c))
pipes = _nodes(stat.S_IFIFO, mode=modes)
#: A tar begins with its first file's name: one that looks like a compressed file's beginning must not be taken for one.
names = names | st.sampled_from([b"BZh9", b"\x1f\x8b\x08", b"\xfd7zXZ"])
whiteouts = st.just(Node(kind=_WHITEOUT))
directories = st.recursive(
    st.one_of(plain_files, links, pipes, whiteouts),
    lambda inner: _nodes(
        stat.S_IFDIR, mode=modes, xattrs=xattrs, is_opaque=st.booleans(), children=st.dictionaries(names, inner, max_size=4)
    ),
    max_leaves=12,
)
trees = st.dictionaries(names, directories, max_size=4)


def make(tree: dict[bytes, Node], directory: bytes) -> None:
    """Write a tree; directories get their attributes when they are full."""
    for name, node in tree.items():
        path = directory + b"/" + name
        if node.kind == _WHITEOUT:
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
            continue
        if node.kind == stat.S_IFDIR:
            Path(os.fsdecode(path)).mkdir()
            make(node.children, path)
        elif node.kind == stat.S_IFREG:
            Path(os.fsdecode(path)).write_bytes(node.content)
        elif node.kind == stat.S_IFLNK:
            Path(os.fsdecode(path)).symlink_to(os.fsdecode(node.content))
        else:
            os.mkfifo(path)
        finish(path, node)


def finish(path: bytes, node: Node) -> None:
    os.chown(path, node.uid, node.gid, follow_symlinks=False)
    for name, value in node.xattrs.items():
        os.setxattr(path, name, value)
    if node.is_opaque:
        os.setxattr(path, OPAQUE_XATTR, b"y")
    if node.kind != stat.S_IFLNK:
        Path(os.fsdecode(path)).chmod(node.mode)
    os.utime(path, ns=(0, node.mtime * 1_000_000_000), follow_symlinks=False)


def facts_of(directory: str) -> dict[str, tuple[object, ...]]:
    """Return all that a layer says of each file."""
    found = {}
    for parent, directories_here, files in os.walk(directory):
        for name in (*directories_here, *files):
            path = f"{parent}/{name}"
            at = os.lstat(path)
            is_whiteout = stat.S_ISCHR(at.st_mode) and at.st_rdev == 0
            attributes = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
            content: object = Path(path).readlink() if stat.S_ISLNK(at.st_mode) else b""
            if stat.S_ISREG(at.st_mode):
                content = Path(path).read_bytes()
            kind = "whiteout" if is_whiteout else (at.st_mode, at.st_uid, at.st_gid, int(at.st_mtime), at.st_rdev)
            found[path.removeprefix(directory)] = (kind, content, attributes, at.st_nlink if not directories_here else 0)
    return found


def pack(directory: Path, target: Path, *, newest: float | None = None) -> PackedLayer:
    with target.open("wb") as stream:
        return pack_layer(directory, stream, newest=newest)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(tree=trees)
def test_a_tree_comes_back_as_it_was_and_has_one_digest(tree: dict[bytes, Node]) -> None:
    base = Path(tempfile.mkdtemp(prefix="ptl"))
    try:
        for name in ("made", "again", "back"):
            (base / name).mkdir()
        make(tree, bytes(base / "made"))
        make(dict(reversed(tree.items())), bytes(base / "again"))
        packed = pack(base / "made", base / "tar")
        assert pack(base / "again", base / "again.tar") == packed, "the same tree, made in another order"
        unpacked = unpack_layer(base / "tar", base / "back")
        assert unpacked.diff_id == packed.diff_id
        assert facts_of(str(base / "back")) == facts_of(str(base / "made"))
        assert pack(base / "back", base / "back.tar") == packed
    finally:
        shutil.rmtree(base)


@settings(max_examples=20, deadline=None)
@given(tree=trees, epoch=st.integers(0, 2**31))
def test_no_time_in_a_tar_is_later_than_the_epoch(tree: dict[bytes, Node], epoch: int) -> None:
    base = Path(tempfile.mkdtemp(prefix="ptl"))
    try:
        for name in ("made", "back"):
            (base / name).mkdir()
        make(tree, bytes(base / "made"))
        pack(base / "made", base / "tar", newest=epoch)
        unpack_layer(base / "tar", base / "back")
        made, back = facts_of(str(base / "made")), facts_of(str(base / "back"))
        for path, (kind, *rest) in made.items():
            if isinstance(kind, tuple):
                made[path] = ((*kind[:3], min(kind[3], epoch), kind[4]), *rest)
        assert back == made
    finally:
        shutil.rmtree(base)


@settings(max_examples=30, deadline=None)
@given(content=st.binary(max_size=2000), cut=st.integers(0, 2000))
def test_any_bytes_are_a_layer_or_refused(content: bytes, cut: int) -> None:
    """Random bytes, and random bytes behind a good beginning: an error of ours, or files below the root, never anything else."""
    base = Path(tempfile.mkdtemp(prefix="ptl"))
    try:
        for name in ("made", "back"):
            (base / name).mkdir()
        (base / "made" / "file").write_bytes(b"x" * 700)
        stream = io.BytesIO()
        pack_layer(base / "made", stream)
        (base / "tar").write_bytes(stream.getvalue()[:cut] + content)
        with contextlib.suppress(InvalidInput):
            unpack_layer(base / "tar", base / "back")
        assert sorted(path.name for path in base.iterdir()) == ["back", "made", "tar"]
    finally:
        shutil.rmtree(base)
