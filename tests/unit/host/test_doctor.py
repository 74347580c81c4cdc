from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paas.host.doctor import Finding, Level, diagnose
from paas.host.facts import TOOLS, CgroupMode, Facts

HEALTHY = Facts(
    is_root=True,
    kernel="6.1.0-40-amd64",
    filesystems=frozenset({"ext4", "overlay"}),
    probes={"user namespaces": "", "bridges": ""},
    cgroup_mode=CgroupMode.UNIFIED,
    cgroup_controllers=frozenset({"cpu", "memory", "pids", "io"}),
    stray_controllers=(),
    tools={name: "1.0" for name in TOOLS if name != "runc"},
    has_lua_module=True,
    nginx_problem="",
    nameservers=("192.0.2.53",),
    domain="localhost",
    is_domain_resolved=True,
    root_filesystem="ext4",
    disk_free_bytes=50 << 30,
    disk_free_share=0.5,
    inodes_free_share=0.5,
    memory_bytes=4 << 30,
    inotify_instances=8192,
    open_files=1_048_576,
    can_raise_limits=True,
    is_forwarding=True,
    is_server_running=True,
    is_nginx_running=True,
    http_port=80,
)


def complaints(**changes: Any) -> list[tuple[str, Level]]:
    return [(f.check, f.level) for f in diagnose(replace(HEALTHY, **changes)) if f.level is not Level.OK]


def without(*names: str) -> dict[str, str]:
    return {name: version for name, version in HEALTHY.tools.items() if name not in names}


def test_a_healthy_machine_has_no_complaints() -> None:
    assert complaints() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"is_root": False}, [("root", Level.PROBLEM)]),
        ({"kernel": "5.15.0-119-generic"}, [("kernel", Level.PROBLEM)]),
        ({"kernel": "5.19.0"}, []),
        ({"kernel": "unreadable"}, [("kernel", Level.PROBLEM)]),
        ({"filesystems": frozenset({"ext4"})}, [("overlayfs", Level.PROBLEM)]),
        ({"probes": {"bridges": "Operation not supported"}}, [("bridges", Level.PROBLEM)]),
        ({"cgroup_mode": CgroupMode.HYBRID}, []),
        ({"cgroup_mode": CgroupMode.LEGACY}, [("cgroups", Level.PROBLEM)]),
        ({"cgroup_controllers": frozenset({"cpu", "pids"})}, [("cgroup controllers", Level.PROBLEM)]),
        ({"cgroup_mode": CgroupMode.HYBRID, "stray_controllers": ("hugetlb",)}, [("hybrid cgroups", Level.PROBLEM)]),
        ({"tools": without("crun")}, [("crun", Level.PROBLEM)]),
        ({"tools": without("crun") | {"runc": "1.1"}}, []),
        ({"tools": without("conmon")}, [("conmon", Level.PROBLEM)]),
        ({"tools": HEALTHY.tools | {"nft": "does not run"}}, [("nft", Level.PROBLEM)]),
        ({"tools": without("skopeo")}, [("skopeo", Level.WARNING)]),
        ({"has_lua_module": False}, [("nginx lua module", Level.PROBLEM)]),
        ({"nginx_problem": "unknown directive"}, [("nginx configuration", Level.PROBLEM)]),
        ({"is_nginx_running": False}, [("nginx", Level.PROBLEM)]),
        ({"nameservers": ()}, [("nameservers", Level.PROBLEM)]),
        ({"is_domain_resolved": False}, [("domain", Level.WARNING)]),
        ({"root_filesystem": "nfs4"}, [("filesystem", Level.WARNING)]),
        ({"disk_free_bytes": 500 << 20}, [("disk", Level.PROBLEM)]),
        ({"inodes_free_share": 0.01}, [("disk", Level.PROBLEM)]),
        ({"disk_free_share": 0.05}, [("disk reserve", Level.WARNING)]),
        ({"memory_bytes": 512 << 20}, [("memory", Level.WARNING)]),
        ({"inotify_instances": 64}, [("inotify", Level.WARNING)]),
        ({"open_files": 1024}, [("open files", Level.WARNING)]),
        ({"can_raise_limits": False}, [("CAP_SYS_RESOURCE", Level.WARNING)]),
        ({"is_server_running": False}, [("server", Level.PROBLEM)]),
        ({"is_forwarding": False}, [("forwarding", Level.WARNING)]),
        ({"is_forwarding": False, "is_server_running": False}, [("server", Level.PROBLEM)]),
    ],
)
def test_each_missing_thing_is_named(changes: dict[str, Any], expected: list[tuple[str, Level]]) -> None:
    assert complaints(**changes) == expected


def test_every_complaint_says_why_and_what_to_type() -> None:
    broken = replace(
        HEALTHY, is_root=False, kernel="4.19", filesystems=frozenset(), probes={"bridges": "no"}, tools={},
        cgroup_mode=CgroupMode.MISSING, cgroup_controllers=frozenset(), nameservers=(), is_domain_resolved=False,
        root_filesystem="nfs", disk_free_bytes=0, memory_bytes=0, inotify_instances=0, open_files=0,
        can_raise_limits=False, is_server_running=False,
    )  # fmt: skip
    findings = [f for f in diagnose(broken) if f.level is not Level.OK]
    assert len(findings) > 20
    assert [f.check for f in findings if not f.why or not f.remedy] == []


def test_a_crun_that_hybrid_cgroups_stop_has_a_cure() -> None:
    findings = diagnose(replace(HEALTHY, cgroup_mode=CgroupMode.HYBRID, stray_controllers=("hugetlb",)))
    assert next(f for f in findings if f.check == "hybrid cgroups") == Finding(
        check="hybrid cgroups",
        level=Level.PROBLEM,
        found="hugetlb left on the v2 tree",
        why="crun refuses to run there",
        remedy="mkdir -p /sys/fs/cgroup/hugetlb && mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb",
    )
