"""DockerfileBuilder: an app with a Dockerfile -> an image, on the embedded engine, without Docker."""

from __future__ import annotations

from pathlib import Path

from paas.builders import BuildRequest
from paas.builders.dockerfile.bases import Bases
from paas.builders.dockerfile.build import DockerfileBuild
from paas.builders.dockerfile.cache import StepCache
from paas.builders.dockerfile.checks import check_dockerfile, rules_of
from paas.builders.dockerfile.context import FileDigests
from paas.builders.dockerfile.control import Control
from paas.builders.dockerfile.execution import Execution
from paas.builders.dockerfile.hosted import HostedStep
from paas.builders.dockerfile.instructions import Dockerfile
from paas.builders.dockerfile.order import DOCKERFILE, BuildOrder, order_from
from paas.builders.dockerfile.parser import parse_dockerfile
from paas.builders.dockerfile.plan import BuildPlan, plan_build
from paas.builders.dockerfile.scratch import scratch_directories
from paas.builders.dockerfile.stage import exposed_ports
from paas.builders.dockerfile.steps import Workbench
from paas.builders.dockerfile.tree import LayeredTree
from paas.engines import Engine
from paas.errors import InvalidFile
from paas.model.container import PLATFORM
from paas.model.process import WEB, ProcessType
from paas.model.release import BuildResult
from paas.oci.manifest import host_platform
from paas.oci.skopeo import Registries
from paas.oci.store import Image, ImageStore
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings


class DockerfileBuilder:
    """Builds trees that have a Dockerfile. Its own process is the image's entrypoint and command, as `web`."""

    name = "dockerfile"

    def __init__(self, *, engine: Engine, paths: Paths, settings: Settings) -> None:
        self._engine, self._paths, self._settings = engine, paths, settings

    def detect(self, tree: Path) -> bool:
        """Say whether there is a Dockerfile. Reads only."""
        return LayeredTree([tree]).find(DOCKERFILE) is not None

    def validate(self, tree: Path) -> None:
        """Parse the Dockerfile, if it is where it usually is, and look at its stages. Raises InvalidFile."""
        if self.detect(tree):
            plan_build(read_dockerfile(tree, DOCKERFILE), platform=host_platform())

    def build(self, request: BuildRequest) -> BuildResult:
        """Build the image. Raises BuildFailed, InvalidFile, Cancelled."""
        order = order_from(request)
        image = build_image(order, engine=self._engine, paths=self._paths, settings=self._settings)
        argv = image.config.entrypoint + image.config.cmd
        processes = (ProcessType(name=WEB, argv=argv),) if argv else ()
        return BuildResult(
            image=image.id, processes=processes, ports=exposed_ports(image.config), builder=self.name
        )  # fmt: skip


def build_image(order: BuildOrder, *, engine: Engine, paths: Paths, settings: Settings) -> Image:
    """Build one Dockerfile; tag the image when the order has a reference. Raises BuildFailed, InvalidFile, Cancelled."""
    dockerfile = (
        read_dockerfile(order.tree, order.dockerfile)
        if order.text is None
        else parse_dockerfile(order.text, file=order.dockerfile)
    )
    plan = plan_build(
        dockerfile, target=order.target, build_args=order.build_args, platform=host_platform(),
        allows_host_network=order.allows_host_network,
    )  # fmt: skip
    _ = order.epoch  # malformed: said before anything is built
    store, control = ImageStore(paths.images), Control()
    turns = paths.run / "builds" / "steps"
    registries = Registries.of(paths, settings, app="" if order.tenant == PLATFORM else order.tenant.name)
    try:
        with scratch_directories(paths.work, paths.run / "builds") as scratch, store.hold() as hold:
            bench = Workbench(
                order=order,
                cache=StepCache(store=store, hold=hold, turns=turns, control=control, is_used=order.uses_cache),
                execution=Execution(engine, store, control, file=order.dockerfile, timeout_s=order.timeout_s),
                hosted=HostedStep(store, is_on=settings.build_inherit_host_config),
                scratch=scratch,
                digests=FileDigests(order.cache / "digests.json"),
            )
            bases = Bases(store=store, file=plan.file, registries=registries, pulls=order.pulls, hold=hold)
            build = DockerfileBuild(bench, plan, store=store, bases=bases)
            _check(build, dockerfile, plan, order.output)
            return build.run()
    finally:
        control.close()


def _check(build: DockerfileBuild, dockerfile: Dockerfile, plan: BuildPlan, output: Output) -> None:
    """Say what the checks found. Raises InvalidFile when the file wants that to be an error."""
    rules = rules_of(dockerfile)
    found = check_dockerfile(dockerfile, [plan.stages[index] for index in plan.needed], host_platform())
    for finding in found:
        output.detail(f"[Warning] {finding}")
    of_names = rules.keep(build.check())
    for finding in of_names:
        output.detail(f"[Warning] {finding}")
    rules.enforce((*found, *of_names), dockerfile.file)


def read_dockerfile(tree: Path, name: str) -> Dockerfile:
    """Read a Dockerfile inside a tree; a link in the tree does not lead out of it. Raises InvalidFile."""
    entry = LayeredTree([tree]).find(name)
    if entry is None or not entry.is_file:
        raise InvalidFile(name, 0, "there is no such file", remedy=f"add a {name} to the repository")
    try:
        return parse_dockerfile(Path(entry.real).read_bytes().decode(), file=name)
    except UnicodeDecodeError as exc:
        raise InvalidFile(name, 0, f"is not UTF-8 text: {exc.reason} at byte {exc.start}") from exc
