import pytest

from paas.cli.words import Words, parse_words
from paas.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("", Words(argv=("help",))),
        ("--help", Words(argv=("help",))),
        ("--version", Words(argv=("version",))),
        ("--quiet apps:list", Words(argv=("apps:list",), is_quiet=True)),
        ("--trace ps:restart shop", Words(argv=("ps:restart", "shop"), is_traced=True)),
        ("--force apps:destroy shop", Words(argv=("apps:destroy", "--force", "shop"))),
        ("--app shop ps:scale web=2", Words(argv=("ps:scale", "shop", "web=2"))),
        ("--app=shop ps:scale web=2", Words(argv=("ps:scale", "shop", "web=2"))),
        ("ps:scale -a shop web=2", Words(argv=("ps:scale", "shop", "web=2"))),
        ("ps:scale --app=shop web=2", Words(argv=("ps:scale", "shop", "web=2"))),
        ("container:ps -a", Words(argv=("container:ps", "-a"))),
        ("container:cp -a box:/etc/motd .", Words(argv=("container:cp", "-a", "box:/etc/motd", "."))),
        ("container:start -a box", Words(argv=("container:start", "-a", "box"))),
        ("container:ps -a --quiet", Words(argv=("container:ps", "-a", "--quiet"))),
        ("run shop ls -a --quiet", Words(argv=("run", "shop", "ls", "-a", "--quiet"))),
        ("apps:list --quiet", Words(argv=("apps:list", "--quiet"))),
    ],
)
def test_options_of_every_command_stand_in_front(typed, read):
    assert parse_words(typed.split()) == read


@pytest.mark.parametrize("typed", [["--app"], ["ps:scale", "--app"], ["apps:create", "sh\udcffop"]])
def test_what_cannot_be_read_is_refused(typed):
    with pytest.raises(UsageError) as caught:
        parse_words(typed)
    assert caught.value.remedy
