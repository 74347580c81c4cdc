"""Programs as sealed files in memory, on the real kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from paas.host.sealed import sealed_copy

pytestmark = pytest.mark.integration


def output_of(program: Path) -> str:
    return subprocess.run(["echo", "here"], executable=program, capture_output=True, text=True, check=True).stdout


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}


def test_a_sealed_copy_runs_and_nobody_can_change_it() -> None:
    with sealed_copy(Path("/bin/echo")) as copy:
        assert copy.read_bytes() == Path("/bin/echo").read_bytes()
        assert output_of(copy) == "here\n"
        for change in (lambda: copy.write_bytes(b""), lambda: os.truncate(copy, 0)):
            with pytest.raises(PermissionError):
                change()


def test_it_is_gone_afterwards() -> None:
    before = descriptors()
    with sealed_copy(Path("/bin/echo")) as copy:
        assert copy.exists()
    assert descriptors() == before


def test_a_program_that_was_replaced_is_copied_anew(tmp_path: Path) -> None:
    program = tmp_path / "echo"
    shutil.copy("/bin/true", program)
    with sealed_copy(program) as copy:
        assert output_of(copy) == ""
        program.unlink()
        shutil.copy("/bin/echo", program)
        assert output_of(copy) == ""
    with sealed_copy(program) as copy:
        assert output_of(copy) == "here\n"


def test_a_kernel_that_makes_none_runs_the_program_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, flags: int) -> int:
        raise PermissionError(1, "not here")

    monkeypatch.setattr(os, "memfd_create", refuse)
    with sealed_copy(Path("/bin/echo")) as program:
        assert program == Path("/bin/echo")
