"""Make a stack's images: mmdebstrap for the first layer, and again on an overlay of what is there for each further one.

Packages come from this host's own apt sources if they serve the distribution, with its proxies, certificates and passwords;
all that the image keeps of them is the addresses.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.errors import HostProblem
from paas.host.files import remove_tree
from paas.host.run import LastLines, run, stream
from paas.oci.apt import AptSource, read_sources, render_sources
from paas.oci.stacks import Stack, host_release, sources_for
from paas.oci.store import Image, ImageStore, PendingLayer

ETC_APT = Path("/etc/apt")
#: Docker's slim images leave out the same; man's section directories stay, because some packages link into them.
_DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*/*",
    "path-exclude=/usr/share/locale/*/*",
    "path-exclude=/usr/share/info/*",
    "force-unsafe-io",
)
#: Package lists and archives are dead weight in a layer.
_APT_CONFIG = 'APT::Keep-Downloaded-Packages "false";\nAcquire::GzipIndexes "true";\nAcquire::Languages "none";\n'
#: How this host's apt reaches its sources. Not its hooks and not how it stores its lists.
_APT_NETWORK = re.compile(r"Acquire::(https?|ftp|Retries|ForceIPv|Check-|Max-ValidTime|By-Hash|Proxy)", re.IGNORECASE)
#: In namespaces of its own that end with us, so that nothing runs on or stays mounted however this ends.
_ISOLATED = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--propagation", "private",
)  # fmt: skip
_IN_OVERLAY = ("sh", "-ec", 'mount -t overlay overlay -o "$1" "$2"; shift 2; exec "$@"', "sh")
#: Nothing that another kernel or a tar could not follow; `volatile` turns dpkg's fsyncs off, a crash discards the layer anyway.
_OVERLAY_OPTIONS = "index=off,metacopy=off,redirect_dir=off,volatile"
_FILE_MIRROR_HOOKS = "/usr/share/mmdebstrap/hooks/file-mirror-automount"
#: Written by mmdebstrap for its own run, or true of this host only.
_LEFTOVERS = (
    "etc/apt/apt.conf.d/99mmdebstrap", "etc/apt/sources.list", "etc/resolv.conf", "etc/hostname",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSetup:
    """How apt gets at a stack's packages. `options_file` and what it names may hold passwords, `image_sources_file` never."""

    sources: tuple[AptSource, ...]
    options_file: Path
    image_sources_file: Path


def build_stack(
    store: ImageStore, stack: Stack, *, on_step: Callable[[str], None], on_line: Callable[[str], None]
) -> tuple[Image, ...]:
    """Make all images of a stack from packages and tag them; return them. Raises HostProblem.

    Takes about a minute. Tags move when everything is there, so a failure leaves the stack as it was.
    """
    layers: list[str] = []
    with tempfile.TemporaryDirectory(prefix="paas-stack-") as scratch:
        apt = _prepare_apt(stack, Path(scratch))
        for wanted in stack.images:
            on_step(f"Building {wanted.references[0]}")
            with store.new_layer() as layer:
                _fill(store, layer, stack, apt, packages=wanted.packages, below=layers, on_line=on_line)
                _clean(layer.diff, apt, is_base=not layers)
                layers.append(layer.commit())
    store.sync()
    images = []
    for number, wanted in enumerate(stack.images, start=1):
        image = store.create_image(wanted.config, layers[:number])
        for reference in wanted.references:
            store.tag(image.id, reference)
        images.append(image)
    return tuple(images)


def plan_mmdebstrap(stack: Stack, apt: AptSetup, *, packages: Sequence[str], target: Path, is_base: bool) -> tuple[str, ...]:
    """Return mmdebstrap's argv: a new root file system, or more packages in the one that is there. Pure."""
    has_file_mirror = any(uri.startswith(("file:", "copy:")) for source in apt.sources for uri in source.uris)
    return (
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        *(("--variant=minbase",) if is_base else ("--variant=custom", "--skip=check/empty")),
        f"--components={','.join(stack.components)}",
        f"--include={','.join(packages)}",
        f"--aptopt={apt.options_file}",
        *(f"--dpkgopt={option}" for option in _DPKG_OPTIONS if is_base),
        *((f"--hook-dir={_FILE_MIRROR_HOOKS}",) if has_file_mirror else ()),
        stack.suite,
        str(target),
        str(apt.image_sources_file),
    )


def apt_options(sources_file: Path, dump: str) -> tuple[str, ...]:
    """Return the settings for mmdebstrap's apt, which looks for all else in the new root; `dump` is `apt-config dump`'s. Pure."""
    lines = (line.strip() for line in dump.splitlines())
    return (
        f'Dir::Etc::SourceList "{sources_file}";',
        'Dir::Etc::SourceParts "/dev/null";',
        f'Dir::Etc::netrc "{ETC_APT / "auth.conf"}";',
        f'Dir::Etc::netrcparts "{ETC_APT / "auth.conf.d"}";',
        # Nobody but root may look into the store, so apt cannot download as its own user.
        'APT::Sandbox::User "root";',
        # mmdebstrap downloads by an installation that does nothing; apt would then delete what it "installed".
        'APT::Keep-Downloaded-Packages "true";',
        *(line for line in lines if _APT_NETWORK.match(line) and '""' not in line),
    )


def _prepare_apt(stack: Stack, scratch: Path) -> AptSetup:
    sources = sources_for(stack, host_release(), read_sources(ETC_APT))
    missing = [source.signed_by for source in sources if source.signed_by.startswith("/") and not Path(source.signed_by).exists()]
    if missing:
        raise HostProblem(
            f"The key {missing[0]} for {stack.distribution}'s packages is not on this machine",
            remedy=f"apt-get install {stack.distribution}-archive-keyring",
        )
    private, public = scratch / "host.sources", scratch / f"{stack.distribution}.sources"
    private.write_text(render_sources(sources))
    public.write_text(render_sources(source.without_credentials() for source in sources))
    options = scratch / "apt.conf"
    options.write_text("".join(f"{line}\n" for line in apt_options(private, run(["apt-config", "dump"]))))
    return AptSetup(sources=sources, options_file=options, image_sources_file=public)


def _fill(
    store: ImageStore, layer: PendingLayer, stack: Stack, apt: AptSetup, *,
    packages: Sequence[str], below: Sequence[str], on_line: Callable[[str], None],
) -> None:  # fmt: skip
    """Run mmdebstrap on the new layer, over those below it."""
    work, merged = layer.diff.with_name("work"), layer.diff.with_name("merged")
    target = merged if below else layer.diff
    argv = plan_mmdebstrap(stack, apt, packages=packages, target=target, is_base=not below)
    if below:
        work.mkdir()
        merged.mkdir()
        # The mount is made in the store's directory: relative names need no quoting in its options.
        lower = ":".join(str(store.layer_link(layer_id).relative_to(store.root)) for layer_id in reversed(below))
        upper, scratch = layer.diff.relative_to(store.root), work.relative_to(store.root)
        argv = (*_IN_OVERLAY, f"lowerdir={lower},upperdir={upper},workdir={scratch},{_OVERLAY_OPTIONS}", str(merged), *argv)
    said = LastLines(on_line)
    if stream((*_ISOLATED, *argv), said, env={**os.environ, "LC_ALL": "C.UTF-8"}, cwd=store.root):
        raise HostProblem(
            f"Could not build the stack {stack.name}: mmdebstrap failed",
            output=said.lines, remedy="check that 'apt-get update' works on this machine, then try again",
        )  # fmt: skip
    remove_tree(work)
    remove_tree(merged)


def _clean(root: Path, apt: AptSetup, *, is_base: bool) -> None:
    """Make a layer the same wherever it was made: take out what belongs to this host or to mmdebstrap."""
    for leftover in _LEFTOVERS:
        (root / leftover).unlink(missing_ok=True)
    for written in (root / "etc/apt/sources.list.d").glob("0000*"):
        written.unlink()
    for directory in ("dev", "tmp"):
        for entry in (root / directory).iterdir() if (root / directory).is_dir() else ():
            remove_tree(entry)
    if is_base:
        (root / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").rename(root / "etc/dpkg/dpkg.cfg.d/paas")
        (root / "etc/apt/apt.conf.d/00paas").write_text(_APT_CONFIG)
        sources = root / "etc/apt/sources.list.d" / apt.image_sources_file.name
        sources.write_bytes(apt.image_sources_file.read_bytes())
        _copy_keys(root, apt.sources)


def _copy_keys(root: Path, sources: Iterable[AptSource]) -> None:
    """Give the image the public keys that its sources name and no package of it brought."""
    for key in {source.signed_by for source in sources if source.signed_by.startswith("/")}:
        inside = root / key.lstrip("/")
        if not inside.exists():
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.write_bytes(Path(key).read_bytes())
