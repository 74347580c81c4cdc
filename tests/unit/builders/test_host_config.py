"""What of the host's package-manager configuration a build sees."""

from pathlib import Path

import pytest

from paas.builders.host_config import apt_files, host_config_env, host_config_mounts

RELEASE = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def host(tmp_path: Path) -> Path:
    return write(tmp_path / "host", {"etc/os-release": RELEASE})


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    return write(tmp_path / "layer", {"etc/os-release": RELEASE, "etc/apt/sources.list": "deb http://a stable main\n"})


def targets(mounts: tuple) -> dict[str, Path]:
    return {mount.target: mount.source for mount in mounts}


def test_a_bare_host_gives_nothing(host: Path, layer: Path) -> None:
    assert host_config_env(environ={"PATH": "/bin", "SECRET": "x"}, host=host) == {}
    assert host_config_mounts([layer], environ={}, host=host) == ()


def test_proxy_and_registry_variables_are_passed_on_and_others_are_not(host: Path) -> None:
    environ = {"http_proxy": "http://p:3128", "GOPROXY": "http://go", "PIP_INDEX_URL": "http://i"}
    environ |= {"PIP_CACHE_DIR": "/x", "A": "b"}
    assert host_config_env(environ=environ, host=host) == {
        "http_proxy": "http://p:3128", "GOPROXY": "http://go", "PIP_INDEX_URL": "http://i",
    }  # fmt: skip


def test_a_variable_that_names_a_directory_of_the_host_is_mounted_and_points_inside(host: Path) -> None:
    (host / "opt/wheels").mkdir(parents=True)
    environ = {"PIP_FIND_LINKS": "/opt/wheels"}
    assert host_config_env(environ=environ, host=host) == {"PIP_FIND_LINKS": "/run/host-config/pip_find_links"}
    mounts = host_config_mounts([], environ=environ, host=host)
    assert targets(mounts) == {"/run/host-config/pip_find_links": host / "opt/wheels"}
    assert all(mount.is_read_only and mount.is_mapped for mount in mounts)


def test_a_variable_that_names_a_missing_path_is_dropped(host: Path) -> None:
    assert host_config_env(environ={"PIP_FIND_LINKS": "/nowhere"}, host=host) == {}


def test_own_certificate_authorities_of_the_host_are_trusted_by_every_tool(host: Path) -> None:
    write(host, {"usr/local/share/ca-certificates/own.crt": "x", "etc/ssl/certs/ca-certificates.crt": "bundle"})
    env = host_config_env(environ={}, host=host)
    for variable in ("PIP_CERT", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"):
        assert env[variable] == "/run/host-config/ca-certificates.crt"
    assert targets(host_config_mounts([], environ={}, host=host)) == {
        "/run/host-config/ca-certificates.crt": host / "etc/ssl/certs/ca-certificates.crt"
    }


def test_user_files_of_pip_npm_cargo_maven_and_go_are_found(host: Path) -> None:
    home = {".npmrc": "a", ".cargo/config.toml": "b", ".m2/settings.xml": "c", ".config/pip/pip.conf": "d"}
    write(host / "root", home | {".config/go/env": "GOPROXY=http://go\nGOFLAGS=-x\n"})
    assert host_config_env(environ={}, host=host) == {
        "PIP_CONFIG_FILE": "/run/host-config/pip.conf", "NPM_CONFIG_GLOBALCONFIG": "/run/host-config/npmrc",
        "MAVEN_ARGS": "-gs /run/host-config/maven-settings.xml", "GOPROXY": "http://go",
    }  # fmt: skip
    mounts = targets(host_config_mounts([], environ={}, host=host))
    assert mounts["/.cargo/config.toml"] == host / "root/.cargo/config.toml"


def test_apt_gets_network_settings_but_no_hooks_and_only_where_the_image_has_apt(host: Path, layer: Path) -> None:
    write(host / "etc/apt/apt.conf.d", {
        "90proxy": 'Acquire::http::Proxy "http://p";', "clean": 'DPkg::Post-Invoke { "rm"; };', "01x": 'APT::X "1";',
    })  # fmt: skip
    assert targets(host_config_mounts([layer], environ={}, host=host)) == {
        "/etc/apt/apt.conf.d/90proxy": host / "etc/apt/apt.conf.d/90proxy"
    }
    assert host_config_mounts([], environ={}, host=host) == ()


def test_apt_s_logins_are_mounted_and_never_among_the_files_for_a_layer(host: Path, layer: Path) -> None:
    write(host, {"etc/apt/auth.conf.d/mirror.conf": "machine m login x password y\n"})
    mounts = targets(host_config_mounts([layer], environ={}, host=host, with_apt=False))
    assert list(mounts) == ["/etc/apt/auth.conf.d/mirror.conf"]
    assert apt_files([layer], host=host) == ()


def test_an_empty_file_stands_in_for_sources_of_the_image_that_the_host_does_not_have(host: Path, layer: Path) -> None:
    write(host, {"etc/apt/sources.list.d/debian.sources": "Types: deb\n"})
    assert [(file.target, str(file.source)) for file in apt_files([layer], host=host)] == [
        ("/etc/apt/sources.list.d/debian.sources", str(host / "etc/apt/sources.list.d/debian.sources")),
        ("/etc/apt/sources.list", "/dev/null"),
    ]


def test_apt_sources_are_those_that_differ_from_the_image(host: Path, layer: Path) -> None:
    write(host, {"etc/apt/sources.list": "deb http://mirror stable main\n"})
    assert [file.target for file in apt_files([layer], host=host)] == ["/etc/apt/sources.list"]
    write(layer, {"etc/apt/sources.list": "deb http://mirror stable main\n"})
    assert apt_files([layer], host=host) == ()


def test_apt_sources_of_another_release_are_not_taken(host: Path, layer: Path) -> None:
    write(host, {"etc/apt/sources.list": "deb http://mirror stable main\n"})
    write(layer, {"etc/os-release": RELEASE.replace("12", "13").replace("bookworm", "trixie")})
    assert apt_files([layer], host=host) == ()
