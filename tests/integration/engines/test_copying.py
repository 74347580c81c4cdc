"""Files into containers and out of them: running and stopped, with volumes, and never through a link that leads out."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine_ground import EngineGround
from paas.errors import Conflict, InvalidInput, NotFound, PaasError
from paas.model.container import ContainerSpec, Mount

pytestmark = pytest.mark.integration
SLEEP = ("sleep", "600")


@pytest.fixture(params=["running", "stopped", "created"])
def container(request: pytest.FixtureRequest, ground: EngineGround) -> str:
    """Return a container with a volume at /data and one at a place that the image does not have."""
    mounts = (Mount(target="/data", volume=f"data-{request.param}"), Mount(target="/deep/volume", is_anonymous=True))
    made = ground.engine.create(ContainerSpec(
        image="busybox", argv=SLEEP, tenant=ground.tenant(7), mounts=mounts, stop_timeout_s=0
    ))  # fmt: skip
    if request.param != "created":
        ground.engine.start(made.id)
    if request.param == "stopped":
        ground.engine.stop(made.id)
    return made.id


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.txt").write_text("hello")
    (tree / "a.txt").chmod(0o4751)
    (tree / "sub" / "b").write_bytes(b"x" * 300_000)
    (tree / "sub" / "link").symlink_to("/etc/passwd")
    os.link(tree / "a.txt", tree / "again")
    os.chown(tree / "sub", 1234, 4321)
    return tree


def piped(work: Callable[[int], object], content: bytes | None = None) -> bytes:
    """Call `work` with a file to read from (content) or to write to; return what is in it."""
    with os.fdopen(os.memfd_create("tar"), "w+b", buffering=0) as stream:
        stream.write(content or b"")
        stream.seek(0)
        work(stream.fileno())
        stream.seek(0)
        return stream.read()


def inside(ground: EngineGround, container: str, path: str) -> dict[str, tarfile.TarInfo]:
    """Return what is at a path of a container, by name."""
    content = piped(lambda descriptor: ground.engine.copy_out(container, path, descriptor))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name: member for member in tar}


def test_a_tree_goes_in_as_roots_and_comes_back(ground: EngineGround, container: str, tree: Path, tmp_path: Path) -> None:
    engine = ground.engine
    for path in ("/tmp", "/data", "deep/volume/"):
        assert engine.copy_in(container, str(tree), path) == 300_005
        found = inside(ground, container, f"{path.rstrip('/')}/tree")
        assert sorted(found) == ["tree", "tree/a.txt", "tree/again", "tree/sub", "tree/sub/b", "tree/sub/link"]
        assert {(member.uid, member.gid) for member in found.values()} == {(0, 0)}
        assert (found["tree/a.txt"].mode, found["tree/again"].type) == (0o4751, tarfile.LNKTYPE)
        assert found["tree/sub/link"].linkname == "/etc/passwd"
    engine.copy_in(container, f"{tree}/.", "/tmp/fresh", keeps_owners=True)
    found = inside(ground, container, "/tmp/fresh/.")
    assert (found["./sub"].uid, found["./sub"].gid, found["./sub/b"].size) == (1234, 4321, 300_000)
    back = tmp_path / "back"
    assert engine.copy_out(container, "/tmp/fresh", str(back), keeps_owners=True) == 300_005
    assert subprocess.run(["diff", "-r", "--no-dereference", tree, back], capture_output=True, text=True).stdout == ""
    assert ((back / "sub").stat().st_uid, (back / "a.txt").stat().st_mode & 0o7777) == (1234, 0o4751)
    engine.copy_out(container, "/tmp/fresh/.", str(back))
    assert (back / "sub").stat().st_uid == 0
    engine.copy_out(container, "/tmp/fresh/sub/b", str(back))
    engine.copy_out(container, "/tmp/fresh/sub/b", str(back / "c"))
    assert (back / "b").read_bytes() == (back / "c").read_bytes() == b"x" * 300_000
    engine.start(container)  # nothing is left that keeps it from that
    assert engine.exec(container, ("sh", "-c", "test -u /data/tree/a.txt && test -f /deep/volume/tree/sub/b")) == 0


@pytest.mark.parametrize("program", ["cat", "gzip", "zstd"])
def test_a_tar_goes_in_whatever_it_is_compressed_with(
    program: str, ground: EngineGround, container: str, tree: Path
) -> None:
    mode = inside(ground, container, "/tmp")["tmp"].mode
    made = subprocess.run(f"tar -c -C {tree} . | {program} -c" if program != "cat" else f"tar -c -C {tree} .", shell=True,
                          check=True, capture_output=True).stdout
    piped(lambda descriptor: ground.engine.copy_in(container, descriptor, "/tmp"), made)
    found = inside(ground, container, "/tmp")
    assert (found["tmp"].mode, found["tmp/sub"].uid, found["tmp/sub/b"].size) == (mode, 1234, 300_000)
    for path, problem in (("/tmp/a.txt", "There is no directory"), ("/nowhere", "There is no directory")):
        with pytest.raises(InvalidInput, match=problem):
            piped(lambda descriptor, path=path: ground.engine.copy_in(container, descriptor, path), made)  # type: ignore[misc]
    with pytest.raises(InvalidInput, match=r"damaged|cut|unexpected"):
        piped(lambda descriptor: ground.engine.copy_in(container, descriptor, "/tmp"), made[: len(made) // 2])


def test_links_in_a_container_lead_nowhere_else(ground: EngineGround, container: str, tree: Path, tmp_path: Path) -> None:
    engine = ground.engine
    traps, outside = tmp_path / "traps", tmp_path / "outside"
    traps.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("of the machine")
    for name, leads_to in (("absolute", outside), ("climbing", f"../../../../../..{outside}"), ("file", outside / "secret")):
        (traps / name).symlink_to(leads_to)
    engine.copy_in(container, str(traps), "/tmp")
    for name in ("absolute", "climbing"):
        with pytest.raises(PaasError):
            engine.copy_in(container, f"{tree}/a.txt", f"/tmp/traps/{name}/a.txt")
        with pytest.raises(InvalidInput, match="There is no"):
            engine.copy_out(container, f"/tmp/traps/{name}/secret", str(tmp_path / "stolen"))
    with pytest.raises(InvalidInput, match="There is no"):
        engine.copy_out(container, "/tmp/traps/file", str(tmp_path / "stolen"), follows_link=True)
    engine.copy_out(container, "/tmp/traps/file", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "stolen").exists()
    assert sorted(outside.iterdir()) == [outside / "secret"]
    # a link inside is followed inside, also by what a tar puts below it
    (traps / "inner").symlink_to("/data")
    engine.copy_in(container, f"{traps}/inner", "/tmp")
    engine.copy_in(container, f"{tree}/a.txt", "/tmp/inner")
    engine.copy_in(container, f"{tree}/a.txt", "/tmp/inner/copied")
    assert {"data/a.txt", "data/copied"} <= inside(ground, container, "/data").keys()
    with pytest.raises(InvalidInput, match=r"leads out"):
        member = tarfile.TarInfo("../../escaped")
        piped(lambda descriptor: engine.copy_in(container, descriptor, "/tmp"), member.tobuf() + bytes(1024))


def test_what_does_not_fit_is_said_and_changes_nothing(ground: EngineGround, container: str, tree: Path, tmp_path: Path) -> None:
    engine = ground.engine
    engine.copy_in(container, str(tree), "/tmp")
    for source, destination in (
        (f"{tree}/a.txt", "/tmp/tree/sub/"), (f"{tree}/a.txt", "/tmp/no/such/file"), (f"{tree}/a.txt", "/tmp/new/"),
        (str(tree), "/tmp/tree/a.txt"), (f"{tree}/a.txt/", "/tmp"), (f"{tree}/nothing", "/tmp"),
    ):  # fmt: skip
        if destination == "/tmp/tree/sub/":
            engine.copy_in(container, source, destination)
            continue
        with pytest.raises(InvalidInput):
            engine.copy_in(container, source, destination)
    (tree / "b").mkdir()
    with pytest.raises(InvalidInput, match="in one place"):
        engine.copy_in(container, f"{tree}/b", "/tmp/tree/sub")
    with pytest.raises(InvalidInput, match="There is no directory"):
        engine.copy_out(container, "/tmp/tree/a.txt", str(tmp_path / "no/such"))
    with pytest.raises(NotFound):
        engine.copy_out("no-such-container", "/tmp", str(tmp_path))
    assert sorted(inside(ground, container, "/tmp/tree/sub")) == ["sub", "sub/a.txt", "sub/b", "sub/link"]


def test_what_is_read_only_stays_so(ground: EngineGround, tree: Path) -> None:
    engine = ground.engine
    mounts = (Mount(target="/fixed", volume="fixed", is_read_only=True), Mount(target="/free", volume="free"))
    made = engine.create(ContainerSpec(
        image="busybox", argv=SLEEP, tenant=ground.tenant(7), mounts=mounts, is_read_only=True, stop_timeout_s=0
    ))  # fmt: skip
    with pytest.raises(Conflict, match="read-only"):
        engine.copy_in(made.id, str(tree), "/tmp")
    engine.start(made.id)
    for path in ("/tmp", "/fixed"):
        with pytest.raises(PaasError, match=f"{path}/tree: Read-only"):
            engine.copy_in(made.id, str(tree), path)
    engine.copy_in(made.id, str(tree), "/free")
    assert "free/tree/a.txt" in inside(ground, made.id, "/free")
