"""What an engine stands on: paths, tools, image store, cgroups, tenants; each found when first needed. No verbs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import resource
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from paas.engines.embedded import cgroups
from paas.engines.embedded.crun import Crun, find_runtime
from paas.engines.embedded.rootfs import Rootfs
from paas.engines.embedded.seccomp import seccomp_for
from paas.engines.embedded.tenancy import Tenancy
from paas.errors import HostProblem
from paas.host.files import atomic_write
from paas.model.capabilities import CAPABILITIES
from paas.model.container import Ulimit
from paas.oci.store import ImageStore
from paas.paths import Paths
from paas.settings import Settings

SECCOMP_PROFILE = Path("/usr/share/containers/seccomp.json")
INITS = (Path("/usr/bin/tini-static"), Path("/usr/bin/catatonit"))
_MAX_OPEN_FILES = 1_048_576


class Ground:
    """The parts of one instance. Safe to share between threads and to inherit by fork."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self.paths = paths
        self.settings = settings
        self.tenancy = Tenancy(paths=paths, settings=settings)
        self.images = ImageStore(paths.images)

    @cached_property
    def crun(self) -> Crun:
        return Crun(binary=find_runtime(), state=self.paths.run / "crun")

    @cached_property
    def conmon(self) -> Path:
        found = shutil.which("conmon", path="/usr/local/bin:/usr/bin:/usr/libexec/podman")
        if found is None:
            raise HostProblem("conmon is not installed", remedy="apt-get install conmon")
        return Path(found)

    @cached_property
    def init(self) -> Path:
        """Return the static init that is bound into containers."""
        for path in INITS:
            if path.exists():
                return path
        raise HostProblem("No container init is installed", remedy="apt-get install tini")

    @cached_property
    def hierarchies(self) -> cgroups.Hierarchies:
        self.prepare_cgroups()
        return cgroups.hierarchies()

    def prepare_cgroups(self) -> tuple[str, ...]:
        """Make the control group trees what containers need; say what was done."""
        return cgroups.prepare_host(favors_moves=self.settings.cgroup_favordynmods)

    @cached_property
    def cgroup_parent(self) -> str:
        return cgroups.parent_for(self.settings.cgroup_parent, self.hierarchies)

    @cached_property
    def seccomp(self) -> Mapping[str, Any]:
        try:
            profile = json.loads(SECCOMP_PROFILE.read_bytes())
        except OSError as exc:
            raise HostProblem(
                f"The seccomp profile {SECCOMP_PROFILE} is missing", remedy="apt-get install golang-github-containers-common"
            ) from exc
        return seccomp_for(profile, CAPABILITIES, platform.machine())

    @cached_property
    def _compiled_seccomp(self) -> Path:
        runtime = self.crun.binary.stat()
        key = f"{json.dumps(self.seccomp)} {runtime.st_mtime_ns} {runtime.st_size}"
        return self.paths.run / f"seccomp-{hashlib.sha256(key.encode()).hexdigest()[:16]}.bpf"

    def seccomp_program(self) -> bytes:
        """Return the compiled seccomp profile, b"" until the runtime has compiled it once since boot (it takes 15 ms)."""
        try:
            return self._compiled_seccomp.read_bytes()
        except FileNotFoundError:
            return b""

    def keep_seccomp_program(self, container: str) -> None:
        """Keep what the runtime has just compiled for a container."""
        if not self._compiled_seccomp.exists():
            with contextlib.suppress(FileNotFoundError):  # not crun's way
                atomic_write(self._compiled_seccomp, (self.crun.state / container / "seccomp.bpf").read_bytes(), mode=0o600)

    def allowed(self, wanted: Ulimit) -> Ulimit:
        """Return a ulimit within what this process may give: without CAP_SYS_RESOURCE not more than its own hard limit."""
        most = resource.getrlimit(getattr(resource, f"RLIMIT_{wanted.name.upper()}"))[1]
        if most == resource.RLIM_INFINITY:
            return wanted
        return replace(wanted, soft=min(wanted.soft, most), hard=min(wanted.hard, most))

    @property
    def max_open_files(self) -> int:
        """Return what a container may open: more than our own hard limit would need CAP_SYS_RESOURCE."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)

    @property
    def sockets(self) -> Path:
        """Return where conmon puts attach sockets. Short: a socket's path has 108 bytes."""
        return self.paths.run / "attach"

    @property
    def claims(self) -> Path:
        return self.paths.containers / ".claims"

    def home(self, container: str) -> Path:
        """Return a container's directory."""
        return self.paths.containers / container

    def homes(self) -> tuple[Path, ...]:
        """Return the directories of all containers, those half made included."""
        try:
            return tuple(Path(e.path) for e in os.scandir(self.paths.containers) if not e.name.startswith("."))
        except FileNotFoundError:
            return ()

    def homes_of(self, app: str) -> tuple[Path, ...]:
        """Return the directories of the containers labelled as this app's; those of all others are not read."""
        key = app_key(app, "")
        try:
            return tuple(self.home(e.name.removeprefix(key)) for e in os.scandir(self.claims / "apps") if e.name.startswith(key))
        except FileNotFoundError:
            return ()

    def rootfs(self, container: str) -> Rootfs:
        """Return where its root is."""
        return Rootfs(home=self.home(container), scene=self.paths.run / "containers" / container)

    def cgroup(self, tenant: int, container: str) -> str:
        """Return a container's cgroup."""
        return f"{cgroups.tenant_cgroup(self.cgroup_parent, tenant)}/{container}"


def app_key(app: str, container: str) -> str:
    """Return under which claim a container of an app is found. Pure."""
    return f"{quote(app, safe='')}@{container}"
