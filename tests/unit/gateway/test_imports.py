"""What the gateway's process, which is there all the time, loads."""

from __future__ import annotations

import subprocess
import sys


def test_paramiko_comes_without_what_only_clients_need() -> None:
    script = "import sys, paas.gateway.__main__; print(*(name for name, module in sys.modules.items() if module))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert "paramiko" in loaded
    assert {"invoke", "asyncio", "unittest"} & set(loaded) == set()
