"""Images from and to registries, and the logins there. Archives: archives.py; what runs: skopeo.py."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from paas.errors import CommandFailed, NotFound
from paas.host.files import flock
from paas.host.run import run
from paas.oci.layout import import_directory, write_layout
from paas.oci.manifest import host_platform
from paas.oci.reference import Reference
from paas.oci.skopeo import DEFAULT_REGISTRIES, Lines, Registries, copy_image, explained, ignore_line
from paas.oci.store import Image, ImageStore

#: A registry has so long to accept a login.
_LOGIN_TIMEOUT_S = 60


def pull_image(
    store: ImageStore, reference: str, *, registries: Registries = DEFAULT_REGISTRIES, on_line: Lines = ignore_line
) -> Image:
    """Fetch an image from its registry and tag it; of an index, the one for this machine.

    Raises HostProblem when that cannot be, InvalidInput for a bad image.
    """
    wanted = Reference.parse(reference)
    with store.transfer() as scratch:
        copy_image(
            f"docker://{_address(wanted)}", f"dir:{scratch / 'image'}", f"Could not pull {wanted.familiar}",
            registries=registries, scratch=scratch, domain=wanted.domain, on_line=on_line,
        )  # fmt: skip
        image = import_directory(store, scratch / "image", reference=str(wanted), limits=registries.limits)
    if image.config.architecture != (here := host_platform()[0]):
        on_line(f"This image is for {image.config.architecture}, not for {here}: it may not run on this machine")
    store.sync()
    return image


def push_image(
    store: ImageStore, image: str, reference: str, *, registries: Registries = DEFAULT_REGISTRIES,
    on_line: Lines = ignore_line, newest: float | None = None,
) -> None:  # fmt: skip
    """Send an image to a registry under this reference. Raises NotFound, HostProblem. `newest`: see `write_layout`."""
    wanted = replace(Reference.parse(reference), digest=None)
    with store.transfer() as scratch:
        write_layout(store, store.image(image), scratch / "image", newest=newest)
        copy_image(
            f"oci:{scratch / 'image'}", f"docker://{wanted}", f"Could not push {wanted.familiar}",
            registries=registries, scratch=scratch, domain=wanted.domain, on_line=on_line,
        )  # fmt: skip


def log_in(registries: Registries, domain: str, user: str, password: str) -> None:
    """Check a login at its registry and keep it. Raises HostProblem when the registry refuses or cannot be asked."""
    file = registries.logins.prepare()
    argv = [
        *registries.skopeo("login"),
        *registries.cert_option(domain),
        f"--authfile={file}",
        f"--username={user}",
        "--password-stdin",
        domain,
    ]
    with _turn(registries):
        try:
            run(argv, stdin=password.encode(), timeout_s=_LOGIN_TIMEOUT_S)
        except CommandFailed as exc:
            raise explained(f"Could not log in at {domain} as {user}", exc.output, registries, domain) from exc
        file.chmod(0o600)


def log_out(registries: Registries, domain: str) -> None:
    """Forget a login. Raises NotFound."""
    if domain not in registries.logins.own():
        raise NotFound(f"There is no login at {domain}", remedy="see: paas registry:report")
    with _turn(registries):
        run([*registries.skopeo("logout"), f"--authfile={registries.logins.file}", domain])


def _turn(registries: Registries) -> contextlib.AbstractContextManager[None]:
    """Let nobody else write the file meanwhile."""
    file = registries.logins.prepare()
    return flock(file.with_name(f".{file.name}.lock"), what="registry:login")


def _address(wanted: Reference) -> str:
    """Return what skopeo takes: not a tag together with a digest, which says it all."""
    return str(replace(wanted, tag="") if wanted.digest else wanted)
