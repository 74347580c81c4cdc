"""The detect and build phases, run in the build container as `python3 -I -S -B /cnb/lifecycle/phases.py <phase>`.

Only runs buildpacks: which ones, in which order and with what plan is decided outside (plan.py) and stands in
/cnb/run/<phase>.json; the results stay in /cnb/run and /layers, where they are read with distrust.
Imports are on the way of each push: nothing but the standard library, and what is rarely needed only when it is.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False  # typing itself takes longer to import than all the rest
if TYPE_CHECKING:
    from typing import Any

    from paas.builders.buildpack.inside.environment import Change

    Table = dict[str, Any]

#: Status of the build phase when detection said something else than expected; no bin/build has run then.
OTHER_PLAN = 200
RUN, LAYERS, PLATFORM, WORKSPACE = "/cnb/run", "/layers", "/platform", "/workspace"
#: Config vars of these names go in front of the present value instead of replacing it.
PATH_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "PKG_CONFIG_PATH")


def main(phase: str) -> int:
    """Run one phase; return 0, or the status of the buildpack that failed."""
    os.chdir(WORKSPACE)
    os.umask(0o022)
    with open(f"{RUN}/{phase}.json", encoding="utf-8") as stream:
        request = json.load(stream)
    times = f"{RUN}/{phase}.times" if request["is_timed"] else ""
    if times:
        open(times, "w").close()  # another attempt may have left its own
    began = time.monotonic()
    found = detect(request["candidates"]) if request["candidates"] else []
    if request["candidates"]:
        note_time(times, "bin/detect of each", began)
    if phase == "detect":
        return 0
    if found != request["expected"]:
        return OTHER_PLAN
    restore(request["restored"])
    return build(request["buildpacks"], request["entries"], times)


def note_time(file: str, name: str, began: float) -> None:
    """Leave how long something took, by the machine's monotonic clock, which is ours too; nothing without a file's name."""
    if file:
        with open(file, "a") as stream:
            stream.write(f"{began} {time.monotonic()} {name}\n")


def detect(buildpacks: list[Table]) -> list[list[Any]]:
    """Run all bin/detect at once; leave status, output and plan of the n-th in /cnb/run/detect/<n>/. Return status and plan."""
    children = []
    for number, buildpack in enumerate(buildpacks):
        directory = f"{RUN}/detect/{number}"
        plan = f"{directory}/plan.toml"
        os.makedirs(directory)
        os.close(os.open(plan, os.O_WRONLY | os.O_CREAT, 0o644))
        log = os.open(f"{directory}/output", os.O_WRONLY | os.O_CREAT, 0o644)
        env = {**buildpack_env(os.environ.copy(), buildpack), "CNB_BUILD_PLAN_PATH": plan}
        children.append((spawn([f"{buildpack['dir']}/bin/detect", PLATFORM, plan], env, log), directory))
        os.close(log)
    found = []
    for pid, directory in children:
        status = wait(pid)
        with open(f"{directory}/status", "w") as stream:
            stream.write(str(status))
        with open(f"{directory}/plan.toml", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            found.append([status, stream.read()])
    return found


def restore(files: dict[str, dict[str, str]]) -> None:
    """Write the TOML files that the last build left, by buildpack."""
    for directory, texts in files.items():
        os.makedirs(f"{LAYERS}/{directory}", exist_ok=True)
        for name, text in texts.items():
            with open(f"{LAYERS}/{directory}/{name}", "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(text)


def build(buildpacks: list[Table], entries: list[Table], times: str = "") -> int:
    """Run each bin/build in order; later ones see the build layers of earlier ones. `entries` is the build plan."""
    env = os.environ.copy()
    for number, buildpack in enumerate(buildpacks):
        layers, plan = f"{LAYERS}/{buildpack['layers']}", f"{RUN}/plan-{number}.toml"
        mine = [entry for entry in entries if buildpack["id"] in entry["providers"]]
        write_plan(plan, mine)
        build_env = {**buildpack_env(env, buildpack), "CNB_LAYERS_DIR": layers, "CNB_BP_PLAN_PATH": plan}
        began = time.monotonic()
        status = wait(spawn([f"{buildpack['dir']}/bin/build", layers, PLATFORM, plan], build_env))
        note_time(times, f"bin/build of {buildpack['id']}", began)
        if status != 0:
            return status
        if number + 1 < len(buildpacks):
            unmet = {item.get("name") for item in read_toml(f"{layers}/build.toml").get("unmet", ())}
            entries = [entry for entry in entries if entry not in mine or entry["name"] in unmet]
            env = after_build(env, layers)
    return 0


def write_plan(file: str, entries: list[Table]) -> None:
    """Write the buildpack plan: what was required of this buildpack."""
    text = ""
    if entries:
        text = own_module("toml_text").render_toml({"entries": [item for entry in entries for item in entry["requires"]]})
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)


def after_build(env: dict[str, str], layers: str) -> dict[str, str]:
    """Return the environment of the next buildpack: changed by the build layers of the one in `layers`."""
    environment = own_module("environment")
    roots: list[Change] = []
    others: list[Change] = []
    for file in sorted(os.listdir(layers)):
        layer = f"{layers}/{file.removesuffix('.toml')}"
        if not file.endswith(".toml") or not os.path.isdir(layer):
            continue
        if read_toml(f"{layers}/{file}").get("types", {}).get("build") is not True:
            continue

        def listing(directory: str, layer: str = layer) -> dict[str, str] | None:
            return read_directory(f"{layer}/{directory}")

        roots += environment.directory_changes(layer, listing, environment.BUILD_DIRECTORIES)
        others += environment.layer_changes(listing, "env", "env.build")
    changed: dict[str, str] = environment.apply_changes(env, roots + others)
    return changed


def buildpack_env(env: dict[str, str], buildpack: Table) -> dict[str, str]:
    """Return the environment of one buildpack's executable: config vars are in it unless it says clear-env."""
    result = dict(env)
    if not buildpack["clear_env"]:
        for name, value in (read_directory(f"{PLATFORM}/env") or {}).items():
            is_path = name in PATH_VARIABLES and result.get(name)
            result[name] = f"{value}:{result[name]}" if is_path else value
    return {**result, "CNB_BUILDPACK_DIR": buildpack["dir"], "CNB_PLATFORM_DIR": PLATFORM}


def read_directory(directory: str) -> dict[str, str] | None:
    """Return name -> content of the regular files of a directory, None when it is no directory."""
    contents = {}
    try:
        for entry in os.scandir(directory):
            if entry.is_file():
                with open(entry.path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
                    contents[entry.name] = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return contents


def read_toml(file: str) -> Table:
    """Return a TOML file's content, nothing when it is not there."""
    import tomllib

    try:
        with open(file, "rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        return {}


def own_module(name: str) -> Any:
    """Import a module that lies beside this file; -I leaves its directory out of sys.path."""
    directory = os.path.dirname(os.path.abspath(__file__))
    if directory not in sys.path:
        sys.path.insert(0, directory)
    return __import__(name)


def spawn(argv: list[str], env: dict[str, str], output: int | None = None) -> int:
    """Start a program, its output on the descriptor or ours; return its pid, 0 when it cannot be run."""
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)] if output is not None else []
    try:
        return os.posix_spawn(argv[0], argv, env, file_actions=actions)
    except OSError as exc:
        print(f"{argv[0]}: {exc.strerror}", flush=True)
        return 0


def wait(pid: int) -> int:
    """Return the exit status of a child, 128 and the signal's number if it was killed, 127 if it never was."""
    if pid == 0:
        return 127
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
