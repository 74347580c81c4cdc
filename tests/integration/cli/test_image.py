"""`image:*` and `stacks:*` on a real store; the engine only says which containers there are."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from paas.cli import root
from paas.context import Context, Identity
from paas.model.container import PLATFORM, Container, ContainerStatus
from paas.oci.manifest import ImageConfig
from paas.oci.store import Image, ImageStore
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings
from paas.state import State

pytestmark = pytest.mark.integration


class Containers:
    """The engine, as far as these commands ask it."""

    def __init__(self, store: ImageStore) -> None:
        self.store = store
        self.all: list[Container] = []

    def list(self) -> tuple[Container, ...]:
        return tuple(self.all)

    def prune_images(self, keep: Any) -> tuple[str, ...]:
        return self.store.prune(keep={*keep, *(container.image for container in self.all)})

    def add(self, image: str) -> None:
        self.all.append(
            Container(
                id="c0ffee", name="shop.web.1", image=image, tenant=PLATFORM, argv=("run",), labels={},
                status=ContainerStatus.RUNNING, created_at=0,
            )  # fmt: skip
        )


class Cli:
    """Runs command lines as the administrator."""

    def __init__(self, tmp_path: Path) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.store = ImageStore(tmp_path / "images")
        self.engine = Containers(self.store)
        self.ctx = Context(
            paths=Paths(root=tmp_path, run=tmp_path / "run", etc=tmp_path / "etc"), settings=Settings(),
            state=State(tmp_path / "paas.db"), engine=self.engine, scheduler=None, proxy=None, builders=(),  # type: ignore[arg-type]
            output=Output(self.out, self.err), identity=Identity(name="root", is_admin=True),
        )  # fmt: skip

    def __call__(self, *argv: str) -> str:
        """Run a command that must succeed; return what it printed."""
        self.out.truncate(self.out.seek(0))
        assert root.run(argv, self.ctx) == 0
        return self.out.getvalue()

    def fail(self, *argv: str) -> int:
        """Run a command that must fail; return its exit code."""
        self.out.truncate(self.out.seek(0))
        code = root.run(argv, self.ctx)
        assert code != 0
        return code


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def image(cli: Cli) -> Image:
    with cli.store.new_layer() as layer:
        (layer.diff / "file").write_text("x" * 5000)
        layer_id = layer.commit()
    return cli.store.create_image(ImageConfig(cmd=("run",)), [layer_id], reference="shop:v1")


def test_images_are_listed_with_every_reference(cli: Cli, image: Image) -> None:
    cli("image:tag", "shop:v1", "blog")
    lines = [line.split() for line in cli("image:list").splitlines()]
    assert [line[0] for line in lines] == ["REFERENCE", "blog:latest", "shop:v1"]
    assert {line[1] for line in lines[1:]} == {image.short_id}
    assert cli("image:list", "-q") == f"{image.id}\n"


def test_json_says_all_about_an_image(cli: Cli, image: Image) -> None:
    (said,) = json.loads(cli("image:inspect", "shop:v1"))
    assert (said["id"], said["references"], said["config"]) == (image.id, ["shop:v1"], {"Cmd": ["run"]})
    assert Path(said["layers"][0]["path"], "file").read_text() == "x" * 5000
    (listed,) = json.loads(cli("image:list", "--format", "json"))
    assert listed == {**{key: said[key] for key in ("id", "references", "created", "size")}, "layers": [*image.layers]}


def test_an_unknown_image_has_the_exit_code_of_missing_things(cli: Cli) -> None:
    for command in (["image:inspect", "no"], ["image:rm", "no"], ["image:history", "no"], ["image:tag", "no", "other"]):
        assert cli.fail(*command) == 20


def test_removing_one_of_two_references_keeps_the_image(cli: Cli, image: Image) -> None:
    cli("image:tag", "shop:v1", "shop:v2")
    assert cli("image:rm", "shop:v1") == "Untagged: shop:v1\n"
    assert cli("image:rm", "shop:v2") == f"Removed: {image.id}\n"
    assert cli.store.images() == ()


@pytest.mark.parametrize("name", ["shop:v1", "id"])
def test_an_image_in_use_is_not_removed(cli: Cli, image: Image, name: str) -> None:
    cli.engine.add("shop:v1" if name == "shop:v1" else image.id)
    assert cli.fail("image:rm", "shop:v1" if name == "shop:v1" else image.short_id) == 1
    assert cli.store.image("shop:v1") == image


def test_a_root_file_system_is_imported_with_its_config(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with tarfile.open(tmp_path / "rootfs.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "file", "etc/file")
    cli("image:import", str(tmp_path / "rootfs.tar.gz"), "base:1", "--cmd", "sh", "--cmd=-l", "--env", "A=b c", "--expose", "80")
    config = cli.store.image("base:1").config
    assert (config.cmd, config.env, config.exposed_ports) == (("sh", "-l"), (("A", "b c"),), ("80/tcp",))


def test_a_saved_archive_is_loaded_again(cli: Cli, image: Image, tmp_path: Path) -> None:
    cli("image:save", "shop:v1", str(tmp_path / "shop.tar"))
    cli("image:rm", "shop:v1")
    assert cli("image:load", str(tmp_path / "shop.tar")).splitlines()[-1] == "Loaded: shop:v1"
    assert cli.store.image("shop:v1").config == image.config


@pytest.mark.parametrize("command", ["image:save", "image:export"])
@pytest.mark.parametrize(("target", "code", "said"), [("none/a", 20, "There is no directory"), ("images", 1, "is a directory")])
def test_where_no_file_can_be_written_is_said_before_the_work(
    cli: Cli, image: Image, tmp_path: Path, command: str, target: str, code: int, said: str
) -> None:
    assert cli.fail(command, "shop:v1", str(tmp_path / target)) == code
    assert said in cli.err.getvalue() and "Copying" not in cli.out.getvalue()


def test_prune_with_the_cache_leaves_only_what_images_need(cli: Cli, image: Image) -> None:
    with cli.store.new_layer() as layer:
        layer.commit("a step")
    cli("image:prune")
    assert cli.store.find_layer("a step")
    cli("image:prune", "--cache")
    assert cli.store.layers() == image.layers


def test_an_image_that_was_changed_is_told(cli: Cli, image: Image) -> None:
    assert cli("image:verify").split() == ["ok", image.short_id, "shop:v1"]
    (cli.store.layer_dir(image.layers[0]) / "file").write_text("y" * 5000)
    assert cli.fail("image:verify", "shop:v1") == 80
    assert cli.fail("image:verify", "--format", "json") == 80
    (said,) = json.loads(cli.out.getvalue())
    assert said["id"] == image.id and "was changed" in said["problems"][0]
    (cli.store.root / "images" / f"{image.id}.json").write_text("{")
    assert cli.fail("image:verify") == 80
    assert "its record cannot be read" in cli.out.getvalue()
    cli("image:rm", image.short_id)
    assert cli.store.image_ids() == () and cli.store.tags() == {}


def test_an_exported_root_file_system_is_what_a_container_would_see(cli: Cli, image: Image, tmp_path: Path) -> None:
    with cli.store.new_layer() as layer:
        (layer.diff / "dir").mkdir()
        for name in ("one", "two"):
            (layer.diff / "dir" / name).write_text(name)
        (layer.diff / "hard").hardlink_to(layer.diff / "dir" / "one")
        middle = layer.commit()
    with cli.store.new_layer() as layer:
        (layer.diff / "dir").mkdir(mode=0o700)
        os.mknod(layer.diff / "dir" / "two", stat.S_IFCHR, os.makedev(0, 0))
        os.mknod(layer.diff / "file", stat.S_IFCHR, os.makedev(0, 0))
        top = layer.commit()
    flat = cli.store.create_image(ImageConfig(), [*image.layers, middle, top], reference="flat")
    cli("image:export", "flat", str(tmp_path / "flat.tar"))
    with tarfile.open(tmp_path / "flat.tar") as tar:
        assert {member.name: member.mode for member in tar} == {"dir": 0o700, "dir/one": 0o644, "hard": 0o644}
        assert tar.getmember("hard").linkname == "dir/one"
    cli("image:import", str(tmp_path / "flat.tar"), "again")
    (layer_id,) = cli.store.image("again").layers
    assert sorted(path.name for path in cli.store.layer_dir(layer_id).rglob("*")) == ["dir", "hard", "one"]
    assert flat.id != cli.store.image("again").id


def test_what_a_release_that_may_be_rolled_back_to_needs_is_never_removed(cli: Cli) -> None:
    """Images without a tag, older than any grace, of releases of every kind."""
    state, keep = cli.ctx.state, cli.ctx.settings.releases_keep
    state.apps.create("shop", 0)
    images = [lone_image(cli, f"{number}") for number in range(keep + 4)]
    for version, image in enumerate(images, 1):
        build = state.builds.start("shop", "me", "git push", "", 0)
        state.releases.append(
            app="shop", build_id=build.id, image=image, processes=(), ports=(), config={}, formation={}, actor="me",
            cause="git push", now=0,
        )  # fmt: skip
        state.releases.promote("shop", version, 0)
    state.releases.promote("shop", 1, 0)
    stray = lone_image(cli, "stray")
    in_use = lone_image(cli, "in use")
    cli.engine.add(in_use)
    for directory in ("images", "layers"):
        for path in (cli.store.root / directory).iterdir():
            os.utime(path, (0, 0))
    removed = set(cli("image:prune").split()) - {"Removed:"}
    kept = {image.id for image in cli.store.images()}
    assert stray in removed and in_use in kept
    assert {images[0], *images[-keep:]} <= kept, "the current release and the newest that served"
    assert all(cli.store.has_layer(layer) for image in cli.store.images() for layer in image.layers)
    for image in (images[0], images[-1]):
        assert cli.fail("image:rm", image) == 1


def lone_image(cli: Cli, content: str) -> str:
    with cli.store.new_layer() as layer:
        (layer.diff / "file").write_text(content)
        layer_id = layer.commit()
    return cli.store.create_image(ImageConfig(), [layer_id]).id


def test_history_is_told_from_the_last_step(cli: Cli, image: Image) -> None:
    lines = cli("image:history", "shop:v1").splitlines()
    assert lines[0].split() == ["LAYER", "CREATED", "SIZE", "CREATED", "BY"]
    assert lines[1].split()[0] == image.layers[0][:12]


def test_stacks_are_listed_with_the_default_marked(cli: Cli) -> None:
    lines = cli("stacks:list").splitlines()
    assert lines[1].split() == ["*debian-12", "debian", "12", "(bookworm)", "no"]
    assert cli.fail("stacks:build", "plan9") == 20


def test_images_are_for_administrators(cli: Cli, image: Image) -> None:
    user = Identity(name="alice", is_admin=False)
    cli.ctx = Context(**{name: getattr(cli.ctx, name) for name in Context.__dataclass_fields__} | {"identity": user})
    assert cli.fail("image:rm", "shop:v1") == 13
    assert cli.store.image("shop:v1") == image
