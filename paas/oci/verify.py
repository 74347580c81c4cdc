"""Is an image in the store what it was when it came there: its record, its layers, their files?

A layer's files are compared with the digest of their tar, which is noted when the layer first leaves the machine or is first
verified: nothing on the way of a deploy reads all files only for that.
"""

from __future__ import annotations

from paas.errors import HostProblem
from paas.oci.digest import Digest
from paas.oci.layer import pack_layer
from paas.oci.store import Image, ImageStore

_FACT = "tar"


def problems_of(store: ImageStore, image: Image) -> tuple[str, ...]:
    """Return what is wrong with an image, nothing when all is well."""
    found = [] if store.is_record_sound(image.id) else ["its record was changed"]
    for layer in dict.fromkeys(image.layers):
        name = f"layer {layer[:12]}"
        if not store.has_layer(layer):
            found.append(f"{name} is missing")
        elif store.layer_link(layer).resolve() != store.layer_dir(layer).resolve():
            found.append(f"{name} has no link for mounts")
        else:
            found += [f"{name} {problem}" for problem in _content_problems(store, layer)]
    return tuple(found)


def note_digest(store: ImageStore, layer: str, digest: Digest) -> None:
    """Remember the digest of a layer's tar, if none is known."""
    store.layer_fact(layer, _FACT, lambda: str(digest))


def _content_problems(store: ImageStore, layer: str) -> list[str]:
    try:
        now = str(_digest_of(store, layer))
    except (HostProblem, OSError) as exc:
        return [f"cannot be read: {exc}"]
    known = store.layer_fact(layer, _FACT, lambda: now)
    return [] if known == now else [f"was changed: it is {now}, and was {known}"]


def _digest_of(store: ImageStore, layer: str) -> Digest:
    with open("/dev/null", "wb") as nowhere:
        return pack_layer(store.layer_dir(layer), nowhere).diff_id
