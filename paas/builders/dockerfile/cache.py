"""The step cache: layers by what they are made from. Shared by all builds of the machine; each step is done once.

A layer is found by its content key only after it was stored as a whole, so a build that was killed leaves nothing that a
later one could take for done. What a build has found or made is not pruned before the build ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.builders.dockerfile.control import Control
from paas.builders.dockerfile.writer import LayerWriter
from paas.host.files import disk_problem
from paas.oci.store import ImageStore

#: Tells the user one line of progress.
Say = Callable[[str], None]


#: Goes up whenever an instruction comes to make another layer than it did, so that no layer of an older version is taken for it.
RULES = 2


def step_key(*parts: object) -> str:
    """Return the content key of a step: one digest of all it depends on."""
    written = json.dumps((RULES, *parts), sort_keys=True, default=str)
    return f"dockerfile:{hashlib.sha256(written.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCache:
    """The cache as one build sees it. `hold` keeps layers until the build ends, `turns` has a lock for each step."""

    store: ImageStore
    hold: Callable[[Sequence[str]], None]
    turns: Path
    control: Control
    is_used: bool = True

    def once(self, key: str, make: Callable[[], str], say: Say, *, quiet: bool = False) -> str:
        """Return the layer of a step: the known one, that of another build which is just making it, or what `make` stores."""
        self.control.check()
        if not self.is_used:
            return make()
        layer = self.store.find_layer(key)
        if layer is None:
            file = self.turns / key.rpartition(":")[2]
            with self.control.turn(file, on_wait=lambda: say(" ---> Waiting for another build that does the same")):
                layer = self.store.find_layer(key)  # somebody else may just have made it
                if layer is None:
                    return make()
        if not quiet:
            say(" ---> Using cache")
        return layer

    def write(self, key: str, below: Sequence[str], write: Callable[[LayerWriter], object]) -> str:
        """Store what `write` writes on top of these layers. The same key always gives the same layer."""
        with self.store.new_layer() as pending:
            try:
                write(LayerWriter(pending.diff, self.directories(below)))
            except OSError as exc:
                raise disk_problem(exc, pending.diff) from exc
            return pending.commit(content_key=key, is_reproducible=True)

    def directories(self, layers: Sequence[str]) -> tuple[Path, ...]:
        """Return where the files of layers are, the topmost first."""
        return tuple(self.store.layer_dir(layer) for layer in reversed(layers))
