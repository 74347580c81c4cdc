"""Every way in which a deploy can fail half-way, under load: nothing has changed afterwards and no visitor noticed.

The rows are the failures that other platforms leave half a change behind; a good deploy follows each, so that none of them
leaves a trap for the next.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.load import Load
from e2e.matrix import (
    ROWS,
    SHOP,
    broken_site,
    deployed_shop,
    push,
    push_and_hang_up,
    push_and_kill,
    push_row,
    push_with_failing_postdeploy,
    server,
    settled,
)
from harness import Instance, Repository

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def shop(instance: Instance) -> Iterator[Repository]:
    """An app with two web processes and a worker."""
    yield deployed_shop(instance)
    instance.paas("apps:destroy", SHOP, "--force")


@pytest.fixture
def visitors(instance: Instance, shop: Repository) -> Iterator[Load]:
    """Visitors who must notice nothing, whatever the test does."""
    settled(shop)
    with Load(instance, f"{SHOP}.localhost") as load:
        yield load
    assert load.errors == []


@pytest.mark.parametrize("row", ROWS)
def test_a_failed_deploy_changes_nothing_and_the_next_one_works(shop: Repository, visitors: Load, row: str) -> None:
    before = settled(shop)
    push_row(shop, row)
    assert settled(shop) == before
    assert "broken" not in visitors.answers
    push(shop, {"server.py": server(f"good after: {row}")}).expect()
    assert shop.instance.get(f"{SHOP}.localhost").text == f"good after: {row}"


def test_a_postdeploy_task_that_fails_does_not_take_back_what_serves(shop: Repository, visitors: Load) -> None:
    before = settled(shop)
    push_with_failing_postdeploy(shop, "with postdeploy")
    after = settled(shop)
    assert shop.instance.get(f"{SHOP}.localhost").text == "with postdeploy"
    assert after.branch == shop.git("rev-parse", "HEAD").stdout.strip()
    assert after.release == before.release + 1
    assert not after.containers & before.containers
    push(shop, {}).expect()


def test_a_site_that_breaks_nginx_holds_up_no_deploy_and_no_other_change_is_half_made(shop: Repository) -> None:
    instance = shop.instance
    settled(shop)
    with broken_site(instance):
        with Load(instance, f"{SHOP}.localhost") as visitors:
            push(shop, {"server.py": server("past a broken site")}).expect()
        assert visitors.errors == []
        assert instance.get(f"{SHOP}.localhost").text == "past a broken site"
        refused = instance.ssh("domains:add", SHOP, "shop.example.test")
        assert refused.code != 0
        assert "zz-by-hand.conf" in refused.output
        assert "shop.example.test" not in instance.ssh("domains:report", SHOP).stdout
    instance.ssh("domains:add", SHOP, "shop.example.test").expect()
    assert instance.get("shop.example.test").text == "past a broken site"
    instance.ssh("domains:remove", SHOP, "shop.example.test").expect()


def test_a_developer_who_hangs_up_gets_the_deploy_finished(shop: Repository, visitors: Load) -> None:
    push_and_hang_up(shop, "without its developer")
    push(shop, {}).expect()


def test_a_deploy_that_is_killed_half_way_has_not_happened(shop: Repository, visitors: Load) -> None:
    before = settled(shop)
    push_and_kill(shop)
    assert settled(shop) == before
    push(shop, {"server.py": server("good after a kill")}).expect()
    assert shop.instance.get(f"{SHOP}.localhost").text == "good after a kill"
