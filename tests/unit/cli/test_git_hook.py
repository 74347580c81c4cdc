"""git's proc-receive protocol, spoken by `git:hook`. Source: githooks(5), proc-receive."""

from __future__ import annotations

import io
import signal

import pytest

from paas.cli import git
from paas.host.pktline import FLUSH, packet

PUSHED = packet(f"{'0' * 40} {'a' * 40} refs/heads/master\n") + FLUSH


def test_push_options_are_read_when_git_offers_them():
    said = io.BytesIO(packet("version=1\0atomic push-options\n") + FLUSH + PUSHED + packet("one\n") + packet("two") + FLUSH)
    answer = io.BytesIO()
    updates, options = git.hear(said, answer, actor="alice")
    assert [(u.ref, u.old, u.new, u.actor) for u in updates] == [("refs/heads/master", "0" * 40, "a" * 40, "alice")]
    assert options == ("one", "two")
    assert answer.getvalue() == packet("version=1\0push-options\n") + FLUSH


@pytest.mark.parametrize("offer", ["version=1\n", "version=1\0\n", "version=1\0atomic\n"])
def test_without_an_offer_none_are_expected(offer):
    answer = io.BytesIO()
    updates, options = git.hear(io.BytesIO(packet(offer) + FLUSH + PUSHED), answer, actor="alice")
    assert (len(updates), options) == (1, ())
    assert answer.getvalue() == packet("version=1\n") + FLUSH


def test_an_unknown_option_is_refused_before_anything_is_deployed(cli):
    updates, _ = git.hear(io.BytesIO(packet("version=1\n") + FLUSH + PUSHED), io.BytesIO(), actor="alice")
    said = list(git.answers(cli.ctx, "shop", updates, ("faster",)))
    assert said == ["ng refs/heads/master There is no push option 'faster'"]


def test_whoever_asks_for_it_is_interrupted_by_a_disconnect(cli):
    before = signal.getsignal(signal.SIGHUP)
    try:
        list(git.answers(cli.ctx, "shop", (), ("cancel-on-disconnect",)))
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
