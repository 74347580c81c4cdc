"""How the python buildpack reads the files that name packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "buildpacks" / "python" / "lib" / "install.py"


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pipfile_lock_becomes_requirements_with_hashes(install: ModuleType) -> None:
    document = {
        "default": {
            "flask": {"hashes": ["sha256:a", "sha256:b"], "markers": "python_version >= '3.8'", "version": "==3.0.3"},
            "uvicorn": {"extras": ["standard"], "version": "==0.30"},
            "own": {"git": "https://example.com/own.git", "ref": "abc"},
        },
        "develop": {"pytest": {"version": "==8"}},
    }
    assert install.locked_requirements(document) == [
        "flask==3.0.3 ; python_version >= '3.8' --hash=sha256:a --hash=sha256:b",
        "uvicorn[standard]==0.30",
        "own @ git+https://example.com/own.git@abc",
    ]


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ("*", "flask"),
        (">=3", "flask>=3"),
        ({"version": "==3", "extras": ["async"]}, "flask[async]==3"),
        ({"version": "*", "markers": "os_name == 'posix'"}, "flask ; os_name == 'posix'"),
    ],
)
def test_pipfile_entry_becomes_a_requirement(install: ModuleType, wanted: Any, line: str) -> None:
    assert install.pipfile_requirement("flask", wanted) == line


def test_pipfile_entry_from_a_path_is_refused_with_a_remedy(install: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        install.pipfile_requirement("own", {"path": "."})
    assert capsys.readouterr().out.startswith(" !     Pipfile: own is not installed from an index\n !     ")
