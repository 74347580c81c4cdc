import pytest

from paas.errors import InvalidInput
from paas.model.app import parse_app_name
from paas.model.env import Secret, parse_assignments
from paas.model.release import config_diff
from paas.model.route import PortMap, default_ports, parse_domain, parse_port_map


@pytest.mark.parametrize("name", ["shop", "my-shop", "a", "1a", "shop.example.com", "x" * 63])
def test_a_good_app_name_is_returned(name):
    assert parse_app_name(name) == name


BAD_NAMES = [
    "", "Shop", "-shop", ".shop", "shop_1", "a b", "a/b", "../x", "a..b",
    "x" * 64, "shop.", "shop\n", "a.git", "a.-b", "a-.b",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_app_name_is_refused_with_a_remedy(name):
    with pytest.raises(InvalidInput) as caught:
        parse_app_name(name)
    assert "lowercase" in caught.value.remedy


def test_config_values_are_taken_byte_for_byte():
    given = ["A=x y", "B=a=b", "C=", "D=line1\nline2", 'E=\'q\' "d" $HOME `x`', "F=ümläut"]
    assert parse_assignments(given) == {
        "A": "x y", "B": "a=b", "C": "", "D": "line1\nline2", "E": '\'q\' "d" $HOME `x`', "F": "ümläut",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["A", "1A=x", "A-B=x", "=x", "A B=x", "A=\0"])
def test_a_wrong_assignment_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_assignments([text])


def test_a_secret_never_shows_itself():
    assert repr(Secret("hunter2")) == "'***'"
    assert repr({"A": Secret("hunter2")}) == "{'A': '***'}"


def test_a_config_diff_names_keys_and_never_values():
    assert config_diff({"A": "1", "B": "2", "C": "3"}, {"B": "2", "C": "4", "D": "5"}) == ("-A", "~C", "+D")


def test_a_port_map_is_parsed():
    assert parse_port_map("http:80:5000") == PortMap(scheme="http", host=80, container=5000)


@pytest.mark.parametrize(
    "text", ["", "80", "http:80", "tcp:80:5000", "https:443:5000", "http:0:5000", "http:80:65536", "http:a:5000"]
)
def test_a_wrong_port_map_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_port_map(text)


def test_an_exposed_port_is_served_on_the_http_port():
    assert default_ports((8080, 9090), 80) == (PortMap(scheme="http", host=80, container=8080),)
    assert default_ports((), 80) == (PortMap(scheme="http", host=80, container=5000),)


@pytest.mark.parametrize("text", ["", "a b", "http://x", "a..b", "x;y", "-a.b", "a" * 64, "*.*.x", "x{}", "a\n"])
def test_a_wrong_domain_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_domain(text)


def test_a_domain_is_lowered_and_may_be_a_wildcard():
    assert parse_domain("Shop.Example.COM") == "shop.example.com"
    assert parse_domain("*.example.com") == "*.example.com"
