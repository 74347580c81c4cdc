"""The seccomp profile of containers: containers-common's format -> the OCI runtime's. Pure.

The source format has includes/excludes by capability and architecture and an archMap; the OCI form has neither.
Source: containers/common pkg/seccomp/types.go; OCI runtime-spec v1.1 config-linux.md, "Seccomp".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

#: uname machine -> the name the profile uses in includes/excludes, the libseccomp name.
_ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}


def seccomp_for(profile: Mapping[str, Any], capabilities: Collection[str], machine: str) -> dict[str, Any]:
    """Return the `linux.seccomp` object for a container with these capabilities on this machine (uname -m)."""
    short, architecture = _ARCHITECTURES.get(machine, (machine, ""))
    found: dict[str, Any] = {
        "defaultAction": profile["defaultAction"],
        "architectures": _architectures(profile, architecture),
        "syscalls": [_rule(rule) for rule in profile["syscalls"] if _applies(rule, capabilities, short)],
    }
    if "defaultErrnoRet" in profile:
        found["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return found


def _architectures(profile: Mapping[str, Any], architecture: str) -> list[str]:
    for entry in profile.get("archMap", ()):
        if entry["architecture"] == architecture:
            return [architecture, *entry.get("subArchitectures", ())]
    return [architecture] if architecture else []


def _applies(rule: Mapping[str, Any], capabilities: Collection[str], architecture: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    if any(capability not in capabilities for capability in includes.get("caps", ())):
        return False
    if architecture in excludes.get("arches", ()):
        return False
    return not any(capability in capabilities for capability in excludes.get("caps", ()))


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"names": list(rule["names"]), "action": rule["action"]}
    if rule.get("args"):
        found["args"] = rule["args"]
    if "errnoRet" in rule:
        found["errnoRet"] = rule["errnoRet"]
    return found
