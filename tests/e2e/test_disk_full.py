"""A full disk: the push is refused with the reason, the app serves on, and after making room all is well."""

from __future__ import annotations

import os

import pytest

from e2e.samples import app
from harness import STACK_IMAGES, Instance, loop_disk, run

pytestmark = pytest.mark.e2e


def test_a_push_to_a_full_disk_is_refused_and_the_next_works() -> None:
    used_mb = int(run(["du", "-sm", STACK_IMAGES]).stdout.split()[0])
    with loop_disk(int(used_mb * 1.3) + 300) as disk, Instance(root=disk / "lib") as instance:
        repository = instance.repository(app("roomy"))
        repository.push("shop").expect()
        instance.ssh("config:set", "shop", "A=before").expect()
        filler = disk / "filler"
        fill(filler)
        repository.commit(app("crowded", **{"data.bin": "x" * (4 << 20)}))
        pushed = repository.push("shop")
        assert pushed.code != 0
        assert "disk" in pushed.stderr.lower() or "space" in pushed.stderr.lower()
        for command in (("config:set", "shop", "A=after"), ("ps:rollback", "shop"), ("ps:rebuild", "shop")):
            refused = instance.ssh(*command)
            assert refused.code != 0
            assert "disk" in refused.stderr.lower() or "space" in refused.stderr.lower()
        assert instance.get("shop.localhost").text == "roomy"
        assert instance.get("shop.localhost", "/env/A").text == "before"
        filler.unlink()
        assert instance.ssh("config:get", "shop", "A").stdout == "before\n"
        repository.push("shop").expect()
        assert instance.get("shop.localhost").text == "crowded"
        assert "running" not in instance.ssh("builds:list", "shop").stdout
        assert "pending" not in instance.ssh("releases:list", "shop").stdout


def fill(file: object) -> None:
    """Write until the disk is full to the last block."""
    with open(str(file), "wb", buffering=0) as stream:
        for size in (1 << 20, 4096):
            try:
                while stream.write(os.urandom(size)):
                    pass
            except OSError:
                continue  # full for this size; the smaller one takes the rest
