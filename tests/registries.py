"""Registries on loopback: Debian's docker-registry with TLS and a password, and one that misbehaves as it is told.

Both are real servers on a socket; the second speaks just enough of the protocol to lie in it.
Source: OCI distribution-spec v1.1, "Pull".
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import http.server
import ipaddress
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness import _listens, free_port, wait_until
from paas.oci.manifest import host_platform

USER, PASSWORD = "alice", "correct horse battery staple"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A docker-registry that runs. `domain` is how references begin; `ca` signed its certificate."""

    domain: str
    ca: Path
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def docker_registry(directory: Path, *, is_open: bool = False) -> Iterator[Registry]:
    """Run Debian's docker-registry: with TLS and a login, or in the open without either."""
    port = free_port()
    directory.mkdir()
    config = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "a secret of this test"},
    }
    ca = directory / "ca.crt"
    if not is_open:
        _write_certificates(directory, ca)
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (directory / "htpasswd").write_text(f"{USER}:{hashed}\n")
        config["http"]["tls"] = {"certificate": str(directory / "tls.crt"), "key": str(directory / "tls.key")}  # type: ignore[index]
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
    (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", directory / "config.yml"], stdout=log, stderr=log)
    try:
        wait_until("the registry listens", lambda: _listens(port))
        yield Registry(domain=f"127.0.0.1:{port}", ca=ca, process=process, log=directory / "log")
    finally:
        process.terminate()
        process.wait()


def _write_certificates(directory: Path, ca: Path) -> None:
    """Write a CA and a certificate for loopback that it signed."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("a CA of the tests", key=ca_key, issuer="a CA of the tests", issuer_key=ca_key, is_ca=True)
    own = _certificate("127.0.0.1", key=key, issuer="a CA of the tests", issuer_key=ca_key, is_ca=False)
    ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (directory / "tls.crt").write_bytes(own.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (directory / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))


def _certificate(
    name: str, *, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, is_ca: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        built = built.add_extension(names, critical=False)
    return built.sign(issuer_key, hashes.SHA256())


@dataclass(slots=True, kw_only=True)
class Answer:
    """What the misbehaving registry says to one GET. `stalls` keeps the connection open without another byte."""

    body: bytes
    kind: str = "application/octet-stream"
    length: int = -1
    stalls: threading.Event | None = None


@dataclass(slots=True, kw_only=True)
class LyingRegistry:
    """A registry that serves what it is given, under whatever digest it is asked for."""

    domain: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def serve(self, path: str, body: bytes, *, kind: str = "application/octet-stream", **options: object) -> None:
        """Answer GETs of /v2/shop/<path> with this."""
        self.answers[f"/v2/shop/{path}"] = Answer(body=body, kind=kind, **options)  # type: ignore[arg-type]

    def serve_image(self, layers: list[bytes], *, spoil: Callable[[dict[str, object]], None] = lambda _: None) -> None:
        """Serve an image of these plain tars as shop:v1; `spoil` may change the manifest first."""
        rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
        config = json.dumps({"architecture": host_platform()[0], "os": "linux", "rootfs": rootfs})
        manifest: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob(config.encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [blob(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
        }
        spoil(manifest)
        for content in (config.encode(), *layers):
            self.serve(f"blobs/{digest(content)}", content)
        self.serve("manifests/v1", json.dumps(manifest).encode(), kind=MANIFEST)


MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(content: bytes) -> str:
    """Return the digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def blob(content: bytes, kind: str) -> dict[str, object]:
    """Return the descriptor of a blob."""
    return {"mediaType": kind, "digest": digest(content), "size": len(content)}


@contextlib.contextmanager
def lying_registry() -> Iterator[LyingRegistry]:
    """Run a registry that lies; plain HTTP on loopback."""
    registry = LyingRegistry()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            registry.asked.append(self.path)
            answer = Answer(body=b"{}", kind="application/json") if self.path == "/v2/" else registry.answers.get(self.path)
            self.send_response(200 if answer else 404)
            answer = answer or Answer(body=b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(answer.length if answer.length >= 0 else len(answer.body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # who asked has heard enough
                self.wfile.write(answer.body if self.command != "HEAD" else b"")
                self.wfile.flush()
            if answer.stalls is not None:
                answer.stalls.wait()
            self.close_connection = answer.length >= 0

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    server.daemon_threads = True
    registry.domain = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
