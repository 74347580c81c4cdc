"""Several process types of an app that answer requests: names, ports and paths of their own."""

from __future__ import annotations

import pytest

from paas.deploy import apps, processes, routes, routing
from paas.errors import Conflict, InvalidInput
from paas.model.process import ProcessType
from paas.model.release import BuildResult
from paas.model.route import Backend, PortMap, own_name, parse_path
from unit.deploy.conftest import take_live

TYPES = tuple(ProcessType(name=name, command="x") for name in ("web", "web-admin", "api", "worker"))


@pytest.fixture
def shop(ctx, tmp_path):
    """The app shop, deployed with one process of each type."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/code").write_text("x")
    ctx.builders[0].result = BuildResult(image="i", processes=TYPES)
    app = apps.create(ctx, "shop")
    ctx.state.apps.scale("shop", {t.name: 1 for t in TYPES})
    take_live(ctx, app, tmp_path / "tree", "abc")
    return ctx


def served(ctx, app: str = "shop"):
    vhost, upstreams = ctx.proxy.served[app]
    listens = [(port.host, port.container, port.process, vhost.domains_of(port.process)) for port in vhost.ports]
    return listens, {backend: [str(peer) for peer in peers] for backend, peers in upstreams.items()}


def add_port(ctx, text: str, process: str):
    scheme, host, container = text.split(":")
    port = PortMap(scheme=scheme, host=int(host), container=int(container), process=process)
    return routes.change_ports(ctx, "shop", lambda now: (*now, port), process=process)


def test_a_type_named_web_answers_at_a_name_before_the_apps(shop):
    assert served(shop) == (
        [(80, 5000, "web", ("shop.localhost",)), (80, 5000, "web-admin", ("admin.shop.localhost",))],
        {"5000": ["10.0.0.1:5000"], "web-admin:5000": ["10.0.0.2:5000"]},
    )
    assert routing.app_urls(shop, "shop") == ("http://shop.localhost", "http://admin.shop.localhost")


def test_a_port_of_the_machine_leads_to_another_type_at_the_apps_names(shop):
    add_port(shop, "http:8080:9000", "api")
    listens, upstreams = served(shop)
    assert (8080, 9000, "api", ("shop.localhost",)) in listens
    assert upstreams["api:9000"] == ["10.0.0.3:9000"]
    add_port(shop, "http:8081:5000", "web-admin")
    assert [entry for entry in served(shop)[0] if entry[2] == "web-admin"] == [(8081, 5000, "web-admin", ("shop.localhost",))]
    routes.change_ports(shop, "shop", lambda now: (), process="web-admin")
    assert [entry for entry in served(shop)[0] if entry[2] == "web-admin"] == [(80, 5000, "web-admin", ("admin.shop.localhost",))]


def test_a_domain_leads_to_another_type_on_the_usual_port(shop):
    routes.change_domains(shop, "shop", lambda now: (*now, "api.example.com"), process="api")
    listens, upstreams = served(shop)
    assert (80, 5000, "api", ("api.example.com",)) in listens
    assert upstreams["api:5000"] == ["10.0.0.3:5000"]
    assert routing.app_domains(shop, "shop") == ("shop.localhost",)


def test_what_another_type_has_is_refused_and_nothing_recorded(shop):
    with pytest.raises(Conflict, match="port 80 is mapped twice at shop.localhost"):
        add_port(shop, "http:80:9000", "api")
    with pytest.raises(Conflict, match=r"shop.localhost belongs to shop"):
        routes.change_domains(shop, "shop", lambda now: ("shop.localhost",), process="api")
    with pytest.raises(Conflict, match=r"admin.shop.localhost belongs to shop \(web-admin\)"):
        routes.change_domains(shop, "shop", lambda now: (*now, "admin.shop.localhost"))
    apps.create(shop, "blog")
    with pytest.raises(Conflict, match=r"admin.shop.localhost belongs to shop \(web-admin\)"):
        routes.change_domains(shop, "blog", lambda now: ("admin.shop.localhost",))
    assert shop.state.routes.ports("shop") == ()
    assert shop.state.routes.process_domains("shop") == {}


def test_a_type_that_does_not_exist_gets_no_route(shop):
    for change in (
        lambda: add_port(shop, "http:8080:9000", "apii"),
        lambda: routes.change_domains(shop, "shop", lambda now: ("a.example.com",), process="apii"),
        lambda: routes.route_path(shop, "shop", "/api", Backend(process="apii", port=5000)),
    ):
        with pytest.raises(InvalidInput, match="apii is not a process type of shop"):
            change()


def test_a_path_leads_to_another_type(shop):
    routes.route_path(shop, "shop", "/api", Backend(process="api", port=9000), strips_prefix=True)
    vhost, upstreams = shop.proxy.served["shop"]
    assert [(p.path, str(p.backend), p.strips_prefix) for p in vhost.paths] == [("/api", "api:9000", True)]
    assert [str(peer) for peer in upstreams["api:9000"]] == ["10.0.0.3:9000"]
    routes.route_path(shop, "shop", "/api", None)
    assert shop.proxy.served["shop"][0].paths == ()


def test_what_runs_no_process_is_told_from_what_is_down(shop):
    processes.scale(shop, "shop", {"web": 0, "web-admin": 1})
    assert served(shop)[1] == {"web-admin:5000": ["10.0.0.2:5000"]}
    shop.engine.exit("c2", 1)
    routes.apply_routes(shop, shop.state.apps.get("shop"))
    assert served(shop)[1] == {"web-admin:5000": []}
    processes.stop(shop, "shop")
    assert served(shop)[1] == {}


def test_a_process_gets_the_first_port_that_leads_to_it(shop):
    from paas.deploy.intent import current_deployment

    add_port(shop, "http:8080:9000", "api")
    deployment = current_deployment(shop, shop.state.apps.get("shop"))
    assert {name: deployment.port_of(name) for name in ("web", "web-admin", "api", "worker")} == {
        "web": 5000, "web-admin": 5000, "api": 9000, "worker": 5000,
    }  # fmt: skip
    assert deployment.routed_ports("worker") == ()


def test_a_rename_takes_routes_along(shop):
    add_port(shop, "http:8080:9000", "api")
    routes.change_domains(shop, "shop", lambda now: ("api.example.com",), process="api")
    routes.route_path(shop, "shop", "/api", Backend(process="api", port=9000))
    apps.rename(shop, "shop", "store")
    listens, _ = served(shop, "store")
    assert (8080, 9000, "api", ("api.example.com",)) in listens
    assert (80, 5000, "web-admin", ("admin.store.localhost",)) in listens
    assert [p.path for p in shop.proxy.served["store"][0].paths] == ["/api"]


@pytest.mark.parametrize(
    ("process", "label"),
    [("web-admin", "admin"), ("web-Admin", "admin"), ("web-", ""), ("web", ""), ("web--", ""), ("web-a-b", "a-b")],
)
def test_the_name_of_a_type(process, label):
    assert own_name(process) == label


@pytest.mark.parametrize("bad", ["", "/", "api", "/a b", "/a//b", "/../etc", "/a/..", "/a;b", "/$x", "/a{", "/" + "a" * 300])
def test_a_path_is_plain(bad):
    with pytest.raises(InvalidInput):
        parse_path(bad)


def test_a_slash_at_the_end_of_a_path_does_not_count():
    assert parse_path("/api/v1.2/") == "/api/v1.2"
