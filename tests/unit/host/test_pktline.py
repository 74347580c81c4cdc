import io

from hypothesis import given
from hypothesis import strategies as st

from paas.host.pktline import FLUSH, packet, packets_until_flush


def test_a_packet_carries_its_length_in_hexadecimal():
    assert packet("version=1\n") == b"000eversion=1\n"


def test_packets_are_read_up_to_the_flush_and_no_further():
    stream = io.BytesIO(packet("a\n") + packet("b") + FLUSH + packet("next"))
    assert list(packets_until_flush(stream)) == ["a", "b"]
    assert list(packets_until_flush(stream)) == ["next"]
    assert list(packets_until_flush(stream)) == []


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=200)))
def test_what_is_framed_is_read_back(lines):
    stream = io.BytesIO(b"".join(packet(line + "\n") for line in lines) + FLUSH)
    assert list(packets_until_flush(stream)) == lines
