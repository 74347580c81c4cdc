"""Build: from a source tree to an image in the ledger. What can be wrong with the files is said before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from paas.builders import Builder, BuildRequest
from paas.context import Context
from paas.deploy.environment import wanted_config
from paas.deploy.limits import build_limits
from paas.errors import BuildFailed, InvalidFile
from paas.model.app import App
from paas.model.appjson import NO_APP_JSON, AppJson, parse_app_json
from paas.model.checksfile import with_checks
from paas.model.process import ProcessType, parse_procfile
from paas.model.release import Build, BuildResult
from paas.model.source import Source


def build_source(ctx: Context, app: App, source: Source, deploy: Build) -> Build:
    """Build the app's image and note it in the record of the deploy. The caller holds the app's turn.

    Raises InvalidFile before anything is built, BuildFailed when no image comes out.
    """
    properties = ctx.state.properties.merged(app.name)
    with ctx.output.timed("detect the builder, check the files"):
        source = replace(source, tree=build_directory(source.tree, properties.get("builder.build-dir", "")))
        procfile = read_procfile(source.tree / properties.get("ps.procfile-path", "Procfile"))
        app_json = read_app_json(source.tree / properties.get("app-json.appjson-path", "app.json"))
        app_json = with_checks(app_json, _read_text(source.tree / "CHECKS") or "")
        added_config = wanted_config(ctx, app, app_json)
        builder = pick_builder(ctx, source.tree, _selected(properties))
        builder.validate(source.tree)
    ctx.output.step(f"Building {app.name} from {builder.name}")
    request = BuildRequest(
        app=app.name,
        tenant=app.tenant,
        source=source,
        cache=ctx.paths.app_cache(app.name),
        output=ctx.output,
        env={**ctx.state.config.merged(app.name), **added_config},
        options=properties,
        buildpacks=app_json.buildpacks,
        limits=build_limits(properties, ctx.settings),
        timeout_s=ctx.settings.build_timeout_s,
    )
    with ctx.output.timed(f"build with the {builder.name} builder"):
        result = builder.build(request)
    processes = merged_processes(result.processes, procfile)
    result = replace(result, processes=processes, builder=builder.name, app_json=app_json)
    require_processes(app, result)
    return replace(ctx.state.builds.note_image(deploy.id, result), added_config=added_config)


def _selected(properties: Mapping[str, str]) -> str:
    """Return the builder that the app's properties ask for; who says where the Dockerfile is wants it built."""
    has_dockerfile = bool(properties.get("builder-dockerfile.dockerfile-path"))
    return properties.get("builder.selected", "") or ("dockerfile" if has_dockerfile else "")


def pick_builder(ctx: Context, tree: Path, selected: str) -> Builder:
    """Return the selected builder, else the first that detects the tree. Raises BuildFailed naming what each looks for."""
    names = [builder.name for builder in ctx.builders]
    if selected:
        found = next((b for b in ctx.builders if b.name == selected), None)
        if found is None:
            raise BuildFailed(f"There is no builder '{selected}'", remedy=f"choose one of: {', '.join(names)}")
        return found
    found = next((b for b in sorted(ctx.builders, key=lambda b: b.name != "dockerfile") if b.detect(tree)), None)
    if found is None:
        raise BuildFailed(
            "No builder recognises this app",
            remedy="add a Dockerfile, or the file of a language: requirements.txt, package.json, index.html, or a Procfile",
        )
    return found


def build_directory(tree: Path, name: str) -> Path:
    """Return the directory inside the tree that is built (`builder:set build-dir`). Raises InvalidFile."""
    if not name:
        return tree
    chosen = (tree / name).resolve()
    if not chosen.is_relative_to(tree.resolve()) or not chosen.is_dir():
        raise InvalidFile(name, 0, "the build directory is not in the repository", remedy="see: paas builder:report")
    return chosen


def read_procfile(file: Path) -> tuple[ProcessType, ...]:
    """Return the Procfile's process types, none if there is no file. Raises InvalidFile with the line."""
    text = _read_text(file)
    return () if text is None else parse_procfile(text, file=file.name)


def read_app_json(file: Path) -> AppJson:
    """Return what app.json says, nothing if there is no file. Raises InvalidFile with the key and its line."""
    text = _read_text(file)
    return NO_APP_JSON if text is None else parse_app_json(text, file=file.name)


def _read_text(file: Path) -> str | None:
    if file.is_symlink() or not file.is_file():
        return None
    try:
        return file.read_text(encoding="utf-8-sig")  # Windows' editors put a byte order mark in front
    except UnicodeDecodeError as exc:
        raise InvalidFile(file.name, 0, "is not UTF-8 text") from exc


def merged_processes(built: tuple[ProcessType, ...], procfile: tuple[ProcessType, ...]) -> tuple[ProcessType, ...]:
    """Return the process types: with a Procfile exactly its own, run as the builder says where it knows them."""
    known = {process.name: process for process in built}
    if not procfile:
        return built
    return tuple(_as_built(known.get(process.name), process) for process in procfile)


def _as_built(built: ProcessType | None, written: ProcessType) -> ProcessType:
    return built if built is not None and built.command == written.command else written


def require_processes(app: App, result: BuildResult) -> None:
    """Raise BuildFailed when there is nothing to run."""
    if not result.processes:
        raise BuildFailed(
            f"{app.name} has no process to run", remedy="add a Procfile with a line like: web: python app.py"
        )
