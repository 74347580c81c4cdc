"""An embedded engine of a test's own, with an image of busybox and the web server of tests/apps/http-static, or given ones."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import SCRATCH
from paas.engines.embedded import cgroups
from paas.engines.embedded.engine import EmbeddedEngine
from paas.model.container import PLATFORM, Tenant
from paas.network import bridge, firewall
from paas.oci.manifest import ImageConfig
from paas.oci.store import ImageStore
from paas.paths import Paths
from paas.settings import Settings
from slots import claim_slot

BUSYBOX = Path("/bin/busybox")
SERVER = Path(__file__).parent / "apps/http-static/server.c"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineGround:
    """The engine and what it was made with."""

    engine: EmbeddedEngine
    paths: Paths
    settings: Settings
    store: ImageStore

    def tenant(self, number: int) -> Tenant:
        """Return a tenant of the test's."""
        return Tenant(name=f"tenant{number}", number=number)


@contextlib.contextmanager
def engine_ground(*, parent: Path = SCRATCH, images: Path | None = None) -> Iterator[EngineGround]:
    """Make an engine in directories of its own below `parent`; everything it made is gone afterwards.

    With `images` its store begins with what is in that one, by hard links.
    """
    assert images is None or images.is_dir(), f"{images} is missing: run tests/run.sh"
    # Not below pytest's directories, which are 0700: the runtime looks for a container's root as the tenant.
    root = Path(tempfile.mkdtemp(prefix="paas-engine-", dir=parent))
    root.chmod(0o755)
    slot = claim_slot()
    paths = Paths(root=root / "lib", run=root / "run", etc=root / "etc")
    settings = Settings(**slot.settings)  # type: ignore[arg-type]
    engine = EmbeddedEngine(paths=paths, settings=settings)
    try:
        if images is not None:
            paths.root.mkdir()
            subprocess.run(["cp", "-al", images, paths.images], check=True)
        store = ImageStore(paths.images)
        if images is None:
            make_image(store)
        yield EngineGround(engine=engine, paths=paths, settings=settings, store=store)
    finally:
        for container in engine.list():
            engine.remove(container.id, is_forced=True)
        engine.repair()
        for tenant in range(1, 10):
            engine.release_tenant(Tenant(name="", number=tenant))
        engine.release_tenant(PLATFORM)
        for name in bridge.interfaces(settings.network_prefix):
            bridge.remove_interface(name)
        firewall.uninstall(settings.network_prefix)
        cgroups.remove(cgroups.hierarchies(), settings.cgroup_parent)
        shutil.rmtree(root)
        slot.release()


def make_image(store: ImageStore) -> None:
    """Put `busybox` into a store: its applets, an unprivileged user, the web server."""
    with store.new_layer() as layer:
        for directory in ("bin", "etc", "root", "tmp", "home/app"):
            (layer.diff / directory).mkdir(parents=True)
        (layer.diff / "tmp").chmod(0o1777)
        shutil.copy2(BUSYBOX, layer.diff / "bin/busybox")
        for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if applet != "busybox":
                (layer.diff / "bin" / applet).symlink_to("busybox")
        shutil.copy2(compiled_server(), layer.diff / "bin/server")
        (layer.diff / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
        (layer.diff / "etc/group").write_text("root:x:0:\napp:x:1000:\nextra:x:2000:app\n")
        layer.commit()
    store.create_image(ImageConfig(cmd=("sh",), env=(("PATH", "/bin"), ("FROM", "image"))), [layer.id], reference="busybox")


@functools.cache
def compiled_server() -> Path:
    """Compile the web server once."""
    directory = Path(tempfile.mkdtemp(prefix="paas-server-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    binary = directory / "server"
    subprocess.run(["gcc", "-static", "-O2", "-o", binary, SERVER], check=True)
    return binary
