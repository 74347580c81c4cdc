"""Renames."""

from __future__ import annotations

import pytest

from paas.deploy import apps
from paas.errors import InvalidInput


def test_an_app_does_not_wait_for_itself_to_get_its_own_name(ctx):
    apps.create(ctx, "shop")
    with pytest.raises(InvalidInput, match="shop has that name already"):
        apps.rename(ctx, "shop", "shop")
