"""Images on their way: a private registry with TLS and passwords, another OCI tool, an app that lives on both."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Instance, Result, run
from paas.oci.store import ImageStore
from registries import PASSWORD, USER, Registry, docker_registry

pytestmark = pytest.mark.e2e
BUSYBOX = "/bin/busybox"
#: What an image makes of its container, told by the container itself.
TOLD = (
    "id -u; id -g; id -G; pwd; echo $GREETING; stat -c '%n %a %u %g %F' /data/* /old /program /link; cat /data/kept; "
    "ls /replaced; test -e /deleted || echo deleted is gone; readlink /link; stat -c %h /hard"
)
DOCKERFILE = f"""\
FROM scratch
COPY busybox /bin/busybox
COPY passwd group /etc/
SHELL ["/bin/busybox", "sh", "-c"]
RUN /bin/busybox --install -s /bin
RUN mkdir /tmp /data /replaced && echo one > /replaced/one && echo x > /deleted && echo x > /old
RUN rm -r /deleted /replaced && mkdir /replaced && echo two > /replaced/two
RUN ln -s data/kept /link && echo h > /hard && ln /hard /hard2 && cp /bin/busybox /program && chmod 4755 /program
RUN echo kept > /data/kept && chown 1000:1000 /data /data/kept && chmod 640 /data/kept
ENV GREETING="hello, world"
USER user
WORKDIR /data
LABEL org.example.name="a test"
EXPOSE 5000
STOPSIGNAL SIGUSR1
ENTRYPOINT ["/bin/busybox", "sh", "-c"]
CMD ["{TOLD}"]
"""
DERIVED = """\
FROM {base}
USER 0
RUN rm -r /replaced && mkdir /replaced && echo three > /replaced/three
RUN rm /old && echo new > /old && chmod 600 /old && echo more > /data/more
USER user
ENV GREETING=again
"""
WEB = """\
FROM {base}
USER 0
RUN mkdir /www && echo hi > /www/index.html
ENTRYPOINT []
CMD ["/bin/busybox", "httpd", "-f", "-p", "5000", "-h", "/www"]
"""
PASSWD = "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/data:/bin/sh\n"
GROUP = "root:x:0:\nusers:x:1000:\nextra:x:2000:user\n"


class Podman:
    """Debian's Podman with its storage, run state and settings in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # No higher than any machine allows: root may lack CAP_SYS_RESOURCE.
        limits = 'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]'
        (directory / "containers.conf").write_text(f"[containers]\n{limits}\n")

    def __call__(self, *argv: str) -> Result:
        options = (
            "--root", self.directory / "root", "--runroot", self.directory / "run", "--storage-driver", "vfs",
            "--cgroup-manager", "cgroupfs", "--events-backend", "file",
        )  # fmt: skip
        env = {"CONTAINERS_CONF": self.directory / "containers.conf", "REGISTRY_AUTH_FILE": self.directory / "auth.json"}
        return run(["podman", *options, *argv], env={name: str(path) for name, path in env.items()})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry") / "r") as running:
        yield running


@pytest.fixture
def podman() -> Iterator[Podman]:
    directory = Path(tempfile.mkdtemp(prefix="ptp", dir="/tmp"))
    podman = Podman(directory)
    try:
        yield podman
    finally:
        podman("rm", "--all", "--force")
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(f"{directory}/"):
                run(["umount", "-l", line.split()[1]])
        shutil.rmtree(directory)


@pytest.fixture
def connected(instance: Instance, registry: Registry) -> Iterator[Instance]:
    """An instance that knows the registry's CA."""
    certs = instance.etc / "certs.d" / registry.domain
    certs.mkdir(parents=True)
    (certs / "ca.crt").write_bytes(registry.ca.read_bytes())
    yield instance
    instance.paas("registry:logout", "--global", registry.domain)
    shutil.rmtree(certs.parent)


def write_context(directory: Path, dockerfile: str = DOCKERFILE) -> Path:
    directory.mkdir()
    shutil.copy(BUSYBOX, directory / "busybox")
    for name, text in (("Dockerfile", dockerfile), ("passwd", PASSWD), ("group", GROUP)):
        (directory / name).write_text(text)
    return directory


def test_an_image_runs_the_same_here_and_under_podman_both_ways(
    connected: Instance, registry: Registry, podman: Podman, tmp_path: Path
) -> None:
    ours, theirs = f"{registry.domain}/team/ours:v1", f"{registry.domain}/team/theirs:v1"
    certs = f"--cert-dir={connected.etc}/certs.d/{registry.domain}"
    connected.paas("image:build", str(write_context(tmp_path / "context")), "-t", ours).expect()

    refused = connected.paas("image:push", ours).expect(80)
    assert f"log in: paas registry:login --global {registry.domain}" in refused.stderr
    login = ("registry:login", "--global", registry.domain, USER)
    connected.paas(*login, "on the command line").expect(2)
    connected.paas(*login, "--password-stdin", stdin="wrong\n").expect(80)
    said = connected.paas(*login, "--password-stdin", stdin=f"{PASSWORD}\n").expect()
    assert PASSWORD not in said.output
    connected.paas("image:push", ours).expect()

    podman("login", certs, "-u", USER, "-p", PASSWORD, registry.domain).expect()
    podman("pull", certs, ours).expect()
    here = connected.paas("container:run", "--rm", ours).expect().stdout
    there = podman("run", "--rm", "--network=none", ours).expect().stdout
    assert here == there
    assert here.splitlines()[:5] == ["1000", "1000", "1000 2000", "/data", "hello, world"]
    config = json.loads(podman("image", "inspect", ours).expect().stdout)[0]["Config"]
    assert (config["StopSignal"], config["ExposedPorts"]) == ("SIGUSR1", {"5000/tcp": {}})
    assert config["Labels"] == {"org.example.name": "a test"}

    (tmp_path / "Containerfile").write_text(DERIVED.format(base=ours))
    built = ("build", "--network=host", "--isolation=chroot", "-t", theirs, "-f", str(tmp_path / "Containerfile"), str(tmp_path))
    podman(*built).expect()
    podman("push", certs, theirs).expect()
    connected.paas("image:pull", theirs).expect()
    here = connected.paas("container:run", "--rm", theirs).expect().stdout
    assert here == podman("run", "--rm", "--network=none", theirs).expect().stdout
    assert "three\n" in here and "again\n" in here and "/data/more" in here

    assert connected.paas("image:verify").expect().stdout.count("ok ") >= 2
    connected.paas("image:rm", ours, theirs).expect()
    assert ImageStore(connected.root / "images").leftovers() == ()


def test_an_app_is_built_on_a_private_image_and_its_releases_are_pushed(
    connected: Instance, registry: Registry, app_name: str, tmp_path: Path
) -> None:
    base = f"{registry.domain}/team/base:v1"
    context = write_context(tmp_path / "context", DOCKERFILE.replace("EXPOSE 5000\n", ""))
    connected.paas("image:build", str(context), "-t", base).expect()
    connected.paas("registry:login", "--global", registry.domain, USER, "--password-stdin", stdin=PASSWORD).expect()
    connected.paas("image:push", base).expect()
    connected.paas("image:rm", base).expect()
    connected.paas("registry:logout", "--global", registry.domain).expect()

    connected.ssh("apps:create", app_name).expect()
    repository = connected.repository({"Dockerfile": WEB.format(base=base)})
    refused = repository.push(app_name)
    assert refused.code != 0 and "failed to resolve source metadata" in refused.stderr
    login = ("registry:login", app_name, registry.domain, USER, "--password-stdin")
    connected.ssh(*login, stdin=PASSWORD).expect()
    file = connected.root / "registry" / "apps" / f"{app_name}.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert connected.ssh("registry:report", app_name, "--registry-logins").expect().stdout == f"{registry.domain}\n"
    for key, value in (("server", registry.domain), ("push-on-release", "true")):
        connected.ssh("registry:set", app_name, key, value).expect()
    repository.push(app_name).expect()
    assert connected.get(f"{app_name}.localhost").text == "hi\n"

    pushed = f"{registry.domain}/paas/{app_name}:{latest_release(connected, app_name)}"
    connected.paas("registry:login", "--global", registry.domain, USER, "--password-stdin", stdin=PASSWORD).expect()
    pulled = connected.paas("image:pull", pushed).expect().stdout.split()[-1]
    assert json.loads(connected.paas("image:inspect", pulled).expect().stdout)[0]["config"]["Cmd"][1] == "httpd"

    connected.ssh("registry:set", app_name, "image-repo", "not/allowed/Upper").expect(1)
    connected.ssh("registry:logout", app_name, registry.domain).expect()
    before = latest_release(connected, app_name)
    repository.commit({"extra": "x"})
    connected.paas("registry:logout", "--global", registry.domain).expect()
    assert repository.push(app_name).code != 0, "a release that cannot be pushed is not rolled out"
    assert connected.get(f"{app_name}.localhost").text == "hi\n" and latest_release(connected, app_name) == before
    connected.ssh(*login, stdin=PASSWORD).expect()
    connected.ssh("apps:destroy", app_name, "--force").expect()
    assert not file.exists()


def latest_release(instance: Instance, app: str) -> str:
    """Return the version of the release that serves."""
    listed = json.loads(instance.ssh("releases:list", app, "--format", "json").expect().stdout)
    return str(next(one["version"] for one in listed if one["status"] == "current")).removeprefix("v")
