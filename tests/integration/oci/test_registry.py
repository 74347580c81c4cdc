"""Pull, push and logins against a real registry with TLS and a password, and against one that lies."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness import wait_until
from paas.errors import HostProblem, InvalidInput, NotFound
from paas.oci.digest import Digest
from paas.oci.limits import UnpackLimits
from paas.oci.logins import Logins
from paas.oci.manifest import HistoryEntry, ImageConfig, host_platform
from paas.oci.registry import log_in, log_out, pull_image, push_image
from paas.oci.skopeo import Registries
from paas.oci.store import Image, ImageStore
from registries import MANIFEST, PASSWORD, USER, LyingRegistry, Registry, digest, docker_registry, lying_registry

pytestmark = pytest.mark.integration
LIMITS = UnpackLimits(max_bytes=64 << 20, max_files=1000)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry") / "r") as running:
        yield running


@pytest.fixture
def liar() -> Iterator[LyingRegistry]:
    with lying_registry() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def other(tmp_path: Path) -> ImageStore:
    """Another machine's store."""
    return ImageStore(tmp_path / "other")


@pytest.fixture
def image(store: ImageStore) -> Image:
    return make_image(store, "shop:v1")


def make_image(store: ImageStore, reference: str, content: str = "hello") -> Image:
    with store.new_layer() as layer:
        (layer.diff / "file").write_text(content)
        (layer.diff / "program").write_text("x")
        (layer.diff / "program").chmod(0o4755)
        layer_id = layer.commit()
    config = ImageConfig(cmd=("/bin/sh",), env=(("A", "b"),), history=(HistoryEntry(created_by="COPY"),))
    return store.create_image(config, [layer_id], reference=reference)


@pytest.fixture
def registries(tmp_path: Path, registry: Registry) -> Registries:
    """An instance that knows the registry's CA and has not logged in."""
    certs = tmp_path / "certs" / registry.domain
    certs.mkdir(parents=True)
    (certs / "ca.crt").write_bytes(registry.ca.read_bytes())
    return Registries(
        logins=Logins(directory=tmp_path / "logins"), conf=tmp_path / "registries.conf", certs=tmp_path / "certs", limits=LIMITS
    )


@pytest.fixture
def open_registries(tmp_path: Path, liar: LyingRegistry) -> Registries:
    """An instance that may speak to the liar without TLS."""
    conf = tmp_path / "registries.conf"
    conf.write_text(f'[[registry]]\nlocation = "{liar.domain}"\ninsecure = true\n')
    return Registries(
        logins=Logins(directory=tmp_path / "logins"), conf=conf, certs=tmp_path, stall_s=1, limits=LIMITS
    )


def test_an_image_comes_back_from_a_private_registry_as_it_was(
    registry: Registry, registries: Registries, store: ImageStore, other: ImageStore, image: Image
) -> None:
    log_in(registries, registry.domain, USER, PASSWORD)
    push_image(store, "shop:v1", f"{registry.domain}/team/shop:v1", registries=registries)
    pulled = pull_image(other, f"{registry.domain}/team/shop:v1", registries=registries)
    assert pulled.config == image.config
    (layer,) = pulled.layers
    assert (other.layer_dir(layer) / "file").read_text() == "hello"
    assert stat.S_IMODE((other.layer_dir(layer) / "program").stat().st_mode) == 0o4755
    assert other.references(pulled.id) == (f"{registry.domain}/team/shop:v1",)
    assert pull_image(other, f"{registry.domain}/team/shop:v1", registries=registries).id == pulled.id
    assert len(other.layers()) == 1 and other.leftovers() == store.leftovers() == ()


def test_a_login_is_kept_for_root_alone_and_never_shown(
    registry: Registry, registries: Registries, store: ImageStore, image: Image
) -> None:
    log_in(registries, registry.domain, USER, PASSWORD)
    file = registries.logins.file
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert registries.logins.own() == (registry.domain,)
    log_out(registries, registry.domain)
    assert registries.logins.own() == ()
    with pytest.raises(NotFound):
        log_out(registries, registry.domain)


def test_an_app_s_login_is_for_that_app_alone(
    registry: Registry, registries: Registries, store: ImageStore, image: Image
) -> None:
    shop, blog = (replace(registries, logins=replace(registries.logins, app=app)) for app in ("shop", "blog"))
    log_in(shop, registry.domain, USER, PASSWORD)
    push_image(store, image.id, f"{registry.domain}/apps/shop:v1", registries=shop)
    for stranger in (blog, registries):
        with pytest.raises(HostProblem) as caught:
            push_image(store, image.id, f"{registry.domain}/apps/shop:v2", registries=stranger)
        assert caught.value.remedy == f"log in: paas registry:login --global {registry.domain} <user> --password-stdin"


def test_a_wrong_password_is_refused_and_not_kept(registry: Registry, registries: Registries) -> None:
    with pytest.raises(HostProblem, match="Could not log in at") as caught:
        log_in(registries, registry.domain, USER, "wrong")
    assert "wrong" not in "\n".join(caught.value.output) and registries.logins.own() == ()


def test_a_certificate_of_an_unknown_ca_is_refused_with_the_way_out(
    registry: Registry, registries: Registries, store: ImageStore, image: Image, tmp_path: Path
) -> None:
    strict = replace(registries, certs=tmp_path / "none")
    with pytest.raises(HostProblem) as caught:
        pull_image(store, f"{registry.domain}/team/shop:v1", registries=strict)
    assert caught.value.remedy == f"put the certificate of its CA into {tmp_path}/none/{registry.domain}/ca.crt"


def test_a_name_that_is_not_there_is_said_so(registry: Registry, registries: Registries, store: ImageStore) -> None:
    log_in(registries, registry.domain, USER, PASSWORD)
    with pytest.raises(HostProblem) as caught:
        pull_image(store, f"{registry.domain}/no/such:image", registries=registries)
    assert caught.value.remedy == "check the name and the tag"


def test_an_index_gives_the_image_for_this_machine(
    registry: Registry, registries: Registries, store: ImageStore, other: ImageStore, tmp_path: Path
) -> None:
    log_in(registries, registry.domain, USER, PASSWORD)
    here = host_platform()[0]
    entries = []
    for architecture in ("s390x", here, "riscv64"):
        built = make_image(store, f"multi:{architecture}", architecture)
        push_image(store, built.id, f"{registry.domain}/multi:{architecture}", registries=registries)
        authfile = registries.logins.file
        said = subprocess.run(
            ["skopeo", "inspect", "--raw", f"--authfile={authfile}", f"--cert-dir={registries.certs / registry.domain}",
             f"docker://{registry.domain}/multi:{architecture}"], check=True, capture_output=True,
        ).stdout  # fmt: skip
        entries.append({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(said), "size": len(said),
            "platform": {"architecture": architecture, "os": "linux"},
        })  # fmt: skip
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    put_manifest(registry, "multi", "all", json.dumps(index).encode(), index["mediaType"])
    pulled = pull_image(other, f"{registry.domain}/multi:all", registries=registries)
    assert (other.layer_dir(pulled.layers[0]) / "file").read_text() == here
    index["manifests"] = [entries[0], entries[2]]
    put_manifest(registry, "multi", "others", json.dumps(index).encode(), index["mediaType"])
    with pytest.raises(HostProblem) as caught:
        pull_image(other, f"{registry.domain}/multi:others", registries=registries)
    assert caught.value.remedy == "it is not made for this kind of machine; ask for another tag"


def put_manifest(registry: Registry, name: str, tag: str, content: bytes, kind: object) -> None:
    argv = ["curl", "-sf", "--cacert", registry.ca, "-u", f"{USER}:{PASSWORD}", "-X", "PUT", "-H", f"Content-Type: {kind}"]
    url = f"https://{registry.domain}/v2/{name}/manifests/{tag}"
    subprocess.run([*argv, "--data-binary", "@-", url], input=content, check=True)


def test_a_mirror_is_asked_in_place_of_the_registry(tmp_path: Path, store: ImageStore, other: ImageStore, image: Image) -> None:
    with docker_registry(tmp_path / "mirror", is_open=True) as mirror:
        conf = tmp_path / "registries.conf"
        open_mirror = f'[[registry]]\nlocation = "{mirror.domain}"\ninsecure = true\n'
        conf.write_text(
            f'{open_mirror}[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n'
            f'[[registry.mirror]]\nlocation = "{mirror.domain}"\ninsecure = true\n'
        )
        registries = Registries(conf=conf, certs=tmp_path, limits=LIMITS)
        push_image(store, image.id, f"{mirror.domain}/library/shop:v1", registries=registries)
        pulled = pull_image(other, "shop:v1", registries=registries)
    assert other.references(pulled.id) == ("shop:v1",)
    assert pulled.config == image.config


@pytest.mark.parametrize("style", ["gzip", "zstd"])
def test_layers_come_compressed_in_either_way(
    style: str, registry: Registry, registries: Registries, store: ImageStore, other: ImageStore, image: Image, tmp_path: Path
) -> None:
    from paas.oci.layout import write_layout

    log_in(registries, registry.domain, USER, PASSWORD)
    write_layout(store, image, tmp_path / "layout")
    target = f"{registry.domain}/packed:{style}"
    subprocess.run(
        ["skopeo", "copy", f"--dest-compress-format={style}", f"--authfile={registries.logins.file}",
         f"--dest-cert-dir={registries.certs / registry.domain}", f"oci:{tmp_path / 'layout'}", f"docker://{target}"],
        check=True, capture_output=True,
    )  # fmt: skip
    pulled = pull_image(other, target, registries=registries)
    assert (other.layer_dir(pulled.layers[0]) / "file").read_text() == "hello"


# -- registries that do harm


def layer_tar(name: str = "file", size: int = 10) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = size
        tar.addfile(member, io.BytesIO(b"x" * size))
    return stream.getvalue()


def refused(store: ImageStore, liar: LyingRegistry, registries: Registries) -> HostProblem | InvalidInput:
    """Pull what must be refused; see that nothing of it is in the store; return the error."""
    with pytest.raises((HostProblem, InvalidInput)) as caught:
        pull_image(store, f"{liar.domain}/shop:v1", registries=registries)
    assert (store.images(), store.layers(), store.tags(), store.leftovers()) == ((), (), {}, ())
    error = caught.value
    assert isinstance(error, HostProblem | InvalidInput)
    return error


def test_an_honest_image_of_that_registry_is_taken(store: ImageStore, liar: LyingRegistry, open_registries: Registries) -> None:
    liar.serve_image([layer_tar()])
    image = pull_image(store, f"{liar.domain}/shop:v1", registries=open_registries)
    assert (store.layer_dir(image.layers[0]) / "file").read_text() == "x" * 10


def test_a_blob_that_is_not_what_its_digest_says_is_refused(
    store: ImageStore, liar: LyingRegistry, open_registries: Registries
) -> None:
    honest, evil = layer_tar(), layer_tar("evil")
    liar.serve_image([honest])
    liar.serve(f"blobs/{digest(honest)}", evil)
    assert "igest" in "\n".join(refused(store, liar, open_registries).output)


def test_a_manifest_that_is_not_what_was_asked_for_is_refused(
    store: ImageStore, liar: LyingRegistry, open_registries: Registries
) -> None:
    liar.serve_image([layer_tar()])
    wanted = digest(b"another manifest")
    liar.answers[f"/v2/shop/manifests/{wanted}"] = liar.answers["/v2/shop/manifests/v1"]
    with pytest.raises(HostProblem, match="Could not pull"):
        pull_image(store, f"{liar.domain}/shop@{wanted}", registries=open_registries)
    assert store.images() == ()


def test_a_wrong_size_is_refused(store: ImageStore, liar: LyingRegistry, open_registries: Registries) -> None:
    def spoil(manifest: dict[str, object]) -> None:
        manifest["layers"][0]["size"] = 5  # type: ignore[index]

    liar.serve_image([layer_tar()], spoil=spoil)
    assert "but the manifest says 5" in refused(store, liar, open_registries).message


def test_a_missing_layer_is_refused(store: ImageStore, liar: LyingRegistry, open_registries: Registries) -> None:
    liar.serve_image([layer_tar()])
    del liar.answers[f"/v2/shop/blobs/{digest(layer_tar())}"]
    assert refused(store, liar, open_registries).message == f"Could not pull {liar.domain}/shop:v1"


def test_a_connection_that_is_cut_is_an_error(store: ImageStore, liar: LyingRegistry, open_registries: Registries) -> None:
    layer = layer_tar(size=100_000)
    liar.serve_image([layer])
    liar.serve(f"blobs/{digest(layer)}", layer[:50_000], length=len(layer))
    assert "unexpected EOF" in "\n".join(refused(store, liar, open_registries).output)


@pytest.mark.parametrize("part", ["manifest", "layer"])
def test_a_registry_that_stalls_is_given_up(
    part: str, store: ImageStore, liar: LyingRegistry, open_registries: Registries
) -> None:
    layer, never = layer_tar(size=100_000), threading.Event()
    liar.serve_image([layer])
    if part == "layer":
        liar.serve(f"blobs/{digest(layer)}", layer[:50_000], length=len(layer), stalls=never)
    else:
        liar.serve("manifests/v1", b"{", length=1000, stalls=never)
    try:
        error = refused(store, liar, open_registries)
    finally:
        never.set()
    assert error.message == f"Could not pull {liar.domain}/shop:v1: no data moved for 1 s"


def test_a_pull_takes_only_so_long(store: ImageStore, liar: LyingRegistry, open_registries: Registries) -> None:
    never = threading.Event()
    liar.serve("manifests/v1", b"{", length=1000, stalls=never)
    try:
        error = refused(store, liar, replace(open_registries, stall_s=600, timeout_s=1))
    finally:
        never.set()
    assert error.message.endswith("it took longer than 1 s")


def test_a_layer_without_end_is_stopped(store: ImageStore, liar: LyingRegistry, open_registries: Registries) -> None:
    layer = layer_tar(size=8 << 20)
    never = threading.Event()
    liar.serve_image([layer])
    liar.serve(f"blobs/{digest(layer)}", layer, length=1 << 40, stalls=never)
    tight = replace(open_registries, stall_s=600, limits=UnpackLimits(max_bytes=1 << 20, max_files=10))
    try:
        error = refused(store, liar, tight)
    finally:
        never.set()
    assert error.message.endswith("it is larger than 1 MiB")
    assert error.remedy == "if you trust it, raise image-max-mb or image-max-files in paas.toml"


def test_a_manifest_without_end_is_refused(store: ImageStore, liar: LyingRegistry, open_registries: Registries) -> None:
    liar.serve("manifests/v1", b"[" + b" " * (16 << 20) + b"]", kind="application/vnd.oci.image.manifest.v1+json")
    assert refused(store, liar, open_registries).message == f"Could not pull {liar.domain}/shop:v1"


def test_a_killed_pull_leaves_nothing_that_counts(
    store: ImageStore, liar: LyingRegistry, open_registries: Registries, tmp_path: Path
) -> None:
    layer, never = layer_tar(size=100_000), threading.Event()
    liar.serve_image([layer])
    liar.serve(f"blobs/{digest(layer)}", layer[:50_000], length=len(layer), stalls=never)
    pid = os.fork()
    if pid == 0:
        pull_image(store, f"{liar.domain}/shop:v1", registries=replace(open_registries, stall_s=600))
        os._exit(0)
    blob_path = f"/v2/shop/blobs/{digest(layer)}"
    wait_until("the layer is under way", lambda: blob_path in liar.asked)
    tool = wait_until("skopeo runs", lambda: children_of(pid))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until("skopeo ends with it", lambda: not any(Path(f"/proc/{one}").exists() for one in tool))
    never.set()
    assert (store.images(), store.layers(), store.tags()) == ((), (), {})
    assert [found.description.partition(" of ")[0] for found in store.leftovers()] == ["the files", "the hold"]
    store.prune()
    assert store.leftovers() == ()
    liar.serve_image([layer])
    image = pull_image(store, f"{liar.domain}/shop:v1", registries=open_registries)
    assert (store.layer_dir(image.layers[0]) / "file").stat().st_size == 100_000


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_digests_of_what_is_pushed_depend_on_the_content_alone(
    registry: Registry, registries: Registries, store: ImageStore, other: ImageStore
) -> None:
    """SOURCE_DATE_EPOCH: two machines that made the same files at other times push the same image."""
    log_in(registries, registry.domain, USER, PASSWORD)
    pushed = []
    for number, place in enumerate((store, other)):
        image = make_image(place, "same:v1")
        os.utime(place.layer_dir(image.layers[0]) / "file", (2e9 + number,) * 2)
        push_image(place, image.id, f"{registry.domain}/same:{number}", registries=registries, newest=1_600_000_000)
        pushed.append(manifest_digest(registry, "same", str(number)))
    assert pushed[0] == pushed[1]


def manifest_digest(registry: Registry, name: str, tag: str) -> Digest:
    argv = ["curl", "-sf", "--cacert", registry.ca, "-u", f"{USER}:{PASSWORD}", "-H", f"Accept: {MANIFEST}"]
    url = f"https://{registry.domain}/v2/{name}/manifests/{tag}"
    return Digest.of_bytes(subprocess.run([*argv, url], check=True, capture_output=True).stdout)


def test_a_layer_may_be_compressed_twice_as_long_as_it_says_so(
    store: ImageStore, liar: LyingRegistry, open_registries: Registries
) -> None:
    """A gzip file inside a layer's place that is no tar at all is refused by its content, not by its name."""
    liar.serve_image([gzip.compress(gzip.compress(layer_tar()))])
    assert "damaged or no tar" in refused(store, liar, open_registries).message
