from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import run
from paas.host.facts import CgroupMode, read_facts
from paas.paths import Paths
from paas.settings import Settings

pytestmark = pytest.mark.integration


def links() -> list[str]:
    return [line.split(":")[1] for line in run(["ip", "-o", "link"]).stdout.splitlines() if "paasprobe" in line]


def test_a_machine_that_runs_these_tests_has_what_containers_need(tmp_path: Path) -> None:
    facts = read_facts(Paths(root=tmp_path, run=tmp_path, etc=tmp_path), Settings(), is_nginx_running=False)
    assert facts.kernel == os.uname().release
    assert {part: reason for part, reason in facts.probes.items() if reason} == {}
    assert "overlay" in facts.filesystems
    assert facts.cgroup_mode in (CgroupMode.UNIFIED, CgroupMode.HYBRID)
    assert {"crun", "conmon", "nft", "git", "nginx"} <= facts.tools.keys()
    assert facts.has_lua_module
    assert facts.disk_free_bytes > 0


def test_probes_leave_nothing_behind(tmp_path: Path) -> None:
    tables = run(["nft", "list", "tables"]).stdout
    read_facts(Paths(root=tmp_path, run=tmp_path, etc=tmp_path), Settings(), is_nginx_running=False)
    assert links() == []
    assert "table ip p" not in run(["nft", "list", "tables"]).stdout.replace(tables, "")


def test_a_directory_that_is_not_there_yet_counts_as_its_disk(tmp_path: Path) -> None:
    missing = tmp_path / "not" / "yet"
    facts = read_facts(Paths(root=missing, run=missing, etc=missing), Settings(), is_nginx_running=False)
    assert facts.disk_free_bytes > 0
    assert not facts.is_server_running
    assert not missing.exists()


def test_a_missing_nginx_is_a_fact_and_not_an_error(tmp_path: Path) -> None:
    paths, settings = Paths(root=tmp_path, run=tmp_path, etc=tmp_path), Settings(nginx_binary="/nowhere/nginx")
    facts = read_facts(paths, settings, is_nginx_running=False)
    assert "nginx" not in facts.tools
    assert facts.nginx_problem == ""
