from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from paas.host.process import take_service_manager


def test_systemd_is_told_and_children_do_not_see_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify = take_service_manager()
        assert "NOTIFY_SOCKET" not in os.environ
        notify("READY=1")
        assert manager.recv(64) == b"READY=1"


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    take_service_manager()("READY=1")


def test_a_service_manager_that_is_gone_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    take_service_manager()("READY=1")
