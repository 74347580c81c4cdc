"""BuildpackBuilder: the lifecycle's phases in order. One or two containers a build: see container.py.

Source: buildpack spec. What is faster here than in the reference lifecycle: changes.py and workspace.py say how.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from paas.builders import BuildRequest
from paas.builders.buildpack import export
from paas.builders.buildpack.buildpack import chosen_order, load_order
from paas.builders.buildpack.container import BuildContainer, build_env
from paas.builders.buildpack.launch import Launch, Process, combine, parse_launch
from paas.builders.buildpack.plan import BuildPlan
from paas.builders.buildpack.restore import forget_lost, load_kept, save_kept
from paas.builders.buildpack.untrusted import read_toml
from paas.builders.buildpack.workspace import Workspace
from paas.builders.host_config import host_config_env, host_config_mounts
from paas.engines import Engine
from paas.errors import BuildFailed, HostProblem, InvalidFile
from paas.host.files import disk_problem
from paas.model.process import ProcessType, parse_procfile
from paas.model.release import BuildResult
from paas.oci.stacks import run_reference, stack_reference
from paas.oci.store import Image, ImageStore
from paas.paths import Paths
from paas.settings import Settings


class BuildpackBuilder:
    """Builds any tree that one of the buildpacks of buildpacks/order.toml recognises."""

    name = "buildpack"

    def __init__(self, *, engine: Engine, paths: Paths, settings: Settings, buildpacks: Path | None = None) -> None:
        self._engine, self._paths, self._settings = engine, paths, settings
        self._store = ImageStore(paths.images)
        self._buildpacks = buildpacks or paths.share / "buildpacks"

    def detect(self, tree: Path) -> bool:
        """Say whether there is anything to look at; which buildpack fits, `build` finds out in a container."""
        return next(tree.iterdir(), None) is not None

    def validate(self, tree: Path) -> None:
        """Check nothing: what there is to check, `build` reads before its first container, with the app's own file names."""

    def build(self, request: BuildRequest) -> BuildResult:
        """Build the image. Raises BuildFailed or InvalidFile."""
        try:
            with self._store.hold() as hold:
                return self._build(request, hold)
        except OSError as exc:
            raise disk_problem(exc, Path(exc.filename or self._paths.images)) from exc

    def _build(self, request: BuildRequest, hold: Callable[[Sequence[str]], None]) -> BuildResult:
        tree, store, timed = request.source.tree, self._store, request.output.timed
        with timed("find the base and the last build"):
            order = chosen_order(load_order(self._buildpacks), request.buildpacks)
            procfile = read_procfile(tree, request.options.get("ps.procfile-path") or "Procfile")
            run_stack, build_stack = self._stack(run_reference), self._stack(stack_reference)
            base, kept = export.base_layer(store, run_stack), load_kept(request.cache, store)
            hold((*run_stack.layers, *build_stack.layers, base, *(layer.layer for layer in kept.layers)))
        # Scratch is a layer that never comes to be: the store removes it even if this process is killed.
        with store.new_layer() as app_layer, store.new_layer() as scratch:
            workspace = Workspace(
                app=app_layer.diff / "workspace", scratch=scratch.diff, buildpacks=self._buildpacks, owner=export.USER_ID
            )
            with timed("prepare the workspace"):
                workspace.prepare(tree, request.env)
            container = self._container(request, build_stack, workspace, base=base)
            with container.run_phases(order, kept) as outcome:
                plan = outcome.plan
                launches = _launches(outcome.upper, plan)
                with timed("store the layers"):
                    new = replace(
                        export.store_layers(store, outcome.upper, plan.buildpacks, kept), detections=outcome.detections
                    )
            processes = _require(combine(launches, procfile), plan)
            launch_layers = tuple(layer for layer in new.layers if layer.types.is_launch)
            text = export.launch_text(store, launch_layers, plan.buildpacks, processes)
            export.write_launch(app_layer.diff, text)
            layers = (*run_stack.layers, base, *(layer.layer for layer in launch_layers), app_layer.commit())
        config = export.image_config(run_stack.config, processes, text, _labels(plan, launches))
        with timed("record the image"):
            image = store.create_image(config, layers)
        if new != kept:
            save_kept(request.cache, request.app, new, store)
            forget_lost(self._paths.app_cache, store)
        types = tuple(process.process_type(has_env=process.type in text.process_types) for process in processes)
        return BuildResult(image=image.id, processes=types, builder=self.name)

    def _stack(self, reference_of: Callable[[str], str]) -> Image:
        reference = reference_of(self._settings.stack)
        image = self._store.find_image(reference)
        if image is None:
            raise HostProblem(
                f"The base image {reference} has not been built", remedy=f"run: paas stacks:build {self._settings.stack}"
            )
        return image

    def _container(self, request: BuildRequest, stack: Image, workspace: Workspace, *, base: str) -> BuildContainer:
        inherits = self._settings.build_inherit_host_config
        host_env = host_config_env() if inherits else {}
        return BuildContainer(
            engine=self._engine,
            request=request,
            workspace=workspace,
            layers=(*stack.layers, base),
            env=build_env(dict(stack.config.env), host_env, stack=self._settings.stack),
            # No layers: apt's settings are of no use to a user who may not install packages.
            host_mounts=workspace.readable(host_config_mounts(())) if inherits else (),
            deadline=time.monotonic() + request.timeout_s,
        )


def read_procfile(tree: Path, name: str) -> tuple[ProcessType, ...]:
    """Return the Procfile's process types, none without one. Raises InvalidFile with the line."""
    file = tree / name
    if not file.is_file() or not file.resolve().is_relative_to(tree.resolve()):
        return ()
    try:
        return parse_procfile(file.read_text(), file=name)
    except UnicodeDecodeError as exc:
        raise InvalidFile(name, 0, "is not UTF-8 text") from exc


def _launches(upper: Path, plan: BuildPlan) -> tuple[Launch, ...]:
    return tuple(
        parse_launch(read_toml(upper, f"layers/{b.layers_name}/launch.toml"), api=b.api, buildpack=b.id)
        for b in plan.buildpacks
    )


def _require(processes: tuple[Process, ...], plan: BuildPlan) -> tuple[Process, ...]:
    if not processes:
        names = ", ".join(buildpack.id for buildpack in plan.buildpacks)
        raise BuildFailed(
            f"This is a {names} app, but nothing says how to start it",
            remedy="add a file named Procfile with a line like: web: python app.py",
        )
    return processes


def _labels(plan: BuildPlan, launches: Sequence[Launch]) -> dict[str, str]:
    built = {"buildpacks": [{"id": buildpack.id, "version": buildpack.version} for buildpack in plan.buildpacks]}
    labels = {"io.buildpacks.build.metadata": json.dumps(built)}
    return labels | {key: value for launch in launches for key, value in launch.labels}
