"""What the layers of one image, or one archive, may make of themselves on our disk, and what they came to. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from paas.oci.digest import Digest
from paas.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackLimits:
    """The most that is unpacked: bytes, and files of any kind."""

    max_bytes: int
    max_files: int

    @classmethod
    def of(cls, settings: Settings) -> UnpackLimits:
        """Return what the administrator allows."""
        return cls(max_bytes=settings.image_max_mb << 20, max_files=settings.image_max_files)


DEFAULT_LIMITS = UnpackLimits.of(Settings())


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What a tar came to: the digest of its plain content (a layer's diff_id), its files and their bytes.

    Files and bytes count those of the image's layers before it, too: the limits are for all of them together.
    """

    diff_id: Digest | None = None
    files: int = 0
    size: int = 0


NOTHING = Unpacked()
