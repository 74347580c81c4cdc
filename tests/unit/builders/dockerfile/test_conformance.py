"""Every case in tests/data/dockerfiles: a Dockerfile and what it means (expected.json) or what is wrong with it (error).

A first comment `# given: A=b` is a --build-arg, `# target: x` the target. PAAS_WRITE_EXPECTED=1 rewrites the answers.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from paas.builders.dockerfile.expand import ExpansionError
from paas.builders.dockerfile.instructions import Copy, Run
from paas.builders.dockerfile.parser import parse_dockerfile
from paas.builders.dockerfile.plan import BuildPlan, plan_build
from paas.builders.dockerfile.stage import StageState, begin_stage, configure, resolve, run_argv
from paas.errors import InvalidFile
from paas.oci.manifest import ImageConfig

CASES = Path(__file__).parents[3] / "data" / "dockerfiles"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_dockerfile_means_what_its_case_says(case: str) -> None:
    text = (CASES / case / "Dockerfile").read_bytes().decode()
    expected = CASES / case / ("error" if case.startswith("error-") else "expected.json")
    try:
        answer = json.dumps(meaning(text), indent=1) + "\n"
    except InvalidFile as exc:
        answer = exc.message + "\n"
        if not case.startswith("error-"):
            raise
    if os.environ.get("PAAS_WRITE_EXPECTED"):
        expected.write_text(answer)
    assert answer == expected.read_text()


def meaning(text: str) -> dict[str, Any]:
    """Walk the plan as the builder does, on made-up base images."""
    given = dict(match.split("=", 1) for match in re.findall(r"^# given: (\S+)$", text, re.M))
    target = next(iter(re.findall(r"^# target: (\S+)$", text, re.M)), "")
    plan = plan_build(parse_dockerfile(text), target=target, build_args=given)
    states: dict[int, StageState] = {}
    stages = [stage_meaning(plan, index, states) for index in range(len(plan.stages)) if index in plan.needed]
    return {"stages": stages, "steps": plan.step_count}


def stage_meaning(plan: BuildPlan, index: int, states: dict[int, StageState]) -> dict[str, Any]:
    stage = plan.stages[index]
    if stage.parent is None:
        cmd = ("inherited",) if stage.image == "base-with-cmd" else ()
        state = begin_stage(ImageConfig(env=(("PATH", "/bin"),), cmd=cmd), (), plan.scope())
    else:
        parent = states[stage.parent]
        state = begin_stage(parent.config, (), parent.scope)
    steps = []
    for instruction in stage.instructions:
        try:
            instruction = resolve(instruction, state.scope, escape=plan.escape)
            if isinstance(instruction, (Run, Copy)):
                steps.append(step_meaning(instruction, state))
            else:
                state = configure(state, instruction)
        except (ExpansionError, ValueError) as exc:
            raise InvalidFile("Dockerfile", instruction.line, str(exc), text=instruction.text) from exc
    states[index] = state
    base = f"stage {stage.parent}" if stage.parent is not None else stage.image or "scratch"
    config = {key: value for key, value in state.config.runtime_object().items() if value != ["PATH=/bin"]}
    return {"index": index, "name": stage.start.name, "base": base, "steps": steps, "config": config}


def step_meaning(instruction: Run | Copy, state: StageState) -> dict[str, Any]:
    shown = {k: v for k, v in dataclasses.asdict(instruction).items() if v not in ("", (), None, False)}
    shown.pop("text")
    if isinstance(instruction, Run):
        shown.pop("command")
        shown.pop("heredocs", None)
        shown["argv"] = run_argv(instruction, state.shell)
    return {"kind": type(instruction).__name__, **shown}
