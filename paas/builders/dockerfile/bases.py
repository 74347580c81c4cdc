"""FROM and --from: find an image in the store, or pull it."""

from __future__ import annotations

import re

from paas.builders.dockerfile.instructions import Instruction
from paas.errors import InvalidFile, InvalidInput, PaasError
from paas.oci.reference import Reference
from paas.oci.registry import pull_image
from paas.oci.store import Image, ImageStore
from paas.output import Output

_LOGGED = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
_REMEDY = (
    "use an image of this machine (debian:12 is made by: paas stacks:build), "
    "or configure a registry in /etc/containers/registries.conf"
)


def find_base(
    name: str, store: ImageStore, output: Output, *, file: str, instruction: Instruction, pulls: bool = False
) -> Image:
    """Return the image called `name`. Raises InvalidFile at the instruction when neither store nor registry has it.

    With `pulls` the registry is asked also for what is here.
    """
    image = store.find_image(name) if _is_image_id(name) else None
    if image is not None:
        return image
    try:
        reference = Reference.parse(name)
    except InvalidInput as exc:
        raise InvalidFile(file, instruction.line, exc.message, text=instruction.text, remedy=exc.remedy) from exc
    image = store.find_image(str(reference))
    if image is not None and not pulls:
        return image
    output.detail(f"Pulling {reference.familiar}")
    try:
        return pull_image(store, str(reference), on_line=output.detail)
    except PaasError as exc:
        raise InvalidFile(
            file, instruction.line, f"failed to resolve source metadata for {reference}: {_reason(exc)}",
            text=instruction.text, remedy=_REMEDY,
        ) from exc  # fmt: skip


def _reason(exc: PaasError) -> str:
    """Return skopeo's last message without its log format."""
    last = exc.output[-1] if exc.output else exc.message
    match = _LOGGED.search(last)
    return match[1].replace('\\"', '"') if match else last


def _is_image_id(name: str) -> bool:
    plain = name.removeprefix("sha256:")
    return len(plain) == 64 and all(char in "0123456789abcdef" for char in plain)
