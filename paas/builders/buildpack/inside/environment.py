"""How layer directories change environment variables, at build and at launch. Pure.

Used on both sides: by phases.py in the build container and by launch.py outside, so nothing of paas may be imported.

Source: buildpack spec, "Environment", "Provided by the Buildpacks".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

#: Reads the regular files of a directory below a layer, None when it is no directory.
Listing = Callable[[str], Mapping[str, str] | None]

ACTIONS = ("override", "default", "append", "prepend")
#: Directory of a layer -> variables that it is put in front of.
BUILD_DIRECTORIES = {
    "bin": ("PATH",),
    "lib": ("LD_LIBRARY_PATH", "LIBRARY_PATH"),
    "include": ("CPATH",),
    "pkgconfig": ("PKG_CONFIG_PATH",),
}
LAUNCH_DIRECTORIES = {"bin": ("PATH",), "lib": ("LD_LIBRARY_PATH",)}


class Change(NamedTuple):
    """One change of one variable; `action` is one of ACTIONS."""

    name: str
    action: str
    value: str
    delimiter: str = ""


def parse_changes(files: Mapping[str, str]) -> list[Change]:
    """Return the changes that the files of an `env` directory ask for; a name without suffix overrides."""
    changes = []
    for file in sorted(files):
        name, _, suffix = file.rpartition(".")
        if not name:
            changes.append(Change(file, "override", files[file]))
        elif suffix in ACTIONS:
            changes.append(Change(name, suffix, files[file], files.get(f"{name}.delim", "")))
    return changes


def directory_changes(layer: str, listing: Listing, directories: Mapping[str, tuple[str, ...]]) -> list[Change]:
    """Return the changes that `bin`, `lib` and the like of a layer (its path inside) mean."""
    return [
        Change(variable, "prepend", f"{layer}/{directory}", ":")
        for directory, variables in directories.items()
        if listing(directory) is not None
        for variable in variables
    ]


def layer_changes(listing: Listing, *directories: str) -> list[Change]:
    """Return the changes that the layer's env directories ask for, e.g. `env` and `env.build`."""
    return [change for directory in directories for change in parse_changes(listing(directory) or {})]


def apply_changes(env: Mapping[str, str], changes: Sequence[Change]) -> dict[str, str]:
    """Return the environment after the changes."""
    result = dict(env)
    for change in changes:
        present = result.get(change.name, "")
        if change.action == "override":
            result[change.name] = change.value
        elif change.action == "default":
            result[change.name] = present or change.value
        elif change.action == "append":
            result[change.name] = present + change.delimiter + change.value if present else change.value
        else:
            result[change.name] = change.value + change.delimiter + present if present else change.value
    return result
