"""Install what a file asks for into a virtual environment, with pip or uv. Only imported when something has changed."""

import json
import os
import shutil
import subprocess
import sys

PYTHON = "/usr/bin/python3"
#: A download cache that has grown over this is begun anew.
MAX_CACHE_BYTES = 1 << 30


def install(source, venv, layers):
    """Make the environment. Ends the program with a message when a package cannot be installed."""
    for cache in ("pip-cache", "uv-cache"):
        if tree_bytes(f"{layers}/{cache}") > MAX_CACHE_BYTES:
            shutil.rmtree(f"{layers}/{cache}")
    if source == "uv.lock":
        sync_with_uv(venv, layers)
        return
    # pip stays outside: making an environment with one of its own takes seconds.
    run([PYTHON, "-I", "-m", "venv", "--without-pip", venv], "could not make a virtual environment", "see the lines above")
    arguments = pip_arguments(source, layers)
    if arguments:
        pip(["--python", f"{venv}/bin/python", "install", *arguments], source, layers)


def pip_arguments(source, layers):
    """Return what pip is to install."""
    if source == "requirements.txt":
        return ["-r", source]
    if source == "Pipfile.lock":
        return as_file(locked_requirements(read_json(source)), layers)
    document = read_toml(source)
    if source == "Pipfile":
        return as_file([pipfile_requirement(name, wanted) for name, wanted in document.get("packages", {}).items()], layers)
    if "build-system" in document:
        return ["-e", "."]  # its modules stay in /workspace, so a change of them installs nothing
    project = document.get("project")
    if project is None:
        fail("pyproject.toml names no packages: it has neither [project] nor [build-system]",
             "add [project] with dependencies, or a requirements.txt")
    return as_file(project.get("dependencies", []), layers)


def locked_requirements(document):
    """Return the default packages of a Pipfile.lock with their hashes."""
    lines = []
    for name, entry in document.get("default", {}).items():
        if "git" in entry:
            lines.append(f"{name} @ git+{entry['git']}@{entry['ref']}")
            continue
        if "version" not in entry:
            fail(f"Pipfile.lock: {name} has no version", "install it from an index, or use requirements.txt")
        extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
        marker = f" ; {entry['markers']}" if entry.get("markers") else ""
        hashes = "".join(f" --hash={digest}" for digest in entry.get("hashes", ()))
        lines.append(f"{name}{extras}{entry['version']}{marker}{hashes}")
    return lines


def pipfile_requirement(name, wanted):
    """Return one package of a Pipfile as pip writes it."""
    entry = wanted if isinstance(wanted, dict) else {"version": wanted}
    if not {"version", "extras", "markers", "index"}.issuperset(entry):
        fail(f"Pipfile: {name} is not installed from an index", "run pipenv lock and add Pipfile.lock, or use requirements.txt")
    version = str(entry.get("version", "*"))
    extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
    return f"{name}{extras}{'' if version == '*' else version}" + (f" ; {entry['markers']}" if entry.get("markers") else "")


def as_file(lines, layers):
    if not lines:
        return []
    path = "/tmp/requirements.txt"
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
    return ["-r", path]


def sync_with_uv(venv, layers):
    """Let uv install exactly what uv.lock says, without development packages."""
    uv = f"{layers}/uv/bin/uv"
    if not os.path.exists(uv):
        pip(["install", "--target", f"{layers}/uv", "uv"], "uv", layers)
    env = {
        "UV_PROJECT_ENVIRONMENT": venv, "UV_CACHE_DIR": f"{layers}/uv-cache", "UV_PYTHON": PYTHON,
        "UV_PYTHON_DOWNLOADS": "never", "UV_COMPILE_BYTECODE": "1", "UV_NO_PROGRESS": "1",
    }
    if "SSL_CERT_FILE" in os.environ:
        env["UV_NATIVE_TLS"] = "1"
    run([uv, "sync", "--frozen", "--no-dev"], "uv could not install the packages of uv.lock",
        "run uv lock, commit uv.lock and push again", env)


def pip(arguments, source, layers):
    env = {
        "PIP_CACHE_DIR": f"{layers}/pip-cache", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off", "PIP_ROOT_USER_ACTION": "ignore",
    }
    run([PYTHON, "-m", "pip", *arguments], f"pip could not install the packages of {source}",
        f"correct {source} and push again", env)


def run(argv, message, remedy, env=None):
    if subprocess.run(argv, env={**os.environ, **(env or {})}).returncode != 0:
        fail(message, remedy)


def tree_bytes(directory):
    return sum(os.lstat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(directory) for name in names)


def read_json(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except ValueError as exc:
        fail(f"{path} is not valid JSON: {exc}", "make it anew and push again")


def read_toml(path):
    import tomllib

    try:
        with open(path, "rb") as stream:
            return tomllib.load(stream)
    except tomllib.TOMLDecodeError as exc:
        fail(f"{path} is not valid TOML: {exc}", "correct it and push again")


def fail(message, remedy):
    print(f" !     {message}\n !     {remedy}", flush=True)
    sys.exit(1)
