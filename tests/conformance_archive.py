"""An image in `docker save`'s form, as Docker and BuildKit write it: its files and configuration as an answer."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from conformance import Answer, config_text, listing
from paas.builders.dockerfile.tree import LayeredTree
from paas.oci.unpack import unpack_layer


def read_archive(archive: Path, work: Path, *, base_diff_id: str) -> Answer:
    """Unpack an archive below `work` and return what the image has and its base has not."""
    work.mkdir()
    subprocess.run(["tar", "-C", work, "-xf", archive], check=True)
    manifest = json.loads((work / "manifest.json").read_text())[0]
    image = json.loads((work / manifest["Config"]).read_text())
    layers: list[Path] = []
    for number, name in enumerate(manifest["Layers"] or ()):
        target = work / str(number)
        target.mkdir()
        unpack_layer((work / name).resolve(), target, lowers=layers)
        layers.insert(0, target)
    is_on_base = (image["rootfs"].get("diff_ids") or [])[:1] == [base_diff_id]
    return answer_of(layers, layers[-1:] if is_on_base else [], image["config"])


def answer_of(layers: list[Path], base: list[Path], config: Mapping[str, object]) -> Answer:
    """Return an image's answer; its directories and the base's are given topmost first."""
    files = listing(LayeredTree(layers), LayeredTree(base))
    return Answer(files=files, config=config_text({k: v for k, v in config.items() if k != "ArgsEscaped"}))
