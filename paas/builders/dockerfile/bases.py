"""FROM and --from: find an image in the store, or pull it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paas.builders.dockerfile.cache import Say
from paas.builders.dockerfile.instructions import Instruction
from paas.errors import HostProblem, InvalidFile, InvalidInput, PaasError
from paas.oci.reference import Reference
from paas.oci.registry import pull_image
from paas.oci.skopeo import Registries, reason_of
from paas.oci.store import Image, ImageStore

_REMEDY = (
    "use an image of this machine (debian:12 is made by: paas stacks:build), "
    "or tell how to reach a registry: see docs/images.md"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bases:
    """Finds the images that one build stands on. `hold` keeps their layers from being pruned while it lasts."""

    store: ImageStore
    file: str
    registries: Registries
    hold: Callable[[Sequence[str]], None]
    pulls: bool = False

    def find(self, name: str, instruction: Instruction, say: Say) -> Image:
        """Return the image called `name`. Raises InvalidFile at the instruction when neither store nor registry has it.

        With `pulls` the registry is asked also for what is here.
        """
        image = self._find(name, instruction, say)
        self.hold(image.layers)
        return image

    def _find(self, name: str, instruction: Instruction, say: Say) -> Image:
        image = self.store.find_image(name) if _is_image_id(name) else None
        if image is not None:
            return image
        try:
            reference = Reference.parse(name)
        except InvalidInput as exc:
            raise InvalidFile(self.file, instruction.line, exc.message, text=instruction.text, remedy=exc.remedy) from exc
        image = self.store.find_image(str(reference))
        if image is not None and not self.pulls:
            return image
        say(f"Pulling {reference.familiar}")
        try:
            return pull_image(self.store, str(reference), registries=self.registries, on_line=say)
        except PaasError as exc:
            reason = reason_of(exc) if isinstance(exc, HostProblem) else exc.message
            raise InvalidFile(
                self.file, instruction.line, f"failed to resolve source metadata for {reference}: {reason}",
                text=instruction.text, remedy=_REMEDY,
            ) from exc  # fmt: skip


def _is_image_id(name: str) -> bool:
    plain = name.removeprefix("sha256:")
    return len(plain) == 64 and all(char in "0123456789abcdef" for char in plain)
