from __future__ import annotations

from pathlib import Path

from paas.oci.apt import AptSource, choose_sources, parse_deb822, parse_one_line, read_sources, render_sources

DEBIAN = AptSource(
    uris=("http://deb.debian.org/debian",),
    suites=("bookworm", "bookworm-updates"),
    components=("main", "contrib"),
    options=(("Signed-By", "/usr/share/keyrings/debian-archive-keyring.gpg"),),
)
THIRD_PARTY = AptSource(
    uris=("https://apt.releases.example.com",),
    suites=("bookworm",),
    components=("main",),
    options=(("Signed-By", "/usr/share/keyrings/example-archive-keyring.gpg"),),
)


def test_one_line_sources_are_read_with_their_options() -> None:
    text = """
# a comment
deb [arch=amd64,arm64 signed-by=/keys/debian.gpg trusted=yes] http://me:pw@mirror.example/debian bookworm main contrib # why
deb-src http://mirror.example/debian bookworm main
 deb   http://mirror.example/debian-security   bookworm-security   main
deb http://mirror.example/flat ./
"""
    assert parse_one_line(text) == (
        AptSource(
            uris=("http://me:pw@mirror.example/debian",),
            suites=("bookworm",),
            components=("main", "contrib"),
            options=(
                ("Architectures", "amd64 arm64"),
                ("Signed-By", "/keys/debian.gpg"),
                ("Trusted", "yes"),
            ),
        ),
        AptSource(uris=("http://mirror.example/debian-security",), suites=("bookworm-security",), components=("main",)),
        AptSource(uris=("http://mirror.example/flat",), suites=("./",), components=()),
    )


def test_deb822_sources_are_read_without_disabled_and_source_only_stanzas() -> None:
    text = """\
Types: deb deb-src
# http://snapshot.example/
URIs: http://deb.debian.org/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example
Suites: bookworm
Components: main
"""
    assert parse_deb822(text) == (DEBIAN,)


def test_a_key_written_in_place_survives_reading_and_writing() -> None:
    text = """\
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""
    sources = parse_deb822(text)
    assert sources[0].signed_by.endswith(" abc\n -----END PGP PUBLIC KEY BLOCK-----")
    assert parse_deb822(render_sources(sources)) == sources
    assert " .\n abc\n" in render_sources(sources)


def test_written_sources_are_read_back_the_same() -> None:
    assert parse_deb822(render_sources([DEBIAN, THIRD_PARTY])) == (DEBIAN, THIRD_PARTY)


def test_files_are_read_in_apt_s_order(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://one b main\n")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/b.list").write_text("deb http://three b main\n")
    (tmp_path / "sources.list.d/a.sources").write_text("Types: deb\nURIs: http://two\nSuites: b\nComponents: main\n")
    (tmp_path / "sources.list.d/c.list.disabled").write_text("deb http://off b main\n")
    assert [source.uris for source in read_sources(tmp_path)] == [("http://one",), ("http://two",), ("http://three",)]
    assert read_sources(tmp_path / "missing") == ()


def test_only_the_distribution_s_own_archive_is_chosen() -> None:
    backports = AptSource(uris=DEBIAN.uris, suites=("bookworm-backports",), components=("main",))
    chosen = choose_sources([THIRD_PARTY, DEBIAN, backports], distribution="debian", codename="bookworm", components=("main",))
    assert chosen == (AptSource(uris=DEBIAN.uris, suites=DEBIAN.suites, components=("main",), options=DEBIAN.options),)


def test_a_mirror_with_its_own_key_is_chosen_when_there_is_no_other() -> None:
    assert choose_sources([THIRD_PARTY], distribution="debian", codename="bookworm", components=("main",)) == (THIRD_PARTY,)


def test_the_host_s_mirror_serves_another_release_too() -> None:
    chosen = choose_sources(
        [DEBIAN], distribution="debian", codename="trixie", components=("main",), host_codename="bookworm"
    )
    assert [(source.uris, source.suites) for source in chosen] == [(DEBIAN.uris, ("trixie", "trixie-updates"))]


def test_passwords_leave_a_source() -> None:
    source = AptSource(uris=("https://me:p%40ss@mirror.example:8443/debian", "http://x/y@z"), suites=("s",), components=("main",))
    assert source.without_credentials().uris == ("https://mirror.example:8443/debian", "http://x/y@z")
