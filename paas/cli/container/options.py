"""The options of `container:run` and `container:create`: Docker's, spelled as Docker takes them, and why some can not be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import click

from paas.errors import InvalidInput
from paas.model.dockerextras import EXTRA_FLAGS

#: What follows the image belongs to the command inside; -h is the host name here, as in Docker.
DOCKERLIKE = {"allow_interspersed_args": False, "help_option_names": ["--help"]}
PULLS = ("missing", "always", "never")

_EXTRA_HELP = {
    "--add-host": ("NAME:ADDRESS", "a line in /etc/hosts"),
    "--cap-add": ("NAME", "keep a capability in spite of --cap-drop ALL"),
    "--cap-drop": ("NAME", "leave a capability out, or ALL"),
    "--dns": ("ADDRESS", "a name server in place of the machine's"),
    "--dns-search": ("DOMAIN", "where to look for short names"),
    "--group-add": ("GROUP", "one more group of its user"),
    "--security-opt": ("no-new-privileges", "always on"),
    "--shm-size": ("SIZE", "the size of /dev/shm, 64m if not given"),
    "--sysctl": ("NAME=VALUE", "a kernel setting of its namespaces, e.g. net.core.somaxconn=1024"),
    "--ulimit": ("NAME=SOFT[:HARD]", "e.g. nofile=1024:4096"),
}

_OPTIONS = (
    click.option("-i", "--interactive", is_flag=True, help="pass stdin on"),
    click.option("-t", "--tty", is_flag=True, help="give it a terminal"),
    click.option("--name", default="", help="what to call it"),
    click.option("-e", "--env", multiple=True, metavar="KEY[=VALUE]", help="set a variable; KEY alone takes your own value"),
    click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="set the variables in a file"),
    click.option("-v", "--volume", multiple=True, metavar="[SOURCE:]TARGET[:ro]", help="a host directory or a volume inside"),
    click.option("--mount", multiple=True, metavar="type=...,source=...,target=...", help="the same, spelled out"),
    click.option("--tmpfs", multiple=True, metavar="TARGET[:size=64m]", help="memory as a directory"),
    click.option("-p", "--publish", multiple=True, metavar="[[ADDRESS:]HOST:]CONTAINER", help="a host port that leads to it"),
    click.option("-P", "--publish-all", is_flag=True, help="publish every port that the image exposes"),
    click.option("-m", "--memory", default="0", help="memory limit, e.g. 256m"),
    click.option("--memory-swap", default="", help="memory and swap together, -1 for as much swap as there is"),
    click.option("--memory-reservation", default="0", help="memory that it keeps longest when others want it"),
    click.option("--cpus", default=0.0, type=click.FloatRange(min=0), help="cpu limit in cores, e.g. 0.5"),
    click.option("-c", "--cpu-shares", default="0", help="weight beside others, 1024 for a core"),
    click.option("--pids-limit", default=0, type=click.IntRange(min=-1), help="number of processes it may have, -1 for any"),
    click.option("--network", "--net", default="tenant", help="tenant (its own, the default), none or host"),
    click.option("-w", "--workdir", default="", help="working directory"),
    click.option("-u", "--user", default="", help="name or uid, with :group"),
    click.option("-h", "--hostname", default="", help="its host name"),
    click.option("--entrypoint", default=None, help="run this instead of the image's entrypoint"),
    click.option("--read-only", is_flag=True, help="no writing but to mounts"),
    click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="mark it"),
    click.option("--label-file", "label_files", multiple=True, metavar="FILE", help="mark it with the lines of a file"),
    click.option("--restart", "policy", default="no", help="no, always, unless-stopped, on-failure[:times]"),
    click.option("--stop-signal", default="", help="what asks it to stop"),
    click.option("--stop-timeout", default=-1.0, type=float, help="seconds before SIGKILL"),
    click.option("--init/--no-init", default=True, help="a small init as process 1; on by default"),
    click.option("--health-cmd", default="", help="shell command that fails when it is not well"),
    click.option("--health-interval", default="0", help="between two checks, e.g. 30s"),
    click.option("--health-timeout", default="0", help="for one check, e.g. 5s"),
    click.option("--health-start-period", default="0", help="failures count only afterwards, e.g. 1m"),
    click.option("--health-start-interval", default="0", help="between two checks in the start period"),
    click.option("--health-retries", default=0, type=click.IntRange(min=0), help="failures in a row that make it unhealthy"),
    click.option("--no-healthcheck", is_flag=True, help="ignore the image's health check"),
    click.option("--log-opt", "log_options", multiple=True, metavar="max-size=SIZE", help="when its log is begun anew"),
    click.option("--pull", type=click.Choice(PULLS), default="never", show_default=True, help="whether to fetch the image first"),
    click.option("--platform", default="", metavar="linux/ARCH", help="only what this machine is"),
    *(
        click.option(flag, multiple=True, metavar=_EXTRA_HELP[flag][0], help=_EXTRA_HELP[flag][1]) for flag in EXTRA_FLAGS
    ),
    click.argument("image"),
    click.argument("argv", nargs=-1, type=click.UNPROCESSED),
)  # fmt: skip

_ISOLATION = "a container keeps to its own namespaces here"
#: Docker's flags that a script may have and that can not be: why, and what there is.
_REFUSED = {
    "--privileged": ("no container gets the rights of the machine's root", "see whether --sysctl, --ulimit or -v do"),
    "--device": ("no container gets devices of the machine", "run what needs one on the machine itself"),
    "--gpus": ("no container gets devices of the machine", "run what needs one on the machine itself"),
    "--pid": (_ISOLATION, "look into it with: paas container:top, paas container:exec"),
    "--ipc": (_ISOLATION, "leave it out; --shm-size makes /dev/shm larger"),
    "--uts": (_ISOLATION, "leave it out; -h sets the host name"),
    "--userns": ("each container has a user namespace", "leave it out; files of volumes have the ids it sees"),
    "--cgroupns": (_ISOLATION, "leave it out"),
    "--runtime": ("all containers have the same runtime", "leave it out"),
    "--link": ("containers of one network reach each other by address", "give the address: --add-host NAME:ADDRESS"),
    "--ip": ("the engine gives addresses and keeps them over a restart", "leave it out, see: paas container:inspect"),
    "--mac-address": ("the engine gives addresses", "leave it out"),
    "--network-alias": ("names are given with --add-host", "leave it out"),
    "--volumes-from": ("volumes are shared by their names", "give them to both: -v NAME:/path"),
    "--log-driver": ("the engine keeps the logs", "leave it out; read them with: paas container:logs"),
    "--oom-kill-disable": ("what needs more memory than it may have is ended", "leave it out, or give more with -m"),
    "--cidfile": ("the id is printed by container:create and container:run -d", "use: id=$(paas container:run -d ...)"),
    "--detach-keys": ("no keys detach here", "leave it out; close the terminal, and the container goes on"),
}  # fmt: skip
_REFUSED_FLAGS = frozenset({"--privileged", "--oom-kill-disable"})
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def container_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all these options and the arguments IMAGE and ARGV."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return refused_options(_REFUSED, flags=_REFUSED_FLAGS)(command)


def refused_options(
    reasons: Mapping[str, tuple[str, str]], *, flags: Collection[str]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command options that are refused, each with its reason and a remedy; those in `flags` take no value."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for flag, (why, remedy) in reasons.items():
            command = _refused(flag, why, remedy, is_flag=flag in flags)(command)
        return command

    return decorate


class DockerCommand(click.Command):
    """A command that takes Docker's booleans, too: `--rm=true`, `-it=false`. What follows the first argument is not ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(self._plain(args)))

    def _plain(self, args: Sequence[str]) -> Iterator[str]:
        flags = {name: option for option in self.params if isinstance(option, click.Option) for name in option.opts}
        words = iter(args)
        for word in words:
            name, equals, value = word.partition("=")
            names = [name] if name.startswith("--") else [f"-{letter}" for letter in name[1:]]
            are_flags = all(name in flags and flags[name].is_flag for name in names)
            if equals and are_flags and value.lower() in _BOOLEANS:
                yield from _switches([flags[name] for name in names], is_on=_BOOLEANS[value.lower()])
                continue
            yield word
            if not word.startswith("-") or word in ("-", "--"):
                yield from words
            elif not equals and names[-1] in flags and not flags[names[-1]].is_flag:
                yield from itertools.islice(words, 1)


def _switches(options: Sequence[click.Option], *, is_on: bool) -> Iterator[str]:
    """Give what turns options on, and off those that are on else."""
    for option in options:
        if is_on:
            yield option.opts[0]
        elif option.secondary_opts:
            yield option.secondary_opts[0]


def _refused(flag: str, why: str, remedy: str, *, is_flag: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def refuse(_ctx: click.Context, _option: click.Parameter, value: object) -> None:
        if value:
            raise InvalidInput(f"{flag} is not possible: {why}", remedy=remedy)

    return click.option(flag, is_flag=is_flag, multiple=not is_flag, hidden=True, expose_value=False, callback=refuse)
