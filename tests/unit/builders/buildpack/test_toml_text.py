"""What is written is what tomllib reads."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.builders.buildpack.inside.toml_text import render_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(TEXT, st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_every_document_comes_back(document: dict[str, Any]) -> None:
    assert tomllib.loads(render_toml(document)) == document


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"metadata": {"key": "a\"b"}}, '\n[metadata]\nkey = "a\\"b"\n'),
        ({"entries": [{"name": "jdk"}]}, '\n[[entries]]\nname = "jdk"\n'),
        ({"at": datetime(2024, 1, 2, tzinfo=UTC)}, "at = 2024-01-02T00:00:00+00:00\n"),
        ({"a b": {"c.d": [1, True]}}, '\n["a b"]\n"c.d" = [1, true]\n'),
    ],
)
def test_documents_look_as_people_write_them(document: dict[str, Any], text: str) -> None:
    assert render_toml(document) == text
