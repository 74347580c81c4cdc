"""What a build container gets of the host's package-manager configuration: read-only mounts and environment variables.

Nothing of it ends in a layer or an image: files appear below `/run/host-config`, found by variables that only build
containers have; apt's files lie where apt looks for them. Not decided here: whether to do it at all
(`settings.build_inherit_host_config`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.model.container import Mount

#: Where the host's files appear inside.
TARGET = "/run/host-config"
_CA_BUNDLES = ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt")
_LOCAL_CAS = ("usr/local/share/ca-certificates", "etc/pki/ca-trust/source/anchors")
#: Each tool has its own name for "trust this bundle".
CA_VARIABLES = (
    "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "NPM_CONFIG_CAFILE",
    "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE", "NIX_SSL_CERT_FILE", "HTTPLIB2_CA_CERTS", "DENO_CERT",
)  # fmt: skip
#: Taken over as they are; one whose value is a file or directory of the host is mounted and points there.
_PASSED = re.compile(
    r"(https?|ftp|all|no)_proxy|"
    r"PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|FIND_LINKS|NO_INDEX|PROXY|CLIENT_CERT|DEFAULT_TIMEOUT|RETRIES|CONFIG_FILE)|"
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|CONFIG_FILE|HTTP_TIMEOUT)|"
    r"(NPM_CONFIG|YARN|COREPACK)_(REGISTRY|NPM_REGISTRY|NPM_REGISTRY_SERVER|STRICT_SSL|PROXY|HTTPS_PROXY|NOPROXY)|"
    r"GO(PROXY|SUMDB|NOSUMDB|NOSUMCHECK|NOPROXY|PRIVATE|INSECURE|VCS)|"
    r"CARGO_(REGISTRIES_[A-Z0-9_]+_INDEX|REGISTRY_DEFAULT|SOURCE_[A-Z0-9_]+|NET_GIT_FETCH_WITH_CLI)|"
    r"BUNDLE_(MIRROR__[A-Z0-9_]+|SSL_CA_CERT)|GEM_SOURCE|COMPOSER_(REPO_PACKAGIST|MIRROR_PATH_REPOS)",
    re.IGNORECASE,
)
_GO_ENV = re.compile(r"(GO(?:PROXY|SUMDB|NOSUMDB|NOPROXY|PRIVATE|INSECURE|VCS))=(.+)")
_APT_NETWORK = re.compile(rb"Acquire(::|\s*\{\s*)(https?|ftp|Retries|Check-|ForceIPv|Proxy)", re.I)
_DEFAULT_SOURCES = (
    "etc/apt/sources.list", "etc/apt/sources.list.d/debian.sources", "etc/apt/sources.list.d/ubuntu.sources",
)  # fmt: skip
_RELEASE = re.compile(r'^(ID|VERSION_ID|VERSION_CODENAME)="?([^"\n]*)"?$', re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFile:
    """A file or directory of the host and where a build finds it."""

    source: Path
    target: str

    def mount(self) -> Mount:
        """Return the read-only mount; the host's root is the build's root, so what only root may read stays readable."""
        return Mount(target=self.target, source=self.source, is_read_only=True)


def host_config_env(*, environ: Mapping[str, str] = os.environ, host: Path = Path("/")) -> dict[str, str]:
    """Return the variables for a build container; those the Dockerfile or the app sets must win over them."""
    return _collect(environ, host).env


def host_config_mounts(
    layers: Sequence[Path], *, environ: Mapping[str, str] = os.environ, host: Path = Path("/"), with_apt: bool = True
) -> tuple[Mount, ...]:
    """Return the mounts that go with `host_config_env`; `layers` are the directories of the image's layers, any order.

    `with_apt` adds apt's settings on proxies and the like where the image has apt; its logins are always mounted there.
    """
    files = list(_collect(environ, host).files.values())
    if any((layer / "etc/apt").is_dir() for layer in layers):
        files += _apt_logins(host)
        files += _apt_settings(host) if with_apt else ()
    return tuple(file.mount() for file in files)


def apt_files(layers: Sequence[Path], *, host: Path = Path("/")) -> tuple[HostFile, ...]:
    """Return the host's apt settings, sources and keys that differ from the image's, for a layer that is not kept.

    No mounts: a mounted file can neither be renamed over, which `sed -i` does, nor be reached by `chmod -R`. Sources and
    keys only if the image is the same release as the host. They hold no logins.
    Source: sources.list(5), apt.conf(5), os-release(5).
    """
    if not any((layer / "etc/apt").is_dir() for layer in layers):
        return ()
    release = os_release(host)
    sources = _apt_sources(host) if release and release in (os_release(layer) for layer in layers) else ()
    changed = tuple(file for file in (*_apt_settings(host), *sources) if not _is_same_in(layers, file))
    if not any(file.target.startswith("/etc/apt/sources") for file in changed):
        return changed
    # The image's own would still be asked: an empty file stands in for those that the host does not have.
    unwanted = (name for name in _DEFAULT_SOURCES if not (host / name).exists())
    present = (name for name in unwanted if any((layer / name).is_file() for layer in layers))
    return (*changed, *(HostFile(source=Path("/dev/null"), target=f"/{name}") for name in present))


def ca_files(
    layers: Sequence[Path], *, environ: Mapping[str, str] = os.environ, host: Path = Path("/")
) -> tuple[HostFile, ...]:
    """Return the host's CA bundle in place of the image's, for a layer that is not kept: some tools know no variable."""
    bundle = _custom_bundle(environ, host)
    if bundle is None:
        return ()
    present = (b for b in _CA_BUNDLES if any((layer / b).is_file() and not (layer / b).is_symlink() for layer in layers))
    return tuple(HostFile(source=bundle, target=f"/{target}") for target in present)


def os_release(root: Path) -> str:
    """Return `debian 12 bookworm` for a root file system, '' when it does not say."""
    for name in ("usr/lib/os-release", "etc/os-release"):
        file = root / name
        if file.is_file() and not file.is_symlink():
            values = dict(_RELEASE.findall(file.read_text(errors="replace")))
            return " ".join(values.get(key, "") for key in ("ID", "VERSION_ID", "VERSION_CODENAME")).strip()
    return ""


class _Collected:
    """Variables and files, as they are found."""

    def __init__(self) -> None:
        self.env: dict[str, str] = {}
        self.files: dict[str, HostFile] = {}

    def point(self, variable: str, source: Path, name: str) -> None:
        """Mount a file below TARGET and let the variable name it there."""
        target = f"{TARGET}/{name}"
        self.files.setdefault(target, HostFile(source=source, target=target))
        self.env[variable] = target


def _collect(environ: Mapping[str, str], host: Path) -> _Collected:
    found = _Collected()
    for variable, value in sorted(environ.items()):
        if not _PASSED.fullmatch(variable) or not value:
            continue
        if value.startswith("/") and (host / value[1:]).exists():
            found.point(variable, host / value[1:], variable.lower())
        elif not value.startswith("/"):
            found.env[variable] = value
    bundle = _custom_bundle(environ, host)
    if bundle is not None:
        for variable in CA_VARIABLES:
            found.point(variable, bundle, "ca-certificates.crt")
    _collect_user_files(found, host / environ.get("HOME", "/root").lstrip("/"), host)
    return found


def _collect_user_files(found: _Collected, home: Path, host: Path) -> None:
    pip = _first(home / ".config/pip/pip.conf", home / ".pip/pip.conf", host / "etc/pip.conf")
    if pip is not None and "PIP_CONFIG_FILE" not in found.env:
        found.point("PIP_CONFIG_FILE", pip, "pip.conf")
    npm = _first(home / ".npmrc")
    if npm is not None:  # as npm's global file: the project's and the image user's own .npmrc win over it
        found.point("NPM_CONFIG_GLOBALCONFIG", npm, "npmrc")
    maven = _first(home / ".m2/settings.xml")
    if maven is not None:  # as the global file too
        found.point("MAVEN_ARGS", maven, "maven-settings.xml")
        found.env["MAVEN_ARGS"] = f"-gs {found.env['MAVEN_ARGS']}"
    cargo = _first(home / ".cargo/config.toml", home / ".cargo/config")
    if cargo is not None:  # cargo has no variable for it, but reads .cargo in every parent directory
        found.files["cargo"] = HostFile(source=cargo, target="/.cargo/config.toml")
    go = _first(home / ".config/go/env")
    if go is not None:
        for variable, value in _GO_ENV.findall(go.read_text(errors="replace")):
            found.env.setdefault(variable, value.strip())


def _first(*candidates: Path) -> Path | None:
    return next((file for file in candidates if file.is_file()), None)


def _custom_bundle(environ: Mapping[str, str], host: Path) -> Path | None:
    """Return the host's CA bundle if the host was told to trust more than the public authorities."""
    for variable in CA_VARIABLES:
        value = environ.get(variable, "")
        if value.startswith("/") and (host / value[1:]).is_file():
            return host / value[1:]
    if not any(_files(host / directory, ()) for directory in _LOCAL_CAS):
        return None
    return next((host / bundle for bundle in _CA_BUNDLES if (host / bundle).is_file()), None)


def _apt_sources(host: Path) -> Iterator[HostFile]:
    found = [host / "etc/apt/sources.list", *_files(host / "etc/apt/sources.list.d", (".list", ".sources"))]
    found += [*_files(host / "etc/apt/keyrings", ()), *_files(host / "etc/apt/trusted.gpg.d", ())]
    return (HostFile(source=file, target=f"/{file.relative_to(host)}") for file in found if file.is_file())


def _apt_settings(host: Path) -> Iterator[HostFile]:
    """Yield apt's settings on proxies, certificates and the like; not its hooks, which call programs of the host."""
    for file in (host / "etc/apt/apt.conf", *_files(host / "etc/apt/apt.conf.d", ())):
        if file.is_file() and _APT_NETWORK.search(content := file.read_bytes()) and b"-Invoke" not in content:
            yield HostFile(source=file, target=f"/{file.relative_to(host)}")


def _apt_logins(host: Path) -> Iterator[HostFile]:
    for file in (host / "etc/apt/auth.conf", *_files(host / "etc/apt/auth.conf.d", ())):
        if file.is_file():
            yield HostFile(source=file, target=f"/{file.relative_to(host)}")


def _files(directory: Path, suffixes: tuple[str, ...]) -> list[Path]:
    try:
        return sorted(f for f in directory.iterdir() if f.is_file() and (not suffixes or f.suffix in suffixes))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _is_same_in(layers: Sequence[Path], file: HostFile) -> bool:
    content = file.source.read_bytes()
    copies = (layer / file.target[1:] for layer in layers)
    return any(copy.is_file() and not copy.is_symlink() and copy.read_bytes() == content for copy in copies)
