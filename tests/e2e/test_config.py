"""Config vars as users move them about: files in and out, secrets that nobody sees, a change that fails."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from e2e.samples import SERVER, app
from harness import Instance, run, wait_until

pytestmark = pytest.mark.e2e

NASTY = {"A": "it's \"q\" $HOME `id` \\ #x", "B": "line one\nline two\n", "C": "äöü ☃", "D": ""}
#: Ends at once when it is told to, so that a config change can be one that fails.
FRAGILE = "import os, sys\nos.environ.get('BREAK') and sys.exit('broken by config')\n" + SERVER.format(text="config")


def test_a_file_of_config_goes_in_and_out_and_a_bad_one_changes_nothing(instance: Instance, app_name: str) -> None:
    instance.repository(app("config", **{"server.py": FRAGILE})).push(app_name).expect()
    host = f"{app_name}.localhost"
    text = json.dumps(NASTY)
    said = instance.ssh("config:import", app_name, "--format", "json", stdin=text).expect()
    assert "line one" not in said.output
    assert {key: instance.get(host, f"/env/{key}").text for key in NASTY} == NASTY
    versions = len(json.loads(instance.ssh("releases:list", app_name, "--format", "json").expect().stdout))
    again = instance.ssh("config:import", app_name, "--format", "json", "--replace", stdin=text).expect()
    assert "nothing changed" in again.stdout
    for style in ("exports", "dotenv", "docker-args", "json-list"):
        exported = instance.ssh("config:export", app_name, "--format", style).expect().stdout
        again = instance.ssh("config:import", app_name, "--format", style, "--replace", stdin=exported).expect()
        assert "nothing changed" in again.stdout
    assert len(json.loads(instance.ssh("releases:list", app_name, "--format", "json").stdout)) == versions
    archive = instance.base / "config.tar"
    run(["sh", "-c", f"{' '.join(instance.ssh_argv)} paas@127.0.0.1 config:bundle {app_name} > {archive}"]).expect()
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as found:
        assert {entry.name: (found.extractfile(entry) or io.BytesIO()).read().decode() for entry in found} == NASTY
    broken = instance.ssh("config:import", app_name, "--replace", stdin="BREAK=1\n").expect(60)
    assert "broken by config" in broken.stderr
    assert instance.get(host, "/env/C").text == NASTY["C"]
    assert json.loads(instance.ssh("config:export", app_name, "--format", "json").stdout) == NASTY
    instance.ssh("config:clear", app_name).expect()
    assert instance.get(host, "/env/C").text == "<unset>"


def test_a_secret_is_in_no_log_no_ledger_and_no_process_list(instance: Instance, app_name: str) -> None:
    secret = "hunter2-is-nowhere"
    slow = {"Procfile": "web: sh -c 'sleep 2; exec python server.py'\n"}
    instance.repository(app("quiet", **slow)).push(app_name).expect()
    command = instance.ssh_background("config:import", app_name)
    assert command.stdin is not None
    command.stdin.write(f"TOKEN={secret}\n")
    command.stdin.close()
    wait_until("it deploys", lambda: "running" in instance.paas("builds:list", app_name).stdout)
    assert secret not in run(["ps", "-eo", "args"]).stdout
    assert command.wait(60) == 0
    assert command.stdout is not None and secret not in command.stdout.read()
    assert instance.get(f"{app_name}.localhost", "/env/TOKEN").text == secret
    for shown in (("releases:info", app_name), ("releases:list", app_name, "--format", "json"), ("releases:diff", app_name),
                  ("builds:output", app_name), ("builds:info", app_name), ("events", app_name), ("ps:inspect", app_name)):
        assert secret not in instance.paas(*shown).expect().output
    logs = [*(instance.root / "builds").rglob("*.log"), *(instance.root / "logs").rglob("*.log"), instance.log]
    assert [str(log) for log in logs if secret in log.read_text(errors="replace")] == []
    assert oct((instance.root / "paas.db").stat().st_mode & 0o777) == "0o600"


def test_config_is_encrypted_with_a_key_file(fresh_instance: Instance) -> None:
    instance = fresh_instance
    secret, key = "hunter2-at-rest", instance.etc / "config.key"
    instance.repository(app("sealed")).push("shop").expect()
    instance.ssh("config:set", "shop", f"TOKEN={secret}").expect()
    assert "No key file is set" in instance.paas("config:rekey").expect(1).stderr
    assert "config key" not in instance.paas("doctor", "--verbose").stdout
    instance.stop()
    instance.write_settings(config_key_file=str(key))
    instance.start()
    assert in_database(instance, secret)
    instance.paas("config:rekey").expect()
    assert instance.ssh("config:rekey").code == 13
    assert not in_database(instance, secret)
    assert instance.ssh("config:get", "shop", "TOKEN").expect().stdout == f"{secret}\n"
    instance.ssh("config:set", "shop", "OTHER=1").expect()
    instance.paas("config:rekey", "--new-key").expect()
    instance.ssh("ps:rollback", "shop").expect()
    assert instance.get("shop.localhost", "/env/TOKEN").text == secret
    assert not in_database(instance, secret)
    key.rename(key.with_suffix(".away"))
    refused = instance.ssh("config:set", "shop", "OTHER=2").expect(80)
    assert f"The key file {key} cannot be read" in refused.stderr
    assert f"The key file {key} cannot be read" in instance.paas("doctor").stdout
    assert instance.get("shop.localhost").text == "sealed"
    instance.ssh("releases:list", "shop").expect()
    key.with_suffix(".away").rename(key)
    instance.ssh("config:set", "shop", "OTHER=2").expect()
    assert instance.get("shop.localhost", "/env/OTHER").text == "2"


def in_database(instance: Instance, text: str) -> bool:
    return any(text.encode() in file.read_bytes() for file in Path(instance.root).glob("paas.db*"))
