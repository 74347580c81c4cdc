import pytest

from paas.cli.readable import readable_size, readable_span, table


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (142_000_000, "142 MB"), (3e9, "3 GB"), (5e15, "5000 TB")]
)
def test_sizes_are_rounded_to_a_unit(size, text):
    assert readable_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-0.01, "0 seconds"), (0.4, "0 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (7300, "2 hours"),
     (86400 * 3, "3 days")],
)  # fmt: skip
def test_spans_are_told_in_their_largest_unit(seconds, text):
    assert readable_span(seconds) == text


def test_columns_are_as_wide_as_their_widest_cell():
    assert table(("A", "NAME"), [("longer", "x"), ("b", "y")]) == ("A       NAME", "longer  x", "b       y")
