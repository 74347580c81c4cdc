"""The cases of tests/data/builds: what a Dockerfile and a context become. For the suite and for conformance_docker.py.

    Dockerfile     `# given: A=b` in it is a --build-arg, `# target: x` the target, `# secret: A=b` a secret, `# file: x`
                   where in the context it lies
    context/       files that git can hold; context.sh makes the others (sh -eu, in the context, umask 022, UTC)
    files          expected: what the image has and its base has not, one line each (see `listing`); `-` marks what is gone
    config.json    expected: the image configuration's `config`, without what is empty
    error          expected instead of both: our message
    docker         why Docker and BuildKit answer otherwise; `docker-engine`, `buildkit`: why only one of them does

PAAS_WRITE_EXPECTED=1 makes the suite rewrite the answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dockerfile_yard import Yard
from engine_ground import BUSYBOX
from paas.builders.dockerfile.tree import Entry, LayeredTree
from paas.errors import PaasError
from paas.oci.layer import is_portable_xattr, read_xattrs
from paas.oci.manifest import ImageConfig
from paas.oci.store import ImageStore

CASES = Path(__file__).parent / "data" / "builds"
BASE = "busybox"
BASE_CONFIG = ImageConfig(cmd=("sh",), env=(("PATH", "/bin"), ("FROM", "base")))
#: Later times are those of the build itself, and not compared; what a case sets is earlier.
_RECENT = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
_BASE_TIME = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
_PLAIN = re.compile(r"[\w.+@%:,=/-]+\Z", re.ASCII)
_KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe", stat.S_IFCHR: "char",
    stat.S_IFBLK: "block", stat.S_IFSOCK: "socket",
}  # fmt: skip
_SHOWN_BYTES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a build came to: a listing and a configuration, or an error."""

    files: str = ""
    config: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One directory of tests/data/builds."""

    directory: Path

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def dockerfile(self) -> str:
        return (self.directory / "Dockerfile").read_bytes().decode()

    @property
    def expected(self) -> Answer:
        return Answer(files=self._read("files"), config=self._read("config.json"), error=self._read("error"))

    def difference(self, engine: str) -> str:
        """Return why an engine answers something else; '' when it should not."""
        own = {"Docker": "docker-engine", "BuildKit": "buildkit"}[engine]
        return " ".join(f"{self._read('docker')} {self._read(own)}".split())

    @property
    def target(self) -> str:
        return next(iter(self.options("target")), "")

    @property
    def file(self) -> str:
        return next(iter(self.options("file")), "Dockerfile")

    def options(self, name: str) -> list[str]:
        """Return what the comments of that name say."""
        return re.findall(rf"^# {name}: (.+?)\r?$", self.dockerfile, re.M)

    def pairs(self, name: str) -> dict[str, str]:
        """Return those comments as names and values."""
        return dict(text.split("=", 1) for text in self.options(name))

    def make_context(self, root: Path) -> Path:
        """Make the context below `root` as the case wants it, whatever the umask of the checkout was."""
        tree = root / "context"
        if (self.directory / "context").is_dir():
            shutil.copytree(self.directory / "context", tree, symlinks=True)
        tree.mkdir(exist_ok=True)
        for path in (tree, *tree.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        if (self.directory / "context.sh").is_file():
            script = f"umask 022; . {self.directory / 'context.sh'}"
            subprocess.run(["sh", "-euc", script], cwd=tree, env={**os.environ, "TZ": "UTC"}, check=True)
        (tree / self.file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.directory / "Dockerfile", tree / self.file)
        return tree

    def write(self, answer: Answer) -> None:
        """Make this the expected answer."""
        for name, text in (("files", answer.files), ("config.json", answer.config), ("error", answer.error)):
            if text:
                (self.directory / name).write_text(text)
            else:
                (self.directory / name).unlink(missing_ok=True)

    def _read(self, name: str) -> str:
        file = self.directory / name
        return file.read_text() if file.is_file() else ""


def load_cases() -> list[Case]:
    """Return all cases, by name."""
    return [Case(directory=path) for path in sorted(CASES.iterdir())]


def build_ours(case: Case, yard: Yard, work: Path) -> Answer:
    """Build a case here."""
    tree = case.make_context(work)
    options = {"target": case.target, "build_args": case.pairs("given"), "secrets": case.pairs("secret"), "dockerfile": case.file}
    try:
        image = yard.build("", tree=tree, inherits=False, **options)
    except PaasError as exc:
        return Answer(error="\n".join((exc.message, *exc.output)) + "\n")
    base = yard.store.image(BASE).layers
    below = base if image.layers[: len(base)] == base else ()
    files = listing(yard.tree(image), _tree(yard.store, below))
    return Answer(files=files, config=config_text(image.config.runtime_object()))


def config_text(config: Mapping[str, object]) -> str:
    """Return an image's `config` as the cases write it: sorted, without what is empty."""
    return json.dumps({k: v for k, v in config.items() if v}, indent=1, sort_keys=True) + "\n"


def listing(tree: LayeredTree, base: LayeredTree) -> str:
    """Return what distinguishes a tree from its base, one line for each path.

    Path, kind, permissions, owner; then what the kind has: size and content (or its sha256), `-> ` a link's target, a
    device's numbers, `= ` the first of several names; a time that a case has set; extended attributes.
    """
    before, after = dict(_lines(base)), dict(_lines(tree))
    gone = (path for path in before if path not in after and _parent_stays(path, after))
    changed = [f"{shown(path)} {line}" for path, line in after.items() if before.get(path) != line]
    return "".join(f"{line}\n" for line in sorted([*changed, *(f"{shown(path)} -" for path in gone)]))


def shown(path: str) -> str:
    """Return a path as one word."""
    path = f"/{path}"
    return path if _PLAIN.match(path) else json.dumps(path)


def make_base(store: ImageStore) -> None:
    """Put the cases' base image into a store."""
    with store.new_layer() as layer:
        fill_base(layer.diff)
        layer.commit()
    store.create_image(BASE_CONFIG, [layer.id], reference=BASE)


def fill_base(root: Path) -> None:
    """Make the base image's files: busybox, some users, directories to change and remove."""
    for directory in ("bin", "etc", "root", "home/app", "dev", "proc", "sys", "data/sub/deep", "data/private", "tmp"):
        (root / directory).mkdir(parents=True)
    shutil.copyfile(BUSYBOX, root / "bin/busybox")
    for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    users = ("root:x:0:0::/root:/bin/sh", "app:x:1000:1000::/home/app:/bin/sh", "web:x:33:34::/:/bin/sh")
    (root / "etc/passwd").write_text("".join(f"{user}\n" for user in users))
    (root / "etc/group").write_text("root:x:0:\napp:x:1000:\nwww:x:34:\nextra:x:2000:app\nmore:x:2001:web,app\n")
    for name in ("one", "two", "sub/three", "sub/deep/four"):
        (root / "data" / name).write_text(f"{Path(name).name}\n")
    (root / "data/hard").hardlink_to(root / "data/one")
    (root / "link").symlink_to("data/sub")
    (root / "file-link").symlink_to("data/two")
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.name == "busybox" else 0o644)
        os.chown(path, 0, 0, follow_symlinks=False)
        os.utime(path, (_BASE_TIME, _BASE_TIME), follow_symlinks=False)
    (root / "tmp").chmod(0o1777)
    (root / "data/private").chmod(0o700)
    for name in ("home/app", "data/private"):
        os.chown(root / name, 1000, 1000)


def _tree(store: ImageStore, layers: Sequence[str]) -> LayeredTree:
    return LayeredTree([store.layer_dir(layer) for layer in reversed(layers)])


def _parent_stays(path: str, after: Mapping[str, str]) -> bool:
    parent = path.rpartition("/")[0]
    return not parent or after.get(parent, "").startswith("dir")


def _lines(tree: LayeredTree) -> Iterator[tuple[str, str]]:
    """Yield path and description of everything in a tree."""
    first: dict[tuple[str, int], str] = {}
    for entry in tree.walk(""):
        yield entry.path, " ".join(_words(entry, first, entry.real.removesuffix(entry.path)))


def _words(entry: Entry, first: dict[tuple[str, int], str], layer: str) -> Iterator[str]:
    status = entry.status
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    yield f"{kind} {entry.mode:04o} {status.st_uid}:{status.st_gid}"
    if entry.is_link:
        yield f"-> {json.dumps(entry.link_target)}"
    elif kind in ("char", "block"):
        yield f"{os.major(status.st_rdev)},{os.minor(status.st_rdev)}"
    elif kind == "file":
        yield _content(Path(entry.real).read_bytes())
        original = first.setdefault((layer, status.st_ino), entry.path)
        if original != entry.path:
            yield f"= {shown(original)}"
    if status.st_mtime < _RECENT:
        yield datetime.fromtimestamp(int(status.st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, value in sorted(read_xattrs(entry.real).items()):
        if is_portable_xattr(name):
            yield f"{name}={value.hex()}"


def _content(content: bytes) -> str:
    if len(content) <= _SHOWN_BYTES:
        with contextlib.suppress(UnicodeDecodeError):
            return json.dumps(content.decode())
    return f"{len(content)} sha256:{hashlib.sha256(content).hexdigest()}"
