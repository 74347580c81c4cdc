"""What a vhost becomes: whole texts are in tests/data/vhosts, one file for each case."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paas.errors import InvalidInput, InvalidSetting
from paas.model.route import Backend, PathRoute, PortMap, Upstream, Vhost
from paas.proxies.nginx.properties import PROPERTIES, directives_for, effective_properties, parse_property
from paas.proxies.nginx.render import Places, Renderer
from paas.proxies.nginx.upstreams import upstream_text, with_missing_backends

ROOT = Path(__file__).parents[4]
EXPECTED = ROOT / "tests" / "data" / "vhosts"
PLACES = Places(
    directory=Path("/etc/nginx/paas"),
    upstreams=Path("/var/lib/paas/proxy/upstreams"),
    socket=Path("/var/lib/paas/proxy/nginx.sock"),
    logs=Path("/var/log/nginx"),
)


def renderer(*, has_ipv6: bool = True) -> Renderer:
    return Renderer(ROOT / "nginx-templates", PLACES, has_ipv6=has_ipv6)


def vhost(**changes) -> Vhost:
    given = {"app": "shop", "domains": ("shop.example.com",), "ports": (PortMap(scheme="http", host=80, container=5000),)}
    return Vhost(**{**given, **changes})


CASES = {
    "plain": vhost(),
    "two-ports-and-a-wildcard": vhost(
        domains=("shop.example.com", "*.shop.example.com"),
        ports=(PortMap(scheme="http", host=80, container=5000), PortMap(scheme="http", host=8080, container=9000)),
        properties=(
            ("client-max-body-size", "50m"), ("proxy-buffers", "8 32k"), ("x-forwarded-proto-value", "$http_x_forwarded_proto"),
        ),
    ),
    "process-types": vhost(
        ports=(
            PortMap(scheme="http", host=80, container=5000),
            PortMap(scheme="http", host=80, container=5000, process="web-admin"),
            PortMap(scheme="http", host=8080, container=9000, process="api"),
        ),
        own_domains=(("web-admin", ("admin.shop.example.com",)),),
        paths=(
            PathRoute(path="/api", backend=Backend(process="api", port=9000), strips_prefix=True),
            PathRoute(path="/live/", backend=Backend(process="live", port=5000)),
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_vhost_text(case: str) -> None:
    assert renderer().vhost(CASES[case]) == (EXPECTED / f"{case}.conf").read_text()


def test_without_ipv6_nothing_listens_there() -> None:
    assert "[::]" not in renderer(has_ipv6=False).vhost(vhost())


def test_without_domains_or_http_ports_no_server_is_written() -> None:
    https = (PortMap(scheme="https", host=443, container=5000),)
    assert [line for v in (vhost(domains=()), vhost(ports=https)) for line in renderer().vhost(v).splitlines()[1:]] == []


def test_default_server_takes_the_addresses_that_have_none() -> None:
    text = renderer().default_server([80, 8080, 80], frozenset({"80"}))
    listens = [line.strip() for line in text.splitlines() if "listen" in line]
    assert listens == [
        "listen [::]:80 default_server;", "listen 8080 default_server;", "listen [::]:8080 default_server;",
    ]  # fmt: skip
    assert "return 444;" in text


def test_default_server_is_left_out_where_others_have_it() -> None:
    assert "server {" not in renderer().default_server([80], frozenset({"80", "[::]:80"}))


def test_hash_sizes_are_set_only_if_nobody_else_does() -> None:
    assert "server_names_hash_bucket_size 512;" in renderer().shared(claims_hash_sizes=True)
    assert "server_names_hash" not in renderer().shared(claims_hash_sizes=False)


@pytest.mark.parametrize(
    "broken",
    [
        vhost(app="shop; }"),
        vhost(domains=("shop.example.com; return 200",)),
        vhost(domains=("$host",)),
        vhost(domains=("a.b\nserver_name c",)),
        vhost(ports=(PortMap(scheme="http", host=80, container=1), PortMap(scheme="http", host=80, container=2))),
        vhost(ports=(PortMap(scheme="http", host=80, container=1, process="a; }"),)),
        vhost(paths=(PathRoute(path="/a {", backend=Backend(port=1)),)),
        vhost(paths=(PathRoute(path="/a/../b", backend=Backend(port=1)),)),
        vhost(own_domains=(("web", ("a; return 200",)),)),
    ],
)
def test_what_is_no_name_never_gets_into_a_file(broken: Vhost) -> None:
    with pytest.raises(InvalidInput):
        renderer().vhost(broken)


@pytest.mark.parametrize("name", [p.name for p in PROPERTIES])
@pytest.mark.parametrize(
    "value", ["1; return 200", "1m;", "1m }", "{", "on\n", "\non", "on off", "$host", "1m #", "'1m'", "-1", " 1m"]
)
def test_property_admits_no_configuration(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting):
        parse_property(name, value)


@pytest.mark.parametrize("known", PROPERTIES, ids=lambda p: p.name)
def test_property_takes_its_example_and_its_default(known) -> None:
    assert parse_property(known.name, known.example) == known.example
    assert not known.default or parse_property(known.name, known.default) == known.default


def test_unknown_property_names_the_nearest() -> None:
    with pytest.raises(InvalidSetting) as failure:
        parse_property("client-max-bodysize", "1m")
    assert failure.value.remedy == "did you mean client-max-body-size?"


def test_an_empty_value_is_the_default() -> None:
    values = effective_properties([("client-max-body-size", ""), ("proxy-read-timeout", "2h")])
    assert (values["client-max-body-size"], values["proxy-read-timeout"]) == ("1m", "2h")
    assert "client_max_body_size 1m;" in directives_for(values)


def test_upstreams_are_one_line_for_each_peer() -> None:
    upstreams = {"9000": [], "5000": [Upstream(address="10.0.0.3", port=5000), Upstream(address="10.0.0.2", port=5000)]}
    assert upstream_text(upstreams) == "5000 10.0.0.3:5000\n5000 10.0.0.2:5000\n9000 none\n"


def test_what_is_no_address_never_gets_into_memory() -> None:
    with pytest.raises(ValueError):
        upstream_text({"5000": [Upstream(address="10.0.0.2\n9000 10.0.0.9", port=1)]})


def test_ports_that_only_the_old_vhost_knows_are_kept_meanwhile() -> None:
    assert with_missing_backends("8000 10.0.0.5:8000\n", "5000 10.0.0.2:5000\n8000 10.0.0.2:8000\n") == (
        "8000 10.0.0.5:8000\n5000 10.0.0.2:5000\n"
    )


def test_importing_the_proxy_does_not_import_jinja() -> None:
    code = "import sys, paas.proxies.nginx.proxy; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
