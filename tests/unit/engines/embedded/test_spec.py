from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from paas.engines.embedded.accounts import Account
from paas.engines.embedded.spec import Command, Surroundings, process_config, resources, runtime_config
from paas.model.capabilities import CAPABILITIES
from paas.model.container import Limits, Mount, NetworkMode

COMMAND = Command(argv=("server",), env={"A": "1"}, account=Account(uid=0, gid=0, home="/root"))
AROUND = Surroundings(
    root=Path("/run/paas/containers/c1/root"),
    hostname="shop",
    user_namespace=Path("/run/paas/tenants/3"),
    uid_base=1_000_000,
    cgroup="/paas/t3/c1",
    network=NetworkMode.TENANT,
    init=Path("/usr/bin/tini-static"),
    max_open_files=1024,
)


def test_the_process_runs_below_the_init_with_dockers_capabilities_only() -> None:
    assert process_config(COMMAND, AROUND) == {
        "terminal": False,
        "user": {"uid": 0, "gid": 0, "additionalGids": [0], "umask": 0o022},
        "args": ["/dev/.init", "--", "server"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "A=1"],
        "cwd": "/",
        "capabilities": {
            "bounding": list(CAPABILITIES), "effective": list(CAPABILITIES), "permitted": list(CAPABILITIES),
            "inheritable": [], "ambient": [],
        },
        "noNewPrivileges": True,
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
    }  # fmt: skip
    assert "CAP_SYS_ADMIN" not in CAPABILITIES and "CAP_NET_ADMIN" not in CAPABILITIES


def test_a_user_other_than_root_holds_no_capability() -> None:
    config = process_config(replace(COMMAND, account=Account(uid=5, gid=5)), AROUND)
    assert (config["capabilities"]["effective"], config["capabilities"]["permitted"]) == ([], [])


def test_the_container_has_namespaces_of_its_own_in_the_tenants_user_namespace() -> None:
    linux = runtime_config(COMMAND, AROUND)["linux"]
    assert linux["namespaces"] == [
        {"type": "user", "path": "/run/paas/tenants/3"},
        *({"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup", "network")),
    ]
    assert linux["uidMappings"] == linux["gidMappings"] == [{"containerID": 0, "hostID": 1_000_000, "size": 65536}]
    assert linux["cgroupsPath"] == "/paas/t3/c1"


def test_in_the_hosts_network_no_namespace_and_no_sysctl_is_asked_for() -> None:
    config = runtime_config(COMMAND, replace(AROUND, network=NetworkMode.HOST))
    assert {"type": "network"} not in config["linux"]["namespaces"]
    assert "sysctl" not in config["linux"]
    (system,) = [m for m in config["mounts"] if m["destination"] == "/sys"]
    assert (system["type"], "ro" in system["options"]) == ("bind", True)


def test_mounts_follow_the_fixed_ones_as_asked() -> None:
    mounts = (
        Mount(source=Path("/srv"), target="/data"),
        Mount(source=Path("/etc/ssl"), target="/ssl", is_read_only=True, is_mapped=False),
        Mount(target="/scratch", size_bytes=4096),
    )
    files = ((Path("/c/hosts"), "/etc/hosts"),)
    config = runtime_config(COMMAND, replace(AROUND, mounts=mounts, files=files))
    assert [(m["destination"], m["type"], m["source"], m["options"]) for m in config["mounts"][-4:]] == [
        ("/etc/hosts", "bind", "/c/hosts", ["bind", "rw", "nosuid", "nodev"]),
        ("/data", "bind", "/srv", ["bind", "rw", "nodev", "nosuid", "rprivate", "idmap"]),
        ("/ssl", "bind", "/etc/ssl", ["bind", "ro", "nodev", "nosuid", "rprivate"]),
        ("/scratch", "tmpfs", "tmpfs", ["rw", "nosuid", "nodev", "mode=1777", "size=4096"]),
    ]


def test_limits_become_resources_and_no_limit_none() -> None:
    devices = [{"allow": False, "access": "rwm"}]
    assert resources(Limits()) == {"devices": devices}
    assert resources(Limits(memory_bytes=1000, swap_bytes=24, cpu_millis=500, pids=9)) == {
        "devices": devices,
        "memory": {"limit": 1000, "swap": 1024},
        "cpu": {"quota": 50_000, "period": 100_000},
        "pids": {"limit": 9},
    }
    assert resources(Limits(reserved_memory_bytes=500, reserved_cpu_millis=500)) == {
        "devices": devices, "memory": {"reservation": 500}, "cpu": {"shares": 512},
    }  # fmt: skip
    assert resources(Limits(memory_bytes=1000, swap_bytes=-1, reserved_memory_bytes=500))["memory"] == {
        "limit": 1000, "swap": -1, "reservation": 500,
    }  # fmt: skip


def test_a_compiled_profile_is_handed_over_beside_its_source() -> None:
    config = runtime_config(COMMAND, replace(AROUND, seccomp={"defaultAction": "x"}, seccomp_program=b"\x01\x02"))
    assert config["annotations"] == {"run.oci.seccomp_bpf_data": "AQI="}
    assert config["linux"]["seccomp"] == {"defaultAction": "x"}
