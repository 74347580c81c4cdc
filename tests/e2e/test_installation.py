"""The installer on this very machine: demo, second run, upgrade, removal. Only where the machine may be changed (CI=true)."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Result, run

pytestmark = [pytest.mark.e2e, pytest.mark.machine]

CHECKOUT = Path(__file__).parent.parent.parent
NEIGHBOUR = Path("/etc/nginx/conf.d/neighbour.conf")
SSHD_PID = Path("/run/sshd.pid")
#: One more than the largest pid there can be (include/linux/threads.h).
NO_PID = 1 << 22


def provision(*options: str) -> Result:
    """Run the installer with nothing of the test environment in its way."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return run([CHECKOUT / "vagrant" / "provision.sh", *options], env={"PATH": path}, timeout_s=900)


def curl(host: str, *, port: int = 80) -> Result:
    """GET the front page of a host on this machine."""
    address = f"http://{host}:{port}/"
    return run(["curl", "-sS", "-o", "-", "-w", "\n%{http_code}", "--resolve", f"{host}:{port}:127.0.0.1", address])


@pytest.fixture(scope="module")
def installed() -> Iterator[Result]:
    """The first run, with the demo, beside a site that nginx serves already."""
    NEIGHBOUR.parent.mkdir(parents=True, exist_ok=True)
    NEIGHBOUR.write_text('server { listen 8099; server_name neighbour.test; return 200 "neighbour\\n"; }\n')
    yield provision("--demo").expect()
    NEIGHBOUR.unlink()
    provision("--uninstall", "--purge")
    provision("--prepare").expect()  # purge takes the user away that tests/run.sh made for all tests


def test_the_demo_prints_a_url_that_answers_and_how_long_it_took(installed: Result) -> None:
    assert "=====> The app answers at http://hello.localhost/" in installed.stdout
    assert re.search(r"the push took \d+\.\d{3} s", installed.stdout)
    assert curl("hello.localhost").stdout.endswith("\n200")


def test_another_site_of_nginx_is_still_served(installed: Result) -> None:
    assert curl("neighbour.test", port=8099).stdout.startswith("neighbour")


def test_a_second_run_changes_nothing_and_the_demo_works_again(installed: Result) -> None:
    settings, target = Path("/etc/paas/paas.toml"), Path("/opt/paas/current")
    settings.write_text(settings.read_text() + "# mine\nautocreate-apps = true\n")
    before = (settings.read_text(), target.readlink())
    again = provision("--demo").expect()
    assert (settings.read_text(), target.readlink()) == before
    assert "Installing" not in again.stdout
    assert "Building the base image" not in again.stdout
    assert curl("hello.localhost").stdout.endswith("\n200")


def test_the_machine_passes_its_own_check(installed: Result) -> None:
    run(["/usr/local/bin/paas", "doctor"]).expect()


@pytest.fixture
def no_sshd() -> Iterator[None]:
    """No sshd runs, and the last one was killed; what a test starts is ended."""
    had_one = _sshd_pid() is not None
    if not had_one:
        SSHD_PID.write_text(f"{NO_PID}\n")
    yield
    pid = _sshd_pid()
    if pid is not None and not had_one:
        os.kill(pid, signal.SIGTERM)


def _sshd_pid() -> int | None:
    """Return the pid of the machine's sshd, or None when there is none."""
    try:
        pid = int(SSHD_PID.read_text())
        return pid if Path(f"/proc/{pid}/comm").read_text() == "sshd\n" else None
    except (OSError, ValueError):
        return None


def test_openssh_accepts_the_same_keys(installed: Result, no_sshd: None, tmp_path: Path) -> None:
    provision("--openssh").expect()
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"]).expect()
    run(["/usr/local/bin/paas", "ssh-keys:add", "tester"], stdin=(tmp_path / "key.pub").read_text()).expect()
    ssh = ["ssh", "-i", tmp_path / "key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
           "-o", f"UserKnownHostsFile={tmp_path}/known", "paas@localhost"]  # fmt: skip
    assert "hello" in run([*ssh, "apps:list"]).expect().stdout.split()
    assert run([*ssh, "apps:exists", "nobody"]).code == 20
    assert run([*ssh, "sh", "-c", "id"]).code != 0


def test_removal_keeps_the_data_and_a_new_installation_brings_the_apps_back(installed: Result) -> None:
    provision("--uninstall").expect()
    assert not Path("/opt/paas").exists()
    assert shutil.which("paas", path="/usr/local/bin") is None
    assert not curl("hello.localhost").stdout.endswith("\n200")
    assert Path("/var/lib/paas/paas.db").exists()
    assert curl("neighbour.test", port=8099).stdout.startswith("neighbour")
    provision().expect()
    assert curl("hello.localhost").stdout.endswith("\n200")


def test_purge_leaves_nothing(installed: Result) -> None:
    provision("--uninstall", "--purge").expect()
    assert list(Path("/var/log/nginx").glob("hello-*")) == []
    left = [p for p in ("/var/lib/paas", "/etc/paas", "/run/paas", "/opt/paas", "/etc/nginx/paas") if Path(p).exists()]
    assert left == []
    assert "paasb" not in run(["ip", "-o", "link"]).stdout
    assert [line for line in run(["nft", "list", "tables"]).stdout.splitlines() if "paas" in line] == []
    assert [line for line in Path("/proc/self/mounts").read_text().splitlines() if "/paas/" in line or "favor" in line] == []
    assert list(Path("/sys/fs/cgroup").glob("paas")) + list(Path("/sys/fs/cgroup").glob("*/paas")) == []
