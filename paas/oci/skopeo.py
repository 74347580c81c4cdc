"""skopeo: the one tool of ours that talks to registries and reads others' archives. Runs it, watches it, explains it.

Mirrors, insecure registries and signature policy are skopeo's own: registries.conf(5), containers-policy.json(5). Of this
instance's own are the logins (logins.py), and below its settings directory `registries.conf` and `certs.d/<host>/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.errors import HostProblem, InvalidInput, PaasError
from paas.host.patience import stream_patiently
from paas.host.run import LastLines
from paas.oci.compression import MORE_ROOM
from paas.oci.limits import DEFAULT_LIMITS, UnpackLimits
from paas.oci.logins import Logins
from paas.paths import Paths
from paas.settings import Settings

#: Is given each line that skopeo prints.
Lines = Callable[[str], None]
_LOGGED = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"')
#: What skopeo says -> what to do about it. The first that fits counts.
_REMEDIES = (
    (r"invalid username/password", "check the user and the password"),
    (r"unauthorized|authentication required|denied|403", "log in: paas registry:login --global {domain} <user> --password-stdin"),
    (r"no image found in .* for architecture", "it is not made for this kind of machine; ask for another tag"),
    (r"manifest unknown|name unknown|not found|404", "check the name and the tag"),
    (r"x509|certificate", "put the certificate of its CA into {certs}/{domain}/ca.crt"),
    (r"server gave HTTP response to HTTPS", "if it is meant to be open, say so in {file}: insecure = true"),
    (r"[Dd]igest did not match|does not match", "the registry sent something else than it promised: tell who runs it"),
    (r"unexpected EOF|connection reset", "the connection was cut: try again"),
    (r"too many requests|429", "wait, log in, or use a mirror: see docs/images.md"),
)
_ARCHIVE_REMEDY = "it is damaged, or no image: write it again, e.g. with: docker save"
_DEFAULT_REMEDY = "check the name, and that the registry answers from here"


def ignore_line(line: str) -> None:
    """Drop a line of progress; the error keeps the last ones anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """How to reach registries, how long to wait for them, and how much to take from them."""

    logins: Logins = Logins()
    conf: Path = Path("/etc/paas/registries.conf")
    certs: Path = Path("/etc/paas/certs.d")
    stall_s: float = 60
    timeout_s: float = 3600
    limits: UnpackLimits = DEFAULT_LIMITS

    @classmethod
    def of(cls, paths: Paths, settings: Settings, *, app: str = "") -> Registries:
        """Return an instance's, with the logins of an app before those for all."""
        return cls(
            logins=Logins(directory=paths.logins, app=app),
            conf=paths.registries_file,
            certs=paths.registry_certs,
            stall_s=settings.registry_stall_s,
            timeout_s=settings.registry_timeout_s,
            limits=UnpackLimits.of(settings),
        )

    def skopeo(self, command: str, *, tmpdir: Path | None = None) -> list[str]:
        """Return how an argv begins. Pure but for looking which files there are."""
        argv = ["skopeo"]
        if tmpdir is not None:
            argv.append(f"--tmpdir={tmpdir}")
        if self.conf.is_file():
            argv.append(f"--registries-conf={self.conf}")
        return [*argv, command]

    def cert_option(self, domain: str, *, prefix: str = "") -> list[str]:
        """Return the option for a registry's own certificates, if there are any."""
        directory = self.certs / domain
        return [f"--{prefix}cert-dir={directory}"] if directory.is_dir() else []


DEFAULT_REGISTRIES = Registries()


def copy_image(
    source: str, target: str, failure: str, *, registries: Registries, scratch: Path, domain: str = "",
    on_line: Lines = ignore_line,
) -> None:  # fmt: skip
    """Copy one image between two of skopeo's transports. `domain` is the registry at one end.

    Raises HostProblem with skopeo's words, InvalidInput when more comes than the limits allow.
    """
    argv = [*registries.skopeo("copy", tmpdir=scratch), "--retry-times=1"]
    if domain:
        argv += registries.cert_option(domain, prefix="src-" if source.startswith("docker:") else "dest-")
        authfile = registries.logins.authfile(scratch)
        argv += [f"--authfile={authfile}"] if authfile is not None else []

    def check_room() -> None:
        if _size(scratch) > registries.limits.max_bytes:
            limit = registries.limits.max_bytes >> 20
            raise InvalidInput(f"{failure}: it is larger than {limit} MiB", remedy=MORE_ROOM)

    said = LastLines(lambda line: None if _LOGGED.search(line) else on_line(line))  # what went wrong is told in the error
    try:
        status = stream_patiently(
            [*argv, source, target], said, stall_s=registries.stall_s, timeout_s=registries.timeout_s,
            env={**os.environ, "TMPDIR": str(scratch)}, check=check_room if not target.startswith("docker:") else _no_check,
        )  # fmt: skip
    except HostProblem as exc:
        remedy = exc.remedy or "check that it answers, or allow it more: registry-stall-s, registry-timeout-s in paas.toml"
        raise HostProblem(f"{failure}: {exc.message}", output=said.lines, remedy=remedy) from exc
    if status:
        is_archive = not domain and target.startswith("dir:")
        raise explained(failure, said.lines, registries, domain, is_archive=is_archive)


def explained(
    failure: str, lines: Sequence[str], registries: Registries, domain: str, *, is_archive: bool = False
) -> PaasError:  # fmt: skip
    """Return the error for what skopeo said last; what `is_archive` may be at fault itself. Pure."""
    text = "\n".join(lines)
    lines = [_words(line) for line in lines if _LOGGED.search(line)] or lines
    if "no space left on device" in text:
        return HostProblem(f"{failure}: the disk is full", output=lines, remedy="free some space, e.g. with: paas image:prune")
    if is_archive:
        return InvalidInput(f"{failure}: {lines[-1] if lines else 'skopeo failed'}", remedy=_ARCHIVE_REMEDY)
    found = next((remedy for pattern, remedy in _REMEDIES if domain and re.search(pattern, text)), _DEFAULT_REMEDY)
    remedy = found.format(domain=domain, certs=registries.certs, file=registries.conf)
    return HostProblem(failure, output=lines, remedy=remedy)


def reason_of(problem: HostProblem) -> str:
    """Return skopeo's last message, or what else went wrong. Pure."""
    return _words(problem.output[-1] if problem.output else problem.message)


def _words(line: str) -> str:
    """Return what a line says without skopeo's log format."""
    match = _LOGGED.search(line)
    return match[1].replace('\\"', '"') if match else line


def _no_check() -> None:
    """What goes out is ours."""


def _size(directory: Path) -> int:
    """Return the bytes below a directory that somebody is writing to."""
    total = 0
    for parent, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(f"{parent}/{name}").st_size
            except FileNotFoundError:
                continue  # renamed or removed since it was listed
    return total
