"""Numbers that no other test run on this machine has, so that several runs live side by side.

A slot stands for interface names, a range of addresses, a range of uids and a cgroup. The kernel gives it back when its
holder dies; one in which somebody who was killed left an instance running is nobody's until that is gone.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

LOCKS = Path("/run/lock/paas-tests")
COUNT = 256
#: Far from the product's own default ranges; a slot's uids are enough for 63 tenants.
_FIRST_UID, _UIDS = 1_100_000_000, 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One slot, held until `release` or the end of this process."""

    number: int
    descriptor: int

    @property
    def prefix(self) -> str:
        """Return how its interfaces and nft tables begin; no prefix is the beginning of another."""
        return f"t{self.number:02x}"

    @property
    def pool(self) -> str:
        """Return its addresses: 64 networks of 254."""
        return f"10.{64 + self.number // 4}.{self.number % 4 * 64}.0/18"

    @property
    def settings(self) -> dict[str, object]:
        """Return the settings of an instance that lives in this slot."""
        return {
            "network_prefix": self.prefix, "network_pool": self.pool, "cgroup_parent": f"/paas-test-{self.prefix}",
            "uid_start": _FIRST_UID + self.number * _UIDS,
        }  # fmt: skip

    def release(self) -> None:
        """Let others have it."""
        os.close(self.descriptor)


def claim_slot() -> Slot:
    """Return a slot that nobody holds."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    for number in range(COUNT):
        descriptor = os.open(LOCKS / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            slot = Slot(number=number, descriptor=descriptor)
            if not _is_lived_in(slot):
                return slot
            slot.release()
    raise AssertionError(f"all {COUNT} slots are taken: {LOCKS}")


def _is_lived_in(slot: Slot) -> bool:
    """Say whether containers of an instance are left there: its repair would take ours for its own orphans."""
    has_network = any(link.name.startswith(slot.prefix) for link in Path("/sys/class/net").iterdir())
    name = str(slot.settings["cgroup_parent"]).lstrip("/")
    hierarchies = (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir())
    return has_network or any((hierarchy / name).is_dir() for hierarchy in hierarchies)
