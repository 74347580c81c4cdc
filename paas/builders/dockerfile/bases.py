"""FROM and --from: find an image in the store, or pull it."""

from __future__ import annotations

from paas.builders.dockerfile.instructions import Instruction
from paas.errors import InvalidFile, InvalidInput, PaasError
from paas.oci.reference import Reference
from paas.oci.registry import pull_image
from paas.oci.store import Image, ImageStore
from paas.output import Output


def find_base(name: str, store: ImageStore, output: Output, *, file: str, instruction: Instruction) -> Image:
    """Return the image called `name`. Raises InvalidFile at the instruction when neither store nor registry has it."""
    image = store.find_image(name) if _is_image_id(name) else None
    if image is not None:
        return image
    try:
        reference = Reference.parse(name)
    except InvalidInput as exc:
        raise InvalidFile(file, instruction.line, exc.message, text=instruction.text, remedy=exc.remedy) from exc
    image = store.find_image(str(reference))
    if image is not None:
        return image
    output.detail(f"Pulling {reference.familiar}")
    try:
        return pull_image(store, str(reference), on_line=output.detail)
    except PaasError as exc:
        raise InvalidFile(
            file, instruction.line, f"failed to resolve source metadata for {reference}: {_reason(exc)}",
            text=instruction.text, remedy=_remedy(store),
        ) from exc  # fmt: skip


def _remedy(store: ImageStore) -> str:
    known = ", ".join(sorted(store.tags())[:8])
    has = f"images on this machine: {known}" if known else "build a base image with: paas stacks:build"
    return f"{has}; or configure a registry in /etc/containers/registries.conf"


def _reason(exc: PaasError) -> str:
    return exc.output[-1] if exc.output else exc.message


def _is_image_id(name: str) -> bool:
    plain = name.removeprefix("sha256:")
    return len(plain) == 64 and all(char in "0123456789abcdef" for char in plain)
