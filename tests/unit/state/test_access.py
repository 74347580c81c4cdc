import pytest

from paas.errors import Conflict, NotFound


def test_a_key_comes_in_once_under_one_name(state):
    state.access.add_key("me", "ssh-ed25519 AAA", "SHA256:a", 1)
    with pytest.raises(Conflict, match="'me' exists"):
        state.access.add_key("me", "ssh-ed25519 BBB", "SHA256:b", 1)
    with pytest.raises(Conflict, match="known already, as 'me'"):
        state.access.add_key("you", "ssh-ed25519 AAA", "SHA256:a", 1)
    state.access.remove_key("me")
    with pytest.raises(NotFound):
        state.access.remove_key("me")
    assert state.access.keys() == ()
