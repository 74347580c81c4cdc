"""The lifecycle keeps the Buildpack API's promises, seen by buildpacks made for the purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder_lab import Built, Lab
from paas.errors import BuildFailed
from paas.model.container import Limits
from paas.model.process import ProcessType

pytestmark = pytest.mark.integration

PASS = "#!/bin/sh\nexit 0\n"
WEB = """printf '[[processes]]\\ntype = "web"\\ncommand = ["true"]\\n' >"$1/launch.toml"\n"""


def make_buildpacks(directory: Path, **builds: str | tuple[str, str]) -> Path:
    """Write one group of buildpacks: name -> bin/build, or (bin/detect, bin/build); all are shell."""
    order = "[[order]]\n"
    for name, scripts in builds.items():
        detect, build = scripts if isinstance(scripts, tuple) else (PASS, scripts)
        (directory / name / "bin").mkdir(parents=True)
        (directory / name / "buildpack.toml").write_text(f'api = "0.10"\n[buildpack]\nid = "test/{name}"\nversion = "1"\n')
        for file, text in (("detect", detect), ("build", build)):
            path = directory / name / "bin" / file
            path.write_text(text if text.startswith("#!") else f"#!/bin/sh\nset -eu\n{text}")
            path.chmod(0o755)
        order += f'[[order.group]]\nid = "test/{name}"\n'
    (directory / "order.toml").write_text(order)
    return directory


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A tree with a file, and a place for buildpacks beside it."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "file").write_text("content")
    return tmp_path / "app"


def build_twice(lab: Lab, name: str, app: Path, script: str) -> tuple[Built, Built]:
    buildpacks = make_buildpacks(app.parent / "buildpacks", one=script + WEB)
    return lab.build(name, app, buildpacks=buildpacks), lab.build(name, app, buildpacks=buildpacks)


def test_buildpack_gets_what_the_api_promises(lab: Lab, app: Path) -> None:
    script = """
        [ "$CNB_LAYERS_DIR" = "$1" ] && [ "$CNB_PLATFORM_DIR" = "$2" ] && [ "$CNB_BP_PLAN_PATH" = "$3" ]
        [ -x "$CNB_BUILDPACK_DIR/bin/build" ] && [ "$CNB_STACK_ID" = debian-12 ] && [ "$CNB_TARGET_OS" = linux ]
        echo "user $(id -u):$(id -g) in $(pwd) with $(cat file)"
        echo "TOKEN=$TOKEN file=$(cat "$2/env/TOKEN")"
        if touch "$2/x" "$CNB_BUILDPACK_DIR/x" 2>/dev/null; then echo writable; fi
    """
    built = lab.build("api", app, buildpacks=make_buildpacks(app.parent / "b", one=script + WEB), env={"TOKEN": "a 'b'\nc"})
    assert built.output.splitlines() == [
        "       user 1000:1000 in /workspace with content", "       TOKEN=a 'b'", "       c file=a 'b'", "       c",
    ]  # fmt: skip


def test_launch_environment_follows_every_rule_of_the_layers(lab: Lab, app: Path) -> None:
    script = r"""
        layer="$1/tools"
        mkdir -p "$layer/bin" "$layer/env" "$layer/env.launch/worker" "$layer/env.build" "$layer/exec.d" "$layer/profile.d"
        printf '#!/bin/sh\necho "tool $*"\n' >"$layer/bin/tool"; chmod 755 "$layer/bin/tool"
        printf both >"$layer/env/BOTH"; printf build >"$layer/env.build/BUILD"; printf default >"$layer/env.launch/PRESET.default"
        printf ' more' >"$layer/env.launch/LIST.append"; printf 'only worker' >"$layer/env.launch/worker/KIND"
        printf '#!/bin/sh\nprintf "%%s\\n" "FROM_EXEC = \\"a \\\\\\"b\\\\\\" $BOTH\\"" >&3\n' >"$layer/exec.d/program"
        chmod 755 "$layer/exec.d/program"
        echo 'export FROM_PROFILE="profile after $FROM_EXEC"' >"$layer/profile.d/one.sh"
        printf '[types]\nlaunch = true\n' >"$1/tools.toml"
        cat >"$1/launch.toml" <<'END'
[[processes]]
type = "web"
command = ["tool", "web"]
default = true
[[processes]]
type = "worker"
command = ["sh", "-c", "echo $KIND"]
working-dir = "/tmp"
END
    """
    built = lab.build("env", app, buildpacks=make_buildpacks(app.parent / "b", one=script))
    show = 'echo "$BOTH|${BUILD:-}|$PRESET|$LIST|${KIND:-}|$FROM_EXEC|$FROM_PROFILE"; tool x'
    wanted = 'both||mine|list more||a "b" both|profile after a "b" both\ntool x\n'
    assert lab.run(built, show, env={"PRESET": "mine", "LIST": "list", "BOTH": "user"}) == wanted
    web, worker = built.result.processes
    assert (web.command, worker.argv[1:3]) == ("tool web", ("-p", "worker"))
    assert lab.run_argv(built, web.argv) == "tool web\n"
    assert lab.run_argv(built, worker.argv) == "only worker\n"
    assert built.image.config.cmd == web.argv[1:]


def test_apps_own_profile_is_sourced_and_signals_reach_the_program(lab: Lab, app: Path) -> None:
    (app / ".profile.d").mkdir()
    (app / ".profile.d" / "a.sh").write_text("export A=one")
    (app / ".profile").write_text('export A="$A two"')
    built = lab.build("profile", app, buildpacks=make_buildpacks(app.parent / "b", one=WEB))
    assert lab.run(built, 'echo "$A"; exec cat /proc/self/comm') == "one two\ncat\n"
    assert lab.run_argv(built, ("/cnb/launcher", "sh", "-c", 'echo "$A $0"', "x y")) == "one two x y\n"


def test_untouched_cached_layer_is_the_same_layer(lab: Lab, app: Path) -> None:
    script = """
        if [ -f "$1/deps/made" ]; then echo "kept $(grep key "$1/deps.toml")"; else mkdir "$1/deps"; date >"$1/deps/made"; fi
        if grep -q launch "$1/deps.toml" 2>/dev/null; then echo 'types were restored'; fi
        printf '[types]\\nlaunch = true\\ncache = true\\n[metadata]\\nkey = "1"\\n' >"$1/deps.toml"
    """
    first, second = build_twice(lab, "cached", app, script)
    assert second.output == '       kept key = "1"\n'
    assert second.image.layers[:-1] == first.image.layers[:-1]


def test_launch_layer_that_is_not_cached_stays_by_its_metadata_alone(lab: Lab, app: Path) -> None:
    script = """
        if [ -f "$1/deps.toml" ]; then [ ! -e "$1/deps" ] && echo 'metadata only'; else mkdir "$1/deps"; echo x >"$1/deps/x"; fi
        printf '[types]\\nlaunch = true\\n[metadata]\\nkey = "1"\\n' >"$1/deps.toml"
    """
    first, second = build_twice(lab, "unseen", app, script)
    assert second.output == "       metadata only\n"
    assert second.image.layers[:-1] == first.image.layers[:-1]
    assert lab.run(second, "cat /layers/test_one/deps/x") == "x\n"


def test_layer_changed_in_place_has_old_and_new_files(lab: Lab, app: Path) -> None:
    script = """
        deps="$1/deps"
        if [ -d "$deps" ]; then
            rm "$deps/gone"; echo new >"$deps/new"; echo more >>"$deps/sub/grows"; rm -r "$deps/again"; mkdir "$deps/again"
        else
            mkdir -p "$deps/sub" "$deps/again" "$deps/untouched/deep"
            for file in gone stays sub/grows again/old untouched/deep/x; do echo old >"$deps/$file"; done
            ln -s stays "$deps/link"
        fi
        printf '[types]\\nlaunch = true\\ncache = true\\n' >"$1/deps.toml"
    """
    first, second = build_twice(lab, "changed", app, script)
    listing = "cd /layers/test_one/deps; find . -type f | sort; cat sub/grows link; stat -c %U untouched/deep"
    assert lab.run(second, listing) == "./new\n./stays\n./sub/grows\n./untouched/deep/x\nold\nmore\nold\ncnb\n"
    assert lab.run(first, "cat /layers/test_one/deps/gone /layers/test_one/deps/sub/grows") == "old\nold\n"


def test_layer_that_is_no_longer_declared_is_gone(lab: Lab, app: Path) -> None:
    script = """
        if [ -d "$1/deps" ]; then rm "$1/deps.toml"; exit_now=1; else mkdir "$1/deps"; fi
        [ -n "${exit_now:-}" ] || printf '[types]\\nlaunch = true\\ncache = true\\n' >"$1/deps.toml"
    """
    first, second = build_twice(lab, "dropped", app, script)
    assert len(second.image.layers) == len(first.image.layers) - 1


def test_store_toml_comes_back(lab: Lab, app: Path) -> None:
    script = """
        cat "$1/store.toml" 2>/dev/null || true
        printf '[metadata]\\ncount = 1\\n' >"$1/store.toml"
    """
    _, second = build_twice(lab, "stored", app, script)
    assert second.output == "       [metadata]\n       count = 1\n"


def test_later_buildpack_sees_build_layers_and_its_part_of_the_plan(lab: Lab, app: Path) -> None:
    provide = ("""printf '[[provides]]\\nname = "jdk"\\n' >"$CNB_BUILD_PLAN_PATH"\n""", """
        cat "$3"; mkdir -p "$1/jdk/bin" "$1/jdk/env.build" "$1/hidden/bin"
        printf '#!/bin/sh\\necho java\\n' >"$1/jdk/bin/java"; chmod 755 "$1/jdk/bin/java"
        printf /jdk >"$1/jdk/env.build/JAVA_HOME"
        printf '[types]\\nbuild = true\\n' >"$1/jdk.toml"; printf '[types]\\nlaunch = true\\n' >"$1/hidden.toml"
    """)
    require = ("""printf '[[requires]]\\nname = "jdk"\\nmetadata = {version = "21"}\\n' >"$2"\n""", """
        echo "$(java) in $JAVA_HOME"; case $PATH in *hidden*) echo 'launch layers are not for builds';; esac
        echo "plan: $(cat "$3")"
    """ + WEB)
    built = lab.build("plan", app, buildpacks=make_buildpacks(app.parent / "b", jvm=provide, maven=require))
    lines = [line.strip() for line in built.output.splitlines() if line.strip()]
    assert lines == ["[[entries]]", 'name = "jdk"', "[entries.metadata]", 'version = "21"', "java in /jdk", "plan:"]
    assert "jdk" not in lab.run(built, "ls /layers/test_jvm")


def test_links_in_place_of_layers_lead_nowhere(lab: Lab, app: Path) -> None:
    script = """
        rm -rf "$1"; mkdir "$1"
        ln -s /etc "$1/deps"; ln -s /etc/passwd "$1/env.toml"; mkfifo "$1/pipe.toml"
        printf '[types]\\nlaunch = true\\n' >"$1/deps.toml"
    """
    with pytest.raises(BuildFailed, match="declares the layer /layers/test_one/deps but left no such directory"):
        lab.build("links", app, buildpacks=make_buildpacks(app.parent / "b", one=script + WEB))
    assert lab.leftovers() == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo why\nexit 3\n", "The test/one buildpack failed with status 3"),
        ("echo ' !     what is wrong'\necho ' !     what to do'\nexit 1\n", "what is wrong"),
        ("kill -9 $$\n", "The test/one buildpack failed with status 137"),
        ("echo '= broken' >\"$1/launch.toml\"\n", "A buildpack wrote /layers/test_one/launch.toml, which is not valid TOML"),
        ("#!/no/such/interpreter\n", "The test/one buildpack failed with status 127"),
    ],
)
def test_failed_build_says_why_and_leaves_nothing(lab: Lab, app: Path, script: str, message: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        lab.build("failing", app, buildpacks=make_buildpacks(app.parent / "b", one=script))
    assert caught.value.message.startswith(message)
    assert not any(message in line for line in lab.said)
    assert lab.leftovers() == []


def test_detect_that_breaks_is_not_taken_for_no_match(lab: Lab, app: Path) -> None:
    with pytest.raises(BuildFailed, match="bin/detect of the buildpack test/one failed with status 7") as caught:
        lab.build("detect", app, buildpacks=make_buildpacks(app.parent / "b", one=("echo because; exit 7\n", WEB)))
    assert caught.value.output == ("because",)


def test_other_answer_of_detect_means_another_plan(lab: Lab, app: Path) -> None:
    looks = ("[ -f language ] || exit 100\n", "echo 'by language'\n" + WEB)
    buildpacks = make_buildpacks(app.parent / "b", language=looks)
    default = make_buildpacks(app.parent / "c", other="echo 'by other'\n" + WEB)
    (default / "other").rename(buildpacks / "other")
    with (buildpacks / "order.toml").open("a") as order:
        order.write('[[order]]\n[[order.group]]\nid = "test/other"\n')
    assert lab.build("switch", app, buildpacks=buildpacks).output == "       by other\n"
    assert lab.build("switch", app, buildpacks=buildpacks).output == "       by other\n"
    (app / "language").touch()
    assert lab.build("switch", app, buildpacks=buildpacks).output == "       by language\n"
    assert lab.build("switch", app, buildpacks=buildpacks).output == "       by language\n"
    (app / "language").unlink()
    (buildpacks / "order.toml").write_text('[[order]]\n[[order.group]]\nid = "test/language"\n')
    with pytest.raises(BuildFailed, match="No buildpack recognises"):
        lab.build("switch", app, buildpacks=buildpacks)
    assert lab.leftovers() == []


def test_detect_cannot_change_the_app(lab: Lab, app: Path) -> None:
    detect = "if touch file 2>/dev/null; then exit 1; fi\n"
    built = lab.build("readonly", app, buildpacks=make_buildpacks(app.parent / "b", one=(detect, WEB)))
    assert built.result.processes == (ProcessType(name="web", command="true", argv=("/cnb/launcher", "--", "true")),)


def test_source_tree_keeps_its_files_and_modes(lab: Lab, app: Path) -> None:
    (app / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (app / "run.sh").chmod(0o755)
    (app / "link").symlink_to("run.sh")
    built = lab.build("tree", app, buildpacks=make_buildpacks(app.parent / "b", one=WEB))
    assert lab.run(built, "./link; stat -c '%a %U' run.sh; readlink link") == "ran\n755 cnb\nrun.sh\n"


def test_deleting_the_cache_means_a_build_from_nothing(lab: Lab, app: Path) -> None:
    script = """
        [ -d "$1/deps" ] && echo kept; mkdir -p "$1/deps"
        printf '[types]\\nlaunch = true\\ncache = true\\n' >"$1/deps.toml"
    """
    _, second = build_twice(lab, "purged", app, script.replace("[ -d", "[ ! -d").replace("&& echo kept", "|| echo kept"))
    assert second.output == "       kept\n"
    (lab.paths.app_cache("purged") / "buildpack.json").unlink()
    assert lab.build("purged", app, buildpacks=app.parent / "buildpacks").output == ""


def test_build_that_takes_too_long_is_stopped(lab: Lab, app: Path) -> None:
    with pytest.raises(BuildFailed, match="took longer than 2 s and was stopped"):
        lab.build("slow", app, buildpacks=make_buildpacks(app.parent / "b", one="sleep 60\n"), timeout_s=2)
    assert lab.leftovers() == []


def test_build_that_eats_all_memory_is_told_so(lab: Lab, app: Path) -> None:
    hungry = "#!/usr/bin/python3\nx = bytearray(512 << 20)\n"
    with pytest.raises(BuildFailed, match="ran out of memory") as caught:
        limits = Limits(memory_bytes=128 << 20)
        lab.build("hungry", app, buildpacks=make_buildpacks(app.parent / "b", one=hungry), limits=limits)
    assert "resource:limit --process-type build" in caught.value.remedy


def test_hosts_package_settings_are_readable_though_only_root_may(
    lab: Lab, app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".npmrc").write_text("registry=https://npm.example.com/\n")
    (home / ".npmrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    built = lab.build("settings", app, buildpacks=make_buildpacks(app.parent / "b", one='cat "$NPM_CONFIG_GLOBALCONFIG"\n' + WEB))
    assert built.output == "       registry=https://npm.example.com/\n"
    assert "npm.example.com" not in lab.run(built, "env; ls /run")
