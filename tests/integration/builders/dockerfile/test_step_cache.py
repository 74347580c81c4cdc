"""The step cache: stages side by side, steps done once, images that come out the same."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dockerfile_yard import TENANT, Yard
from paas.builders.dockerfile.builder import build_image
from paas.builders.dockerfile.order import BuildOrder
from paas.errors import BuildFailed, InvalidInput
from paas.model.container import Tenant
from paas.oci.layout import write_layout
from paas.oci.store import Image, ImageStore
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings

pytestmark = pytest.mark.integration

#: Waits for a file that the other stage makes; gives up after half a minute.
MEET = """
FROM debian:12 AS base
COPY --chmod=755 <<'EOF' /meet
#!/bin/sh
touch /c/$1; for n in $(seq 300); do test -e /c/$2 && exit 0; sleep 0.1; done; exit 1
EOF
FROM base AS one
RUN --mount=type=cache,id={id},target=/c /meet one two && echo 1 > /one
FROM base AS two
RUN --mount=type=cache,id={id},target=/c /meet two one && echo 2 > /two
FROM scratch
COPY --from=one /one /
COPY --from=two /two /
"""


def test_stages_that_do_not_need_each_other_are_built_at_the_same_time(yard: Yard) -> None:
    image = yard.build(MEET.format(id="meet"))
    assert [entry.path for entry in yard.tree(image).walk("")] == ["one", "two"]
    assert {line.partition(" ")[0] for line in yard.said if "Step" in line} == {"[base]", "[one]", "[two]", "[3]"}
    assert yard.build(MEET.format(id="meet")).id == image.id
    assert yard.leftovers() == []


def test_a_stage_that_fails_ends_the_others(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match="Dockerfile:4: .* exit code: 7") as failed:
        yard.build(
            "FROM debian:12 AS base\nFROM base AS one\n\nRUN echo why; exit 7\nFROM base AS two\nRUN sleep 600\n"
            "FROM scratch\nCOPY --from=two /etc /\nCOPY --from=one /etc /\n"
        )
    assert failed.value.output == ("why",)
    assert yard.leftovers() == []
    assert yard.orphans() == ()


STOPPED = """
import json, sys
from pathlib import Path
from paas.builders.dockerfile.builder import build_image
from paas.builders.dockerfile.order import BuildOrder
from paas.engines.embedded.engine import EmbeddedEngine
from paas.model.container import Tenant
from paas.output import Output
from paas.paths import Paths
from paas.settings import parse_settings
root, run, settings, tree = Path(sys.argv[1]), Path(sys.argv[2]), parse_settings(json.loads(sys.argv[3])), Path(sys.argv[4])
paths = Paths(root=root, run=run, etc=root)
order = BuildOrder(tree=tree, cache=paths.app_cache("stopped"), output=Output(), tenant=Tenant(name="yard", number=1))
build_image(order, engine=EmbeddedEngine(paths=paths, settings=settings), paths=paths, settings=settings)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_build_takes_all_its_stages_along(yard: Yard, tmp_path: Path, number: int) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM debian:12 AS base\nFROM base AS one\nRUN echo begun; sleep 600\nFROM base AS two\nRUN echo begun; sleep 601\n"
        "FROM scratch\nCOPY --from=one /etc /\nCOPY --from=two /etc /\n"
    )
    settings = {name: getattr(yard.settings, name) for name in ("network_prefix", "network_pool", "cgroup_parent", "uid_start")}
    argv = [sys.executable, "-c", STOPPED, str(yard.paths.root), str(yard.paths.run), json.dumps(settings), str(tmp_path)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as child:
        assert child.stdout is not None
        for _ in range(2):
            assert any(line.strip().endswith("] begun") for line in child.stdout)
        child.send_signal(number)
        assert child.wait() != 0
    assert yard.engine.list() == ()
    assert yard.leftovers() == []
    assert list((yard.paths.run / "builds/steps").iterdir()) == []


def test_two_builds_of_the_same_step_at_once_do_it_once(yard: Yard) -> None:
    outputs, images = [io.StringIO(), io.StringIO()], dict[int, Image]()
    tree = yard.paths.root / "twice"
    tree.mkdir()
    (tree / "Dockerfile").write_text("FROM debian:12\nRUN date +%s%N > /when; sleep 1\nRUN date +%s%N > /after\n")

    def build(number: int) -> None:
        output = Output(outputs[number], outputs[number])
        order = BuildOrder(tree=tree, cache=yard.paths.app_cache(f"twice{number}"), output=output, tenant=TENANT)
        images[number] = build_image(order, engine=yard.engine, paths=yard.paths, settings=yard.settings)

    threads = [threading.Thread(target=build, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert images[0].id == images[1].id
    said = outputs[0].getvalue() + outputs[1].getvalue()
    assert said.count("Using cache") == 2
    assert "Waiting for another build that does the same" in said
    assert list((yard.paths.run / "builds/steps").iterdir()) == []


def test_steps_are_shared_between_apps_unless_secrets_or_caches_took_part(yard: Yard) -> None:
    plain = "FROM debian:12\nRUN date +%s%N > /when\n"
    secret = "FROM debian:12\nRUN --mount=type=secret,id=KEY date +%s%N > /when2\n"
    assert yard.build(plain, app="one").id == yard.build(plain, app="two").id
    other = Tenant(name="other", number=9)
    try:
        assert yard.build(secret, app="one").id != yard.build(secret, app="two", tenant=other).id
    finally:
        yard.engine.release_tenant(other)


def test_a_private_cache_is_for_one_step_at_a_time_and_a_locked_one_waits(yard: Yard) -> None:
    both = """
FROM debian:12 AS base
FROM base AS one
RUN --mount=type=cache,id={id},target=/c,sharing={how} test ! -e /c/busy; touch /c/busy; sleep 1; ls /c > /one; rm /c/busy
FROM base AS two
RUN --mount=type=cache,id={id},target=/c,sharing={how} test ! -e /c/busy; touch /c/busy; sleep 1; ls /c > /one; rm /c/busy; true 2
FROM scratch
COPY --from=one /one /
COPY --from=two /one /two
"""
    for how in ("private", "locked"):
        image = yard.build(both.format(id=how, how=how))
        assert [yard.tree(image).read_text(name) for name in ("one", "two")] == ["busy\n", "busy\n"]
    caches = [path.name for path in (yard.paths.app_cache("app") / "mounts").iterdir() if not path.name.startswith(".")]
    assert len([name for name in caches if name.endswith(".1")]) == 1


COPIES = "FROM scratch\nCOPY a /x/\nCOPY d /y\nWORKDIR /made\nCOPY --chown=5:6 . /all\nCMD [\"x\"]\n"


def test_cold_builds_of_the_same_files_are_the_same_image(yard: Yard) -> None:
    files = {"a": "A", "d/b": "B"}
    first = yard.build(COPIES, files)
    second = yard.build(COPIES, files, uses_cache=False)
    assert second == first
    assert "---> Using cache" not in "".join(yard.said)


def cold_image(yard: Yard, root: Path, name: str, mtime: int, epoch: int | None) -> tuple[ImageStore, Image]:
    """Build the copies on a machine of its own, in a tree that was checked out at `mtime`."""
    tree = root / name / "tree"
    (tree / "d").mkdir(parents=True)
    for file, text in {"a": "A", "d/b": "B", "Dockerfile": COPIES}.items():
        (tree / file).write_text(text)
    for path in (*tree.rglob("*"), tree):
        os.utime(path, (mtime, mtime))
    paths = Paths(root=root / name / "lib", run=root / name / "run", etc=root / name / "etc")
    arguments = {"SOURCE_DATE_EPOCH": str(epoch)} if epoch is not None else {}
    order = BuildOrder(tree=tree, cache=paths.app_cache("a"), output=Output(quiet=True), build_args=arguments)
    return ImageStore(paths.images), build_image(order, engine=yard.engine, paths=paths, settings=Settings())


def digest_of(store: ImageStore, image: Image, directory: Path) -> str:
    write_layout(store, image, directory)
    return str(json.loads((directory / "index.json").read_text())["manifests"][0]["digest"])


def test_source_date_epoch_makes_the_digest_the_same_everywhere(yard: Yard, tmp_path: Path) -> None:
    one = cold_image(yard, tmp_path, "one", 1_700_000_000, 1_600_000_000)
    two = cold_image(yard, tmp_path, "two", 1_710_000_000, 1_600_000_000)
    assert digest_of(*one, tmp_path / "layout-one") == digest_of(*two, tmp_path / "layout-two")
    config = one[1].config.to_oci(created_at=one[1].created_at)
    assert {config["created"], *(entry["created"] for entry in config["history"])} == {"2020-09-13T12:26:40.000000Z"}
    later = cold_image(yard, tmp_path, "later", 1_700_000_000, 1_600_000_001)
    assert digest_of(*later, tmp_path / "layout-later") != digest_of(*one, tmp_path / "again-one")
    with pytest.raises(InvalidInput, match="SOURCE_DATE_EPOCH is no number of seconds: soon"):
        yard.build("FROM scratch\n", build_args={"SOURCE_DATE_EPOCH": "soon"})


def test_a_pruned_cache_is_built_again(yard: Yard) -> None:
    dockerfile = "FROM debian:12\nRUN date +%s%N > /pruned\n"
    first = yard.build(dockerfile)
    yard.store.remove(first.id)
    yard.store.prune([image.id for image in yard.store.images()], grace_s=0, cache_bytes=0, cache_grace_s=0)
    assert not yard.store.has_layer(first.layers[-1])
    assert yard.build(dockerfile).layers[-1] != first.layers[-1]
