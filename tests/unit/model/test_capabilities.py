from __future__ import annotations

import pytest

from paas.model.capabilities import CAPABILITIES, remaining_capabilities


@pytest.mark.parametrize(
    ("dropped", "added", "left"),
    [
        ((), (), CAPABILITIES),
        (("CAP_CHOWN",), (), CAPABILITIES[:1] + CAPABILITIES[2:]),
        (("CAP_ALL",), (), ()),
        (("CAP_ALL",), ("CAP_CHOWN", "CAP_KILL"), ("CAP_CHOWN", "CAP_KILL")),
        (("CAP_CHOWN",), ("CAP_CHOWN",), CAPABILITIES),
        (("CAP_ALL", "CAP_CHOWN"), ("CAP_ALL",), CAPABILITIES[:1] + CAPABILITIES[2:]),
    ],
)
def test_what_is_added_wins_over_what_is_dropped(dropped: tuple[str, ...], added: tuple[str, ...], left: tuple[str, ...]) -> None:
    assert remaining_capabilities(dropped=dropped, added=added) == left
