"""Which volumes a container gets, and what may be the name of one."""

from __future__ import annotations

import pytest

from paas.engines.embedded.volumes import check_name, image_volumes
from paas.errors import InvalidInput
from paas.model.container import Mount


def test_an_image_volume_that_no_mount_covers_is_anonymous() -> None:
    mounts = (Mount(target="/data/", volume="named"), Mount(target="/tmp"))
    found = image_volumes(("/data", "logs/", "/tmp", "/cache", "/cache/", "/"), mounts)
    assert found == (Mount(target="/logs", is_anonymous=True), Mount(target="/cache", is_anonymous=True))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "-x", "a b", "x" * 129, "a\n"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_name(name)
