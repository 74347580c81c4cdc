"""The list of images, quick although there may be thousands: what was read once is kept in one file.

An image's record never changes, so only new ones are read again; references are when the directory of tags has changed.
The file may be deleted at any time. Its images are always true; which ones there are, and what they are called, is read again
when a directory changed later, or in the moment before it was written.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

#: Two changes within a clock tick look like one.
_TICK_NS = 50_000_000
#: No directories' times.
_NEVER = (-1, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSummary:
    """What a list says of an image. `size` are the bytes of its layers on disk."""

    id: str
    created_at: float
    layers: tuple[str, ...]
    size: int
    references: tuple[str, ...] = ()

    @property
    def short_id(self) -> str:
        return self.id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the file says. `stamp` are the times of the directories then."""

    stamp: tuple[int, int]
    images: Mapping[str, ImageSummary]


def summarise(
    root: Path, *, image_ids: Callable[[], tuple[str, ...]], read: Callable[[str], ImageSummary | None],
    tags: Callable[[], Mapping[str, str]],
) -> tuple[ImageSummary, ...]:  # fmt: skip
    """Return all images of the store at `root`, newest first. `read` makes the summary of one, without its references."""
    file, stamp = root / "listing.json", _stamp(root)
    known = _read(file)
    if known.stamp != stamp:
        found = [known.images.get(image_id) or read(image_id) for image_id in image_ids()]
        references: dict[str, list[str]] = {}
        for reference, image_id in tags().items():
            references.setdefault(image_id, []).append(reference)
        images = {i.id: replace(i, references=tuple(sorted(references.get(i.id, ())))) for i in found if i is not None}
        is_settled = max(stamp) < time.time_ns() - _TICK_NS
        known = _Known(stamp=stamp if is_settled else _NEVER, images=images)
        _write(file, known)
    return tuple(sorted(known.images.values(), key=lambda image: -image.created_at))


def _stamp(root: Path) -> tuple[int, int]:
    with contextlib.suppress(FileNotFoundError):
        return (root / "images").stat().st_mtime_ns, (root / "tags").stat().st_mtime_ns
    return 0, 0


def _read(file: Path) -> _Known:
    try:
        said = json.loads(file.read_bytes())
        images = [
            ImageSummary(**{**one, "layers": tuple(one["layers"]), "references": tuple(one["references"])})
            for one in said["images"]
        ]
        return _Known(stamp=(said["stamp"][0], said["stamp"][1]), images={image.id: image for image in images})
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return _Known(stamp=_NEVER, images={})


def _write(file: Path, known: _Known) -> None:
    """Keep it for the next time, if the disk takes it."""
    temporary = file.with_name(f".{secrets.token_hex(8)}")
    try:
        temporary.write_text(json.dumps({"stamp": known.stamp, "images": [_plain(image) for image in known.images.values()]}))
        temporary.rename(file)
    except OSError:
        temporary.unlink(missing_ok=True)


def _plain(image: ImageSummary) -> dict[str, object]:
    return {field.name: getattr(image, field.name) for field in fields(image)}
