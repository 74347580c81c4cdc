"""What root in a container may do: Docker's default capabilities, and never more. Source: moby oci/caps/defaults.go."""

from __future__ import annotations

from collections.abc import Collection

CAPABILITIES = tuple(
    f"CAP_{name}" for name in (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
ALL = "CAP_ALL"


def remaining_capabilities(*, dropped: Collection[str], added: Collection[str]) -> tuple[str, ...]:
    """Return what is left of the default set: what is added wins over what is dropped, by name over ALL. Pure."""
    return tuple(
        name for name in CAPABILITIES
        if name in added or (name not in dropped and (ALL not in dropped or ALL in added))
    )  # fmt: skip
