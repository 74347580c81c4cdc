from hypothesis import given, settings
from hypothesis import strategies as st

from paas.model.env import Secret
from paas.state import State

KEYS = st.from_regex(r"[A-Z_]{1,5}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(KEYS, VALUES))
def test_config_values_survive_byte_for_byte(tmp_path_factory, values):
    state = State(tmp_path_factory.mktemp("s") / "paas.db")
    state.config.set("shop", values)
    assert State(state.db.file).config.get("shop") == values


def test_config_of_an_app_wins_over_the_global_one_and_never_shows_itself(state):
    assert state.config.set("", {"A": "global", "B": "global"})
    assert state.config.set("shop", {"A": "own"})
    assert not state.config.set("shop", {"A": "own"})
    merged = state.config.merged("shop")
    assert merged == {"A": "own", "B": "global"}
    assert all(isinstance(value, Secret) for value in merged.values())
    assert "own" not in repr(merged)
    assert state.config.unset("shop", ["A", "NOT_THERE"])
    assert not state.config.unset("shop", ["A"])


def test_an_apps_property_wins_over_the_global_one_and_empty_clears(state):
    state.properties.set("", "nginx", "hsts", "true")
    state.properties.set("shop", "nginx", "hsts", "false")
    assert state.properties.merged("shop") == {"nginx.hsts": "false"}
    state.properties.set("shop", "nginx", "hsts", "")
    assert state.properties.merged("shop") == {"nginx.hsts": "true"}
