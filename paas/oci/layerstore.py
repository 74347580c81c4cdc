"""LayerStore: unpacked layers on this machine. The lower half of store.py's ImageStore; names no images.

    layers/<layer id>/diff/        the files, with the ids the container sees and overlayfs's own whiteouts
    layers/<layer id>/layer.json   when it was made, and its content key's hash
    links/<8 characters>           -> ../layers/<layer id>/diff, because overlay's mount options must fit one page
    keys/<sha256 of content key>   -> ../layers/<layer id>, the step cache of builders; its mtime is the last use
    facts/<layer id>.<name>        what was computed once about a layer: a layer never changes
    pending/<layer id>/            a layer being made, locked by its maker; or one on its way out
    holds/<random>                 since when a build is running, and layers that it uses; locked by the build

A layer appears by one rename, so a process may die at any line, and no reader takes a lock. What a dead one left has no lock:
`leftovers` finds it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.errors import NotFound
from paas.host.files import disk_problem, remove_tree
from paas.oci.claims import claimed_directory, claimed_file, is_abandoned
from paas.oci.leftovers import LINK_LENGTH, Leftover, entries, find_leftovers

ID_LENGTH = 32
#: What a layer without any files takes: its directories.
_OWN_BYTES = 2 * 4096
_DIRECTORIES = ("layers", "links", "keys", "facts", "images", "tags", "transfers", "pending", "holds")


@dataclass(slots=True, kw_only=True)
class PendingLayer:
    """A layer being made: fill `diff`, then `commit`."""

    id: str
    diff: Path
    is_committed: bool = False
    _publish: Callable[[str, str, bool], str]

    def commit(self, content_key: str = "", *, is_reproducible: bool = False) -> str:
        """Put it into the store and return its layer id; `find_layer(content_key)` finds it from now on.

        One that `is_reproducible` is always called after its key: a second one like it is discarded, the first returned.
        """
        self.id = self._publish(self.id, content_key, is_reproducible)
        self.is_committed = True
        return self.id


class LayerStore:
    """The layers under one directory. Any number of processes may use it at the same time."""

    def __init__(self, root: Path, *, now: Callable[[], float] = time.time) -> None:
        self.root = root
        self._now = now
        self._layers, self._links, self._keys = root / "layers", root / "links", root / "keys"
        self._facts, self._pending, self._holds = root / "facts", root / "pending", root / "holds"

    def layer_dir(self, layer_id: str) -> Path:
        """Return the directory with the layer's files."""
        return self._layers / layer_id / "diff"

    def layer_link(self, layer_id: str) -> Path:
        """Return the short link to the layer's files, for mount options."""
        return self._links / layer_id[:LINK_LENGTH]

    def has_layer(self, layer_id: str) -> bool:
        """Say whether the layer is there."""
        return bool(layer_id) and self.layer_dir(layer_id).is_dir()

    def layers(self) -> tuple[str, ...]:
        """Return the ids of all layers."""
        return tuple(sorted(entry.name for entry in entries(self._layers)))

    @contextlib.contextmanager
    def new_layer(self) -> Iterator[PendingLayer]:
        """Give an empty layer to fill; what was not committed when the block is left is discarded."""
        with self._claimed_id() as layer_id:
            diff = self._pending / layer_id / "diff"
            diff.mkdir()
            diff.chmod(0o755)  # it becomes the container's /, whatever the umask is
            pending = PendingLayer(id=layer_id, diff=diff, _publish=self._publish)
            try:
                yield pending
            finally:
                if not pending.is_committed:
                    self._discard(self._pending / layer_id)

    def adopt_layer(self, directory: Path, *, content_key: str = "") -> str:
        """Move a directory on the same filesystem (an overlay upper) into the store as a layer; return its id."""
        with self._claimed_id() as layer_id:
            try:
                directory.rename(self._pending / layer_id / "diff")
            except OSError:
                self._discard(self._pending / layer_id)
                raise
            return self._publish(layer_id, content_key, False)

    def find_layer(self, content_key: str) -> str | None:
        """Return the layer stored under this key, and note that it was used."""
        key = self._keys / hash_key(content_key)
        try:
            layer_id = key.readlink().name
            os.utime(key, (self._now(),) * 2, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return layer_id if self.has_layer(layer_id) else None

    def layer_size(self, layer_id: str) -> int:
        """Return the bytes that the layer's files take on disk."""
        return int(self.layer_fact(layer_id, "size", lambda: str(disk_usage(self.layer_dir(layer_id)))))

    def layer_fact(self, layer_id: str, name: str, compute: Callable[[], str]) -> str:
        """Return what is known under `name` about a layer; `compute` it the first time, and keep it if the disk takes it."""
        file = f"{self._facts}/{layer_id}.{name}"  # without pathlib: a list asks for thousands
        with contextlib.suppress(FileNotFoundError), open(file, encoding="utf-8") as stream:
            if known := stream.read():  # empty after a power cut: it is not worth an fsync
                return known
        value = compute()
        temporary = self._facts / f".{layer_id}.{name}.{secrets.token_hex(4)}"
        try:
            temporary.write_text(value)
            temporary.rename(file)
        except OSError:
            temporary.unlink(missing_ok=True)
        return value

    @contextlib.contextmanager
    def hold(self) -> Iterator[Callable[[Sequence[str]], None]]:
        """Keep from being pruned, while this lasts, every layer that is made or found from now on.

        Gives what holds older layers, too; that raises NotFound when one of them has gone already.
        """
        self._make_directories()
        with contextlib.ExitStack() as stack:
            with self._pruning():  # a prune that has begun has seen no hold of ours
                claim = claimed_file(self._holds / secrets.token_hex(8), f"{self._now()}\n")
                descriptor = stack.enter_context(claim)

            def keep(layers: Sequence[str]) -> None:
                with self._pruning():
                    os.write(descriptor, "".join(f"{layer}\n" for layer in layers).encode())
                    self.require_layers(layers)

            yield keep

    def require_layers(self, layers: Sequence[str]) -> None:
        """Raise NotFound when one of the layers is not there."""
        missing = [layer for layer in layers if not self.has_layer(layer)]
        if missing:
            raise NotFound(f"Layer {missing[0]} is not in the image store", remedy="build the image again, or pull it")

    def _held(self) -> tuple[float, frozenset[str]]:
        """Return since when the oldest living build runs (infinity if none does), and the layers held by all."""
        since, held = float("inf"), set[str]()
        for file in entries(self._holds):
            with contextlib.suppress(FileNotFoundError, ValueError):
                if not is_abandoned(file):
                    first, *layers = file.read_text().split()
                    since = min(since, float(first))
                    held.update(layers)
        return since, frozenset(held)

    @contextlib.contextmanager
    def _pruning(self) -> Iterator[None]:
        """Hold the lock under which layers go: never for long, as the files are deleted after it.

        Nothing is written into it: each build takes it, and a write costs more than all else that a cached build does.
        """
        descriptor = os.open(self.root / "prune.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def touch(self, layer_ids: Sequence[str]) -> None:
        """Note that layers were used, those on top before those below: a layer without what is below it is of no use."""
        for layer_id in reversed(layer_ids):
            key = self._key_of(layer_id)
            with contextlib.suppress(FileNotFoundError):
                if key is not None:
                    os.utime(key, (self._now(),) * 2, follow_symlinks=False)

    def detach_layers(
        self, keep: Collection[str], *, oldest: float, cache_bytes: int | None = None, unused_since: float = 0
    ) -> tuple[str, ...]:
        """Take layers out of sight that are not in `keep` and were not made since `oldest`; return their ids.

        Those of the step cache stay, up to `cache_bytes` (None: all of them) and the last used first; of what does not fit
        goes what was not used since `unused_since`. For the holder of `_pruning`. `leftovers` deletes them.
        """
        used = {k.readlink().name: modified(k) for k in entries(self._keys)}
        doomed = [i for i in self.layers() if i not in keep and i not in used and modified(self._layers / i) < oldest]
        if cache_bytes is not None:
            cached = [i for i in used if i not in keep and self.has_layer(i)]
            doomed += [i for i in self._beyond(cached, used, cache_bytes) if used[i] < unused_since]
        for layer_id in doomed:
            key = self._key_of(layer_id)
            if key is None or modified(key) <= used.get(layer_id, 0):  # not found by a build in this moment
                self._detach_layer(layer_id)
        return tuple(doomed)

    def _beyond(self, layers: Collection[str], used: Mapping[str, float], cache_bytes: int) -> Iterator[str]:
        """Yield those that do not fit into so many bytes when the last used come first."""
        total = 0
        for layer_id in sorted(layers, key=lambda i: -used[i]):
            total += self.layer_size(layer_id) + _OWN_BYTES
            if total > cache_bytes:
                yield layer_id

    def leftovers(self) -> tuple[Leftover, ...]:
        """Return what dead processes left, and what prunes have detached. Reads only."""
        return find_leftovers(self.root)

    @contextlib.contextmanager
    def _claimed_id(self) -> Iterator[str]:
        """Make a pending directory for an id whose short link is free; hold its lock meanwhile."""
        layer_id = secrets.token_hex(ID_LENGTH // 2)
        while os.path.lexists(self.layer_link(layer_id)):
            layer_id = secrets.token_hex(ID_LENGTH // 2)
        self._make_directories()
        claim = claimed_directory(self._pending / layer_id)
        try:
            claim.__enter__()
        except OSError as exc:
            raise disk_problem(exc, self._pending / layer_id) from exc
        with contextlib.ExitStack() as stack:
            stack.push(claim)
            yield layer_id

    def _make_directories(self) -> None:
        if not self._holds.is_dir():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in _DIRECTORIES:  # holds last: whoever sees it need not look for the others
                (self.root / name).mkdir(mode=0o700, exist_ok=True)

    def _publish(self, pending_id: str, content_key: str, is_reproducible: bool) -> str:
        pending, key = self._pending / pending_id, hash_key(content_key) if content_key else ""
        layer_id = (self._own_name(key) if is_reproducible else "") or pending_id
        try:
            if self.has_layer(layer_id):
                self._discard(pending)
            else:
                self._make_visible(pending, layer_id, key)
            if key:
                replace_link(self._keys / key, f"../layers/{layer_id}")
                os.utime(self._keys / key, (self._now(),) * 2, follow_symlinks=False)
        except OSError as exc:
            raise disk_problem(exc, self._layers / layer_id) from exc
        return layer_id

    def _own_name(self, key: str) -> str:
        """Return the id of a reproducible layer, '' when its short link belongs to another."""
        layer_id = key[:ID_LENGTH]
        try:
            taken = self.layer_link(layer_id).readlink().parent.name
        except FileNotFoundError:
            return layer_id
        return layer_id if taken == layer_id else ""

    def _make_visible(self, pending: Path, layer_id: str, key: str) -> None:
        (pending / "layer.json").write_text(json.dumps({"created_at": self._now(), "key": key}))
        replace_link(self.layer_link(layer_id), f"../layers/{layer_id}/diff")
        os.utime(pending, (self._now(),) * 2)
        try:
            pending.rename(self._layers / layer_id)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self._discard(pending)  # another maker of the same was a moment faster

    def _key_of(self, layer_id: str) -> Path | None:
        """Return the link of the step cache that leads to a layer, None when there is none."""
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            key = json.loads((self._layers / layer_id / "layer.json").read_text())["key"]
            link = self._keys / str(key)
            return link if key and link.readlink().name == layer_id else None
        return None

    def _detach_layer(self, layer_id: str) -> None:
        """Take a layer out of sight by one rename; after that it is pending without a lock."""
        key = self._key_of(layer_id)
        if key is not None:
            key.unlink(missing_ok=True)
        (self._layers / layer_id).rename(self._pending / layer_id)
        self.layer_link(layer_id).unlink(missing_ok=True)
        for fact in self._facts.glob(f"{layer_id}.*"):
            fact.unlink(missing_ok=True)

    def _discard(self, pending: Path) -> None:
        if not (self._layers / pending.name).exists():
            self.layer_link(pending.name).unlink(missing_ok=True)
        remove_tree(pending)


def hash_key(content_key: str) -> str:
    """Return the file name of a content key, which may be any string."""
    return hashlib.sha256(content_key.encode()).hexdigest()


def replace_link(link: Path, target: str) -> None:
    """Make a symbolic link, replacing the one that is there, by one rename."""
    temporary = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    temporary.symlink_to(target)
    temporary.rename(link)


def modified(path: Path) -> float:
    """Return the modification time of a file or link, 0 when it is gone."""
    with contextlib.suppress(FileNotFoundError):
        return path.lstat().st_mtime
    return 0


def disk_usage(directory: Path) -> int:
    """Return the bytes allocated for a tree, hard links once."""
    seen: set[int] = set()
    total = 0
    for parent, names, files in os.walk(directory):
        for name in (*names, *files):
            found = os.lstat(f"{parent}/{name}")
            if found.st_ino not in seen:
                seen.add(found.st_ino)
                total += found.st_blocks * 512
    return total
