"""Export: from what the build left to layers in the image store, and the image.

    stack (run image) | base: launcher, user | one layer for each launch layer | app: /workspace and the launch environment
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paas.builders.buildpack.buildpack import Buildpack
from paas.builders.buildpack.changes import change_of, merge
from paas.builders.buildpack.inside.environment import LAUNCH_DIRECTORIES, Change, directory_changes, layer_changes
from paas.builders.buildpack.inside.toml_text import render_toml
from paas.builders.buildpack.launch import WORKSPACE, Process, render_env
from paas.builders.buildpack.restore import Kept, KeptLayer, LayerTypes, Verdict, verdict
from paas.builders.buildpack.untrusted import list_directory, read_directory, read_text, read_toml
from paas.model.process import LAUNCHER, WEB
from paas.oci.manifest import ImageConfig
from paas.oci.store import Image, ImageStore

#: The user that builds and runs apps, as in the buildpacks project's own images.
USER_ID, USER = 1000, "cnb"
#: TOML files of a buildpack's layers directory that describe no layer.
_NOT_LAYERS = ("launch.toml", "store.toml", "build.toml")
_LAUNCHER_FILE = Path(__file__).parent / "inside" / "launcher.sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchText:
    """The files below /cnb/launch that the launcher reads; `process_types` have variables of their own."""

    files: Mapping[str, str]
    process_types: frozenset[str]


def base_layer(store: ImageStore, stack: Image) -> str:
    """Return the layer with the launcher, the directories of a build, and the user if the stack has none of that number."""
    launcher = _LAUNCHER_FILE.read_bytes()
    accounts = {name: _with_user(name, _stack_file(store, stack, f"etc/{name}")) for name in ("passwd", "group")}
    digest = hashlib.sha256(launcher + repr(sorted(accounts.items())).encode()).hexdigest()
    found = store.find_layer(key := f"buildpack-base {digest}")
    if found is not None:
        return found
    with store.new_layer() as pending:
        for directory in ("layers", "workspace", f"home/{USER}"):
            _make_directory(pending.diff, directory)
        (pending.diff / "home").chmod(0o755)
        os.chown(pending.diff / "home", 0, 0)
        for name, content in (("cnb/launcher", launcher), *((f"etc/{n}", t.encode()) for n, t in accounts.items())):
            file = pending.diff / name
            file.parent.mkdir(mode=0o755, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o755 if content is launcher else 0o644)
        return pending.commit(key)


def store_layers(store: ImageStore, upper: Path, buildpacks: Sequence[Buildpack], previous: Kept) -> Kept:
    """Move the layers that a build left below `upper` into the store; return all that the next build may see."""
    kept: list[KeptLayer] = []
    stores: list[tuple[str, str]] = []
    for buildpack in buildpacks:
        directory = f"layers/{buildpack.layers_name}"
        for file in list_directory(upper, directory) or ():
            if file.endswith(".toml") and file not in _NOT_LAYERS:
                layer = _store_layer(store, upper, directory, file.removesuffix(".toml"), buildpack, previous)
                kept += [layer] if layer is not None else []
        text = read_text(upper, f"{directory}/store.toml")
        stores += [(buildpack.id, text)] if text else []
    return Kept(layers=tuple(kept), stores=tuple(stores))


def launch_text(store: ImageStore, launch_layers: Sequence[KeptLayer], buildpacks: Sequence[Buildpack],
                processes: Sequence[Process]) -> LaunchText:
    """Compose what the launch layers ask for, in the order of the buildpacks, layers by name."""
    names = {buildpack.id: buildpack.layers_name for buildpack in buildpacks}
    roots: list[Change] = []
    changes: list[Change] = []
    own: dict[str, list[Change]] = {process.type: [] for process in processes}
    programs, profiles = "", ""
    for kept in launch_layers:
        diff, inside = store.layer_dir(kept.layer), f"layers/{names[kept.buildpack]}/{kept.name}"

        def listing(directory: str, diff: Path = diff, inside: str = inside) -> dict[str, str] | None:
            return read_directory(diff, f"{inside}/{directory}")

        def exists(directory: str, diff: Path = diff, inside: str = inside) -> dict[str, str] | None:
            return {} if list_directory(diff, f"{inside}/{directory}") is not None else None

        roots += directory_changes(f"/{inside}", exists, LAUNCH_DIRECTORIES)
        changes += layer_changes(listing, "env", "env.launch")
        for process_type, found in own.items():
            found += layer_changes(listing, f"env.launch/{process_type}")
        programs += f"/{inside}/exec.d\n" if exists("exec.d") is not None else ""
        profiles += "".join(f"/{inside}/profile.d/{name}\n" for name in sorted(listing("profile.d") or ()))
    files = {"env": render_env([*roots, *changes]), "exec.d": programs, "profile": profiles}
    files |= {f"env.{process_type}": render_env(found) for process_type, found in own.items()}
    return LaunchText(
        files={name: text for name, text in files.items() if text},
        process_types=frozenset(process_type for process_type, found in own.items() if found),
    )


def write_launch(diff: Path, text: LaunchText) -> None:
    """Write the launcher's files into the app's layer."""
    directory = diff / "cnb" / "launch"
    directory.mkdir(parents=True)
    for name, content in text.files.items():
        (directory / name).write_text(content, errors="surrogateescape")


def image_config(stack: ImageConfig, processes: Sequence[Process], text: LaunchText,
                 labels: Mapping[str, str]) -> ImageConfig:
    """Return the image's config: the launcher as entrypoint, the web process as its command."""
    web = next((process for process in processes if process.type == WEB), None)
    command = web.process_type(has_env=web.type in text.process_types).argv[1:] if web is not None else ()
    return replace(
        stack, entrypoint=(LAUNCHER,), cmd=command, workdir=WORKSPACE, user=f"{USER_ID}:{USER_ID}",
        labels=tuple(sorted({**dict(stack.labels), **labels}.items())), history=(),
    )  # fmt: skip


def _store_layer(store: ImageStore, upper: Path, directory: str, name: str, buildpack: Buildpack,
                 previous: Kept) -> KeptLayer | None:
    path = f"{directory}/{name}"
    document = read_toml(upper, f"{path}.toml")
    types, old = LayerTypes.from_toml(document.get("types", {})), previous.find(buildpack.id, name)
    decision = verdict(types, change_of(upper, path), old, path=f"/{path}")
    if decision is Verdict.DROP:
        return None
    if decision is Verdict.REUSE and old is not None:
        layer = old.layer
    else:
        below = store.layer_dir(old.layer) / path if decision is Verdict.MERGE and old is not None else None
        layer = _take(store, upper, path, below)
    metadata = render_toml({"metadata": document["metadata"]}) if document.get("metadata") else ""
    return KeptLayer(buildpack=buildpack.id, name=name, types=types, layer=layer, metadata=metadata)


def _take(store: ImageStore, upper: Path, path: str, below: Path | None) -> str:
    """Move a directory that a build left into the store, with what was below it."""
    with store.new_layer() as pending:
        _make_directory(pending.diff, path.rpartition("/")[0])
        if below is not None:
            merge(below, upper / path)
        (upper / path).rename(pending.diff / path)
        return pending.commit()


def _make_directory(diff: Path, path: str) -> None:
    """Make a directory and its parents, owned by the building user."""
    current = diff
    for part in path.split("/"):
        current = current / part
        current.mkdir(exist_ok=True)
        current.chmod(0o755)
        os.chown(current, USER_ID, USER_ID)


def _stack_file(store: ImageStore, stack: Image, path: str) -> str:
    found = (read_text(store.layer_dir(layer), path) for layer in reversed(stack.layers))
    return next((text for text in found if text is not None), "")


def _with_user(file: str, text: str) -> str:
    """Return /etc/passwd or /etc/group with a line for the user, unless its number is taken."""
    if any(line.split(":")[2:3] == [str(USER_ID)] for line in text.splitlines()):
        return text
    line = f"{USER}:x:{USER_ID}:{USER_ID}:app:/home/{USER}:/bin/bash" if file == "passwd" else f"{USER}:x:{USER_ID}:"
    return f"{text.rstrip()}\n{line}\n" if text else f"{line}\n"
