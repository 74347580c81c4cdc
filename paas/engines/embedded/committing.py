"""An image from a container's root. Copies what it changed: the container may run on and goes on writing to its own."""

from __future__ import annotations

from collections.abc import Mapping

from paas.engines.embedded.ground import Ground
from paas.engines.embedded.record import Record
from paas.host.run import run
from paas.oci.manifest import ImageConfig


def commit(ground: Ground, record: Record, reference: str, changes: Mapping[str, object]) -> str:
    """Make an image of the container's layers and its changes; return the image id. Raises CommandFailed."""
    image = ground.images.find_image(record.image)
    config = (image.config if image is not None else ImageConfig()).to_oci()
    config["config"] = {**config.get("config", {}), **changes}
    with ground.images.new_layer() as layer:
        # cp keeps overlayfs's whiteouts (devices 0/0) and opaque marks (trusted xattrs); ids on disk are the container's.
        run(["cp", "--archive", "--reflink=auto", "--", f"{ground.rootfs(record.id).upper}/.", str(layer.diff)])
        layer.commit()
    made = ground.images.create_image(ImageConfig.from_oci(config), [*record.layers, layer.id], reference=reference)
    return made.id
