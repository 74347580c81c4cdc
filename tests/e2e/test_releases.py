"""The ledger as a user reads it and goes back in it; images that a kept release needs outlive every clean-up."""

from __future__ import annotations

import json
import os

import pytest

from e2e.samples import app
from harness import Instance, wait_until

pytestmark = pytest.mark.e2e


def test_the_ledger_tells_what_happened_and_one_can_go_back_to_it(fresh_instance: Instance) -> None:
    instance = fresh_instance
    repository = instance.repository(app("one"))
    repository.push("shop").expect()
    instance.ssh("config:set", "shop", "COLOR=green").expect()
    repository.commit(app("two"))
    repository.push("shop").expect()
    repository.commit(app("broken", **{"server.py": "raise SystemExit('no')\n"}))
    assert repository.push("shop").code != 0
    ledger = json.loads(instance.ssh("releases:list", "shop", "--format", "json").expect().stdout)
    assert [(r["version"], r["status"], r["actor"], r["cause"], r["config-changed"]) for r in ledger] == [
        (4, "failed", "tester", "git push", []), (3, "current", "tester", "git push", []),
        (2, "superseded", "tester", "config:set +COLOR", ["+COLOR"]), (1, "superseded", "tester", "git push", []),
    ]  # fmt: skip
    deploys = json.loads(instance.ssh("builds:list", "shop", "--format", "json").expect().stdout)
    assert [(d["kind"], d["status"], d["release"]) for d in deploys] == [
        ("build", "failed", 4), ("build", "succeeded", 3), ("deploy", "succeeded", 2), ("build", "succeeded", 1),
    ]  # fmt: skip
    assert "no" in instance.ssh("builds:output", "shop", "4").stdout
    difference = json.loads(instance.ssh("releases:diff", "shop", "v1", "v3", "--format", "json").expect().stdout)
    assert difference["config"] == ["+COLOR"] and difference["image"] and difference["revision"]
    assert "never served: it failed" in instance.ssh("ps:rollback", "shop", "v4").expect(1).stderr
    instance.ssh("ps:rollback", "shop", "v1").expect()
    assert instance.get("shop.localhost").text == "one"
    assert instance.get("shop.localhost", "/env/COLOR").text == "<unset>"
    assert "rolled-back" in instance.ssh("releases:info", "shop", "v3").expect().stdout
    wait_until("the containers of v3 are gone", lambda: len(json.loads(instance.paas("ps:inspect", "shop").stdout)) == 1)
    assert removed(instance) == [ledger[0]["image"]]  # of what failed, and no other
    instance.ssh("ps:rollback", "shop", "v3").expect()
    assert instance.get("shop.localhost").text == "two"
    instance.ssh("releases:set", "shop", "keep", "1").expect()
    wait_until("the containers of v5 are gone", lambda: len(json.loads(instance.paas("ps:inspect", "shop").stdout)) == 1)
    assert removed(instance) == [ledger[3]["image"]]
    assert "The image of v1 of shop is gone" in instance.ssh("ps:rollback", "shop", "v1").expect(1).stderr
    assert instance.get("shop.localhost").text == "two"


def removed(instance: Instance) -> list[str]:
    """Return the images that a clean-up removes when all of them are old."""
    for file in (instance.root / "images" / "images").glob("*.json"):
        os.utime(file, (0, 0))
    return list(json.loads(instance.paas("image:prune", "--format", "json").expect().stdout)["removed"])
