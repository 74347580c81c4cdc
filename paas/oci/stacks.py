"""Stacks: base images made of a distribution's packages, so that no registry is needed. Not their making: bootstrap.py.

A stack (buildpacks/stacks/<name>.toml) is a chain of images, each one layer on the one before: the distribution as it is
(`debian:12`), what apps need at run time (`paas/stack:debian-12-run`), and with compilers what builds need
(`paas/stack:debian-12`). Two images rather than one because compilers and npm are two thirds of the size and of no use but
to intruders where apps run; because the layers are shared, the second costs no disk.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paas.errors import InvalidFile, NotFound
from paas.oci.apt import AptSource, choose_sources
from paas.oci.manifest import HistoryEntry, ImageConfig

_OS_RELEASE = re.compile(r'^(ID|VERSION_ID|VERSION_CODENAME)="?([^"\n]*)"?$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackImage:
    """One image of a stack: what it adds to the one before, and its references; the first is its own name."""

    references: tuple[str, ...]
    packages: tuple[str, ...]
    config: ImageConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack definition. `sources` are the distribution's public mirrors."""

    name: str
    distribution: str
    version: str
    suite: str
    components: tuple[str, ...]
    sources: tuple[AptSource, ...]
    images: tuple[StackImage, ...]

    @property
    def reference(self) -> str:
        """Return the reference of its last image, where builds run."""
        return self.images[-1].references[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRelease:
    """Which distribution this machine runs."""

    distribution: str
    version: str
    codename: str


def stack_reference(name: str) -> str:
    """Return the reference of a stack's build image: `paas/stack:debian-12`."""
    return f"paas/stack:{name}"


def run_reference(name: str) -> str:
    """Return the reference of the image that apps of a stack run on."""
    return f"paas/stack:{name}-run"


def read_stacks(directory: Path) -> tuple[Stack, ...]:
    """Read all definitions. Raises InvalidFile."""
    return tuple(read_stack(file) for file in sorted(directory.glob("*.toml")))


def find_stack(directory: Path, name: str) -> Stack:
    """Return one definition. Raises NotFound naming those there are, InvalidFile."""
    file = directory / f"{name}.toml"
    if "/" in name or not file.is_file():
        names = ", ".join(sorted(f.stem for f in directory.glob("*.toml"))) or "none"
        raise NotFound(f"There is no stack '{name}'", remedy=f"stacks defined in {directory}: {names}")
    return read_stack(file)


def read_stack(file: Path) -> Stack:
    """Read one definition. Raises InvalidFile."""
    try:
        return parse_stack(file.stem, tomllib.loads(file.read_text()))
    except tomllib.TOMLDecodeError as exc:
        raise InvalidFile(str(file), 0, str(exc)) from exc
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise InvalidFile(str(file), 0, f"missing or malformed: {exc}", remedy="compare it with debian-12.toml") from exc


def parse_stack(name: str, table: Mapping[str, Any]) -> Stack:
    """Check a definition's table. Pure. Raises KeyError, TypeError, ValueError."""
    if not table["image"]:
        raise ValueError("image")
    components = tuple(table["components"])
    return Stack(
        name=name,
        distribution=str(table["distribution"]),
        version=str(table["version"]),
        suite=str(table["suite"]),
        components=components,
        sources=tuple(_source_from(source, components) for source in table["source"]),
        images=tuple(_images(name, table)),
    )


def host_release(file: Path = Path("/etc/os-release")) -> HostRelease:
    """Read which distribution this machine runs."""
    said = dict(_OS_RELEASE.findall(file.read_text())) if file.is_file() else {}
    return HostRelease(
        distribution=said.get("ID", ""), version=said.get("VERSION_ID", ""), codename=said.get("VERSION_CODENAME", "")
    )


def sources_for(stack: Stack, host: HostRelease, host_sources: Sequence[AptSource]) -> tuple[AptSource, ...]:
    """Return where the stack's packages come from: this host's sources for its distribution, else the public mirrors. Pure."""
    if host.distribution != stack.distribution:
        return stack.sources
    chosen = choose_sources(
        host_sources,
        distribution=stack.distribution,
        codename=stack.suite,
        components=stack.components,
        host_codename=host.codename,
    )
    return chosen or stack.sources


def _source_from(written: Mapping[str, Any], components: tuple[str, ...]) -> AptSource:
    return AptSource(
        uris=tuple(str(written["uris"]).split()),
        suites=tuple(written["suites"]),
        components=components,
        options=(("Signed-By", str(written["signed-by"])),),
    )


def _images(name: str, table: Mapping[str, Any]) -> Iterator[StackImage]:
    """Yield the images; each inherits the config and the history of the one before."""
    common = table["config"]
    env = _env(common["env"])
    history: tuple[HistoryEntry, ...] = ()
    for written in table["image"]:
        env = {**env, **_env(written.get("env", ()))}
        history += (HistoryEntry(created_by=f"paas stacks:build {name}: {' '.join(written['packages'])}"),)
        yield StackImage(
            references=tuple(written["references"]),
            packages=tuple(written["packages"]),
            config=ImageConfig(env=tuple(env.items()), cmd=tuple(common["cmd"]), history=history),
        )


def _env(entries: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (entry.partition("=") for entry in entries)}
