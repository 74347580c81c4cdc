from __future__ import annotations

from pathlib import Path

import pytest

from paas.errors import InvalidFile, NotFound
from paas.oci.apt import AptSource
from paas.oci.bootstrap import AptSetup, apt_options, plan_mmdebstrap
from paas.oci.reference import Reference
from paas.oci.stacks import HostRelease, find_stack, read_stack, read_stacks, run_reference, sources_for, stack_reference
from paas.paths import Paths

STACKS = Path(__file__).parents[3] / "buildpacks" / "stacks"
MIRROR = AptSource(uris=("http://mirror.example/debian",), suites=("bookworm", "bookworm-security"), components=("main",))
DEBIAN_12 = HostRelease(distribution="debian", version="12", codename="bookworm")
UBUNTU = HostRelease(distribution="ubuntu", version="24.04", codename="noble")


@pytest.mark.parametrize("stack", read_stacks(STACKS), ids=lambda stack: stack.name)
def test_each_stack_ends_with_its_run_and_its_build_image(stack) -> None:  # type: ignore[no-untyped-def]
    first_names = [image.references[0] for image in stack.images]
    assert first_names[-2:] == [run_reference(stack.name), stack_reference(stack.name)]
    for image in stack.images:
        assert [Reference.parse(reference).familiar for reference in image.references] == list(image.references)
        assert image.config.env_value("PATH") == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert stack.images[-1].config.env_value("LANG") == "C.UTF-8"


def test_the_default_stacks_exist() -> None:
    assert {"debian-12", "debian-13", "ubuntu-24.04"} <= {stack.name for stack in read_stacks(STACKS)}


def test_dockerfiles_find_debian_by_its_usual_names() -> None:
    assert set(find_stack(STACKS, "debian-12").images[0].references) == {
        "debian:12", "debian:bookworm", "debian:12-slim", "debian:bookworm-slim",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["plan9", "../stacks/debian-12", ""])
def test_unknown_stack_is_an_error_that_names_those_there_are(name: str) -> None:
    with pytest.raises(NotFound) as caught:
        find_stack(STACKS, name)
    assert "debian-12, debian-13" in caught.value.remedy


@pytest.mark.parametrize("text", ["not toml", "suite = 'bookworm'", "image = []", "image = 3"])
def test_malformed_definition_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(InvalidFile) as caught:
        read_stack(tmp_path / "bad.toml")
    assert str(tmp_path / "bad.toml") in caught.value.message


def test_packages_come_from_the_host_s_mirror_when_it_has_the_distribution() -> None:
    assert sources_for(find_stack(STACKS, "debian-12"), DEBIAN_12, [MIRROR]) == (MIRROR,)


def test_packages_come_from_the_public_mirror_on_another_distribution() -> None:
    stack = find_stack(STACKS, "debian-12")
    ubuntu = AptSource(uris=("http://mirror.example/ubuntu",), suites=("noble",), components=("main",))
    assert sources_for(stack, UBUNTU, [ubuntu]) == stack.sources
    assert {uri for source in stack.sources for uri in source.uris} == {
        "http://deb.debian.org/debian", "http://deb.debian.org/debian-security",
    }  # fmt: skip


def test_debian_13_comes_from_the_mirror_of_a_debian_12_host() -> None:
    found = sources_for(find_stack(STACKS, "debian-13"), DEBIAN_12, [MIRROR])
    assert [(source.uris, source.suites) for source in found] == [(MIRROR.uris, ("trixie", "trixie-security"))]


def test_mmdebstrap_makes_the_first_layer_from_nothing() -> None:
    apt = AptSetup(sources=(MIRROR,), options_file=Path("/s/apt.conf"), image_sources_file=Path("/s/debian.sources"))
    argv = plan_mmdebstrap(
        find_stack(STACKS, "debian-12"), apt, packages=("ca-certificates", "tzdata"), target=Path("/layer"), is_base=True
    )
    assert argv == (
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        "--variant=minbase",
        "--components=main",
        "--include=ca-certificates,tzdata",
        "--aptopt=/s/apt.conf",
        "--dpkgopt=path-exclude=/usr/share/doc/*/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--dpkgopt=path-exclude=/usr/share/man/*/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*/*",
        "--dpkgopt=path-exclude=/usr/share/info/*",
        "--dpkgopt=force-unsafe-io",
        "bookworm",
        "/layer",
        "/s/debian.sources",
    )


def test_mmdebstrap_adds_packages_to_what_is_there_and_sees_mirrors_on_disk() -> None:
    mirror = AptSource(uris=("file:/srv/debian",), suites=("bookworm",), components=("main",))
    apt = AptSetup(sources=(mirror,), options_file=Path("/s/apt.conf"), image_sources_file=Path("/s/debian.sources"))
    argv = plan_mmdebstrap(find_stack(STACKS, "debian-12"), apt, packages=("curl",), target=Path("/m"), is_base=False)
    assert argv == (
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        "--variant=custom",
        "--skip=check/empty",
        "--components=main",
        "--include=curl",
        "--aptopt=/s/apt.conf",
        "--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount",
        "bookworm",
        "/m",
        "/s/debian.sources",
    )


def test_only_apt_s_network_settings_are_taken_over() -> None:
    dump = """\
APT "";
APT::Architecture "amd64";
Acquire "";
Acquire::cdrom::mount "/media/cdrom/";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::CAInfo "/etc/ssl/certs/own.pem";
Acquire::Check-Valid-Until "false";
Acquire::GzipIndexes "true";
Acquire::IndexTargets::deb::Packages::MetaKey "x";
DPkg::Post-Invoke:: "rm -rf /var/cache";
"""
    assert apt_options(Path("/s/host.sources"), dump) == (
        'Dir::Etc::SourceList "/s/host.sources";',
        'Dir::Etc::SourceParts "/dev/null";',
        'Dir::Etc::netrc "/etc/apt/auth.conf";',
        'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
        'APT::Sandbox::User "root";',
        'APT::Keep-Downloaded-Packages "true";',
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::https::CAInfo "/etc/ssl/certs/own.pem";',
        'Acquire::Check-Valid-Until "false";',
    )


def test_definitions_are_where_the_paths_say(tmp_path: Path) -> None:
    assert Paths(root=tmp_path, run=tmp_path, etc=tmp_path).share / "buildpacks" / "stacks" == STACKS
