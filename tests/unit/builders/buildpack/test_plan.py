"""Detection results and order.toml -> the group that builds."""

from __future__ import annotations

import pytest

from paas.builders.buildpack.buildpack import Buildpack, Group, GroupMember
from paas.builders.buildpack.plan import BuildPlan, Detection, PlanEntry, parse_offers, resolve

JDK = 'provides = [{name = "jdk"}]'
NEEDS_JDK = 'requires = [{name = "jdk", metadata = {version = "21"}}]'


def group(*names: str) -> Group:
    """Return a group; a name that ends in `?` is optional."""
    return tuple(
        GroupMember(
            buildpack=Buildpack(id=name.rstrip("?"), version="1", api=(0, 10), directory=name.rstrip("?")),
            is_optional=name.endswith("?"),
        )
        for name in names
    )


def passing(text: str = "") -> tuple[int, str]:
    return 0, text


def resolved(groups: list[Group], **said: tuple[int, str]) -> BuildPlan | None:
    return resolve(groups, [Detection(buildpack=name, status=status, text=text) for name, (status, text) in said.items()])


def chosen(groups: list[Group], **said: tuple[int, str]) -> tuple[str, ...] | None:
    plan = resolved(groups, **said)
    return tuple(buildpack.id for buildpack in plan.buildpacks) if plan else None


FAILING = (100, "")


def test_first_group_whose_buildpacks_all_pass_is_chosen() -> None:
    groups = [group("a", "b"), group("b"), group("c")]
    assert chosen(groups, a=FAILING, b=passing(), c=passing()) == ("b",)


def test_optional_buildpack_that_fails_is_left_out() -> None:
    assert chosen([group("a", "b?")], a=passing(), b=FAILING) == ("a",)


def test_group_of_optional_buildpacks_of_which_none_passes_is_no_match() -> None:
    assert chosen([group("a?", "b?")], a=FAILING, b=FAILING) is None


def test_detection_error_of_a_required_buildpack_fails_its_group() -> None:
    assert chosen([group("a"), group("b")], a=(1, ""), b=passing()) == ("b",)


def test_requirement_is_met_by_an_earlier_provider() -> None:
    plan = resolved([group("jvm", "maven")], jvm=passing(JDK), maven=passing(NEEDS_JDK))
    assert plan is not None
    table = {"name": "jdk", "metadata": {"version": "21"}}
    assert plan.entries == (PlanEntry(name="jdk", providers=("jvm",), requires=(table,)),)


def test_requirement_is_not_met_by_a_later_provider() -> None:
    assert chosen([group("maven", "jvm")], jvm=passing(JDK), maven=passing(NEEDS_JDK)) is None


def test_what_nobody_requires_is_not_provided() -> None:
    assert chosen([group("jvm", "maven")], jvm=passing(JDK), maven=passing()) is None
    assert chosen([group("jvm?", "maven")], jvm=passing(JDK), maven=passing()) == ("maven",)


def test_optional_buildpack_whose_requirement_is_not_met_takes_its_provider_along() -> None:
    detections = {"jvm": passing(JDK), "agent": passing(NEEDS_JDK + '\nprovides = [{name = "agent"}]'), "app": passing()}
    assert chosen([group("jvm?", "agent?", "app")], **detections) == ("app",)


def test_alternatives_are_tried_in_order() -> None:
    maven = passing(NEEDS_JDK + '\n[[or]]\nrequires = []')
    assert chosen([group("maven")], maven=maven) == ("maven",)
    plan = resolved([group("jvm?", "maven")], jvm=passing(JDK), maven=maven)
    assert plan is not None and [buildpack.id for buildpack in plan.buildpacks] == ["jvm", "maven"]


def test_several_requirements_of_one_name_become_one_entry() -> None:
    plan = resolved(
        [group("jvm", "maven", "war")], jvm=passing(JDK), maven=passing(NEEDS_JDK), war=passing(NEEDS_JDK)
    )
    assert plan is not None and [len(entry.requires) for entry in plan.entries] == [2]


@pytest.mark.parametrize("text", ["[[provides]]\nname = 3", "or = 1", "= broken", "[[requires]]\nversion = 1"])
def test_build_plan_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_offers(text)


def test_what_a_new_buildpack_would_say_is_not_taken_for_granted() -> None:
    assert chosen([group("new"), group("old")], old=passing()) == ("old",)
    assert chosen([group("new")], old=passing()) is None
