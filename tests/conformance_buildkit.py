"""A BuildKit of its own for the comparison: `buildctl build` with the Dockerfile frontend, bases from a registry on loopback.

    buildkitd --config FILE --addr unix:///tmp/buildkit.sock ...

with `[registry."docker.io"] mirrors = ["127.0.0.1:5000"]` and `[registry."127.0.0.1:5000"] http = true` in FILE, and Debian's
docker-registry at that address.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from conformance import BASE, BASE_CONFIG, Answer, Case, fill_base
from conformance_archive import read_archive
from paas.oci.manifest import host_platform

_UNREACHABLE = ("failed to list workers", "connection refused")


@dataclass(slots=True, kw_only=True)
class BuildKit:
    """A buildkitd at an address, and the registry that it takes bases from."""

    client: str
    address: str
    registry: str
    bases: tuple[str, ...]
    name: str = "BuildKit"
    base_diff_id: str = ""

    @property
    def version(self) -> str:
        """Return what runs there."""
        return self._output("debug", "info").partition("BuildKit:")[2].split()[1]

    def import_base(self, work: Path) -> None:
        """Give it the cases' base image."""
        root, layout = work / "base-files", work / "base-layout"
        root.mkdir()
        fill_base(root)
        archive = work / "base-files.tar"
        subprocess.run(["tar", "--numeric-owner", "--sort=name", "-C", root, "-cf", archive, "."], check=True)
        self.base_diff_id = _write_layout(layout, archive.read_bytes())
        for name in (BASE, *self.bases):
            target = f"docker://{self.registry}/library/{name}:latest"
            subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:base", target], check=True)

    def build(self, case: Case, work: Path) -> Answer:
        """Build a case there, with nothing kept of earlier ones."""
        self._output("prune", "--all")
        tree, archive = case.make_context(work), work / "image.tar"
        file = tree / case.file
        argv = ["build", "--progress=plain", "--frontend=dockerfile.v0", f"--local=context={tree}"]
        argv += [f"--local=dockerfile={file.parent}", f"--opt=filename={file.name}"]
        argv += [f"--opt=build-arg:{name}={value}" for name, value in case.pairs("given").items()]
        argv += [f"--opt=target={case.target}"] if case.target else []
        argv += [f"--secret=id={name},env=SECRET_{name}" for name in case.pairs("secret")]
        argv += [f"--output=type=docker,name=conformance,compression=uncompressed,dest={archive}"]
        done = self._call(*argv, env={f"SECRET_{name}": value for name, value in case.pairs("secret").items()})
        if done.returncode:
            return Answer(error=done.stderr)
        return read_archive(archive, work / "image", base_diff_id=self.base_diff_id)

    def _call(self, *argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.client, f"--addr={self.address}", *argv], env={**os.environ, **(env or {})}, text=True, capture_output=True
        )
        if any(text in done.stderr for text in _UNREACHABLE):
            sys.exit(f"buildctl {argv[0]}: {done.stderr}")
        return done

    def _output(self, *argv: str) -> str:
        done = self._call(*argv)
        if done.returncode:
            sys.exit(f"buildctl {argv[0]}: {done.stderr}")
        return done.stdout


def _write_layout(layout: Path, layer: bytes) -> str:
    """Write an OCI layout with the base image of one layer, called `base`; return the layer's diff_id."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(kind: str, content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    stored = blob("layer.v1.tar", layer)
    config = {
        "os": "linux", "architecture": host_platform()[0], "rootfs": {"type": "layers", "diff_ids": [stored["digest"]]},
        "config": {"Env": [f"{name}={value}" for name, value in BASE_CONFIG.env], "Cmd": list(BASE_CONFIG.cmd)},
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", json.dumps(config).encode()), "layers": [stored],
    }  # fmt: skip
    named = blob("manifest.v1+json", json.dumps(manifest).encode())
    named["annotations"] = {"org.opencontainers.image.ref.name": "base"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return str(stored["digest"])
