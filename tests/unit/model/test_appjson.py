import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import InvalidFile
from paas.model.appjson import NO_APP_JSON, AppJson, CronTask, EnvVar, Scripts, TypeFormation, parse_app_json
from paas.model.cron import Concurrency, parse_schedule
from paas.model.healthcheck import Healthcheck, HealthcheckKind, HealthcheckType

WHOLE = """
{
  // ours
  "name": "shop", "addons": ["heroku-postgresql"], "environments": {"test": {"scripts": {"test": "x"}}},
  "buildpacks": [{"url": "heroku/python"}, {"url": "https://example.com/x.git"}],
  "cron": [
    {"command": "python tidy.py; echo done", "schedule": "*/5  * * * *", "concurrency_policy": "forbid"},
    {"command": "python report.py", "schedule": "@daily", "maintenance": true},
  ],
  "env": {
    "PLAIN": "default",
    "KEY": {"description": "signs cookies", "generator": "secret"},
    "MUST": {"required": true},
    "MAY": {"required": false, "value": "x", "sync": true}
  },
  "formation": {"web": {"quantity": 2, "max_parallel": 3, "size": "standard-1x"}, "worker": {"quantity": 0}, "clock": {}},
  "healthchecks": {
    "web": [
      {"type": "startup", "name": "up", "description": "answers", "path": "/health?a=b", "content": "ok", "port": 8080,
       "scheme": "https", "httpHeaders": [{"name": "X-Probe", "value": "1"}], "attempts": 5, "wait": 0.5, "timeout": 2,
       "initialDelay": 3, "warn": true, "onFailure": {"url": "https://example.com/failed", "command": ["notify", "me"]}},
      {"type": "liveness", "command": ["/bin/check", "a b"]},
      {"type": "readiness", "listening": true},
      {"uptime": 20}, {}
    ]
  },
  "scripts": {"dokku": {"predeploy": "make assets", "postdeploy": "notify"}, "postdeploy": "seed"}
}
"""


def test_the_whole_schema_is_read_and_the_rest_ignored():
    assert parse_app_json(WHOLE) == AppJson(
        text=WHOLE,
        buildpacks=("heroku/python", "https://example.com/x.git"),
        cron=(
            CronTask(id="4ae0bf496a", command="python tidy.py; echo done", schedule=parse_schedule("*/5 * * * *"),
                     concurrency=Concurrency.FORBID),
            CronTask(id="132080c670", command="python report.py", schedule=parse_schedule("@daily"), is_suspended=True),
        ),
        env=(
            EnvVar(name="PLAIN", value="default"),
            EnvVar(name="KEY", description="signs cookies", is_generated=True),
            EnvVar(name="MUST"),
            EnvVar(name="MAY", value="x", is_required=False, is_synced=True),
        ),
        formation={
            "web": TypeFormation(quantity=2, max_parallel=3), "worker": TypeFormation(quantity=0), "clock": TypeFormation(),
        },
        healthchecks={
            "web": (
                Healthcheck(
                    kind=HealthcheckKind.PATH, type=HealthcheckType.STARTUP, name="up", description="answers",
                    path="/health?a=b", content="ok", port=8080, scheme="https", headers=(("X-Probe", "1"),), attempts=5,
                    wait_s=0.5, timeout_s=2.0, initial_delay_s=3.0, is_warning=True,
                    on_failure_command=("notify", "me"), on_failure_url="https://example.com/failed",
                ),
                Healthcheck(kind=HealthcheckKind.COMMAND, type=HealthcheckType.LIVENESS, command=("/bin/check", "a b")),
                Healthcheck(kind=HealthcheckKind.LISTENING, type=HealthcheckType.READINESS),
                Healthcheck(kind=HealthcheckKind.UPTIME, uptime_s=20.0),
                Healthcheck(kind=HealthcheckKind.UPTIME),
            )
        },
        scripts=Scripts(predeploy="make assets", postdeploy="notify", first_postdeploy="seed"),
    )  # fmt: skip


def test_quantities_are_those_that_the_file_sets():
    assert parse_app_json(WHOLE).quantities == {"web": 2, "worker": 0}


@pytest.mark.parametrize("text", ["", "  \n", ])
def test_an_empty_file_says_nothing(text):
    assert parse_app_json(text) is NO_APP_JSON


@pytest.mark.parametrize("text", ["{}", "// nothing yet\n{}", '{"cron": [], "env": null, "scripts": {"dokku": null}}'])
def test_a_file_without_our_keys_says_nothing_but_its_text(text):
    assert parse_app_json(text) == AppJson(text=text)


def test_heroku_s_postdeploy_may_be_an_object():
    assert parse_app_json('{"scripts": {"postdeploy": {"command": "seed", "size": "free"}}}').scripts.first_postdeploy == "seed"


def test_a_task_keeps_its_id_while_others_come_and_go():
    alone = parse_app_json('{"cron": [{"command": "a", "schedule": "@daily"}]}').cron[0]
    among = parse_app_json('{"cron": [{"command": "b", "schedule": "@daily"}, {"command": "a", "schedule": "@daily"}]}').cron
    assert alone.id == among[1].id != among[0].id


REFUSED = [
    ("[]", "must be an object: {...}"),
    ('{"cron": {}}', "cron must be a list: [...]"),
    ('{"cron": ["x"]}', "cron[0] must be an object: {...}"),
    ('{"cron": [{"schedule": "@daily"}]}', "cron[0] needs a 'command'"),
    ('{"cron": [{"command": "", "schedule": "@daily"}]}', "cron[0] needs a 'command'"),
    ('{"cron": [{"command": "x"}]}', "cron[0] needs a 'schedule'"),
    ('{"cron": [{"command": "x", "schedule": "* * * *"}]}',
     "cron[0].schedule is wrong: '* * * *' is no schedule: it needs five fields"),
    ('{"cron": [{"command": "x", "schedule": 5}]}', "cron[0].schedule must be a string, not a number"),
    ('{"cron": [{"command": "x", "schedule": "@daily", "concurrency_policy": "queue"}]}',
     "cron[0].concurrency_policy must be one of: allow, forbid, replace"),
    ('{"cron": [{"command": "x", "schedule": "@daily", "maintenance": "no"}]}',
     "cron[0].maintenance must be true or false, not a string"),
    ('{"cron": [{"command": "x", "schedule": "@daily"}, {"command": "x", "schedule": " @daily"}]}',
     "cron[1] has the same command and schedule as one before"),
    ('{"env": {"A-B": "x"}}', "env.A-B is not a valid variable name"),
    ('{"env": {"A": 5}}', "env.A must be a string, not a number"),
    ('{"env": {"A": {"value": true}}}', "env.A.value must be a string, not a boolean"),
    ('{"env": {"A": {"generator": "uuid"}}}', 'env.A.generator must be "secret": 64 random hexadecimal digits'),
    ('{"env": {"A": "\\u0000"}}', "env.A holds a character that no program takes (NUL or half a surrogate pair)"),
    ('{"env": {"A": "\\ud800"}}', "env.A holds a character that no program takes (NUL or half a surrogate pair)"),
    ('{"formation": {"a b": {}}}', "formation.a b is not a process type"),
    ('{"formation": {"web": {"quantity": -1}}}', "formation.web.quantity must be a whole number from 0 to 500"),
    ('{"formation": {"web": {"quantity": true}}}', "formation.web.quantity must be a whole number from 0 to 500"),
    ('{"formation": {"web": {"max_parallel": 0}}}', "formation.web.max_parallel must be a whole number from 1 to 500"),
    ('{"formation": {"web": 2}}', "formation.web must be an object: {...}"),
    ('{"healthchecks": {"web": {}}}', "healthchecks.web must be a list: [...]"),
    ('{"healthchecks": {"web": [{"type": "slow"}]}}', "healthchecks.web[0].type must be one of: startup, readiness, liveness"),
    ('{"healthchecks": {"web": [{"path": "health"}]}}', "healthchecks.web[0].path must begin with '/' and hold no space"),
    ('{"healthchecks": {"web": [{"path": "/", "uptime": 3}]}}', "healthchecks.web[0] checks more than one thing: path, uptime"),
    ('{"healthchecks": {"web": [{"command": "x"}]}}', "healthchecks.web[0].command must be a list: [...]"),
    ('{"healthchecks": {"web": [{"content": "ok"}]}}',
     "healthchecks.web[0] has a 'content', but no 'path' whose answer could hold it"),
    ('{"healthchecks": {"web": [{"scheme": "ftp"}]}}', "healthchecks.web[0].scheme must be http or https"),
    ('{"healthchecks": {"web": [{"wait": "5"}]}}', "healthchecks.web[0].wait must be a number from 0 to 86400"),
    ('{"healthchecks": {"web": [{"wait": 1e999}]}}', "healthchecks.web[0].wait must be a number from 0 to 86400"),
    ('{"healthchecks": {"web": [{"httpHeaders": [{"name": "X Y", "value": ""}]}]}}',
     "healthchecks.web[0].httpHeaders[0].name is not the name of an HTTP header"),
    ('{"healthchecks": {"web": [{"httpHeaders": [{"name": "X", "value": "a\\nHost: b"}]}]}}',
     "healthchecks.web[0].httpHeaders[0].value holds a character that no HTTP header may"),
    ('{"scripts": {"dokku": "x"}}', "scripts.dokku must be an object: {...}"),
    ('{"scripts": {"dokku": {"predeploy": ["x"]}}}', "scripts.dokku.predeploy must be a string, not a list"),
    ('{"buildpacks": [{}]}', "buildpacks[0] needs a 'url'"),
    ('{"buildpacks": ["heroku/python"]}', "buildpacks[0] must be an object: {...}"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_a_wrong_value_is_refused_with_its_key(text, problem):
    with pytest.raises(InvalidFile) as caught:
        parse_app_json(text)
    assert caught.value.problem == problem


def test_a_wrong_value_is_refused_with_its_line():
    with pytest.raises(InvalidFile) as caught:
        parse_app_json('{\n  // when\n  "cron": [\n    {"command": "x",\n     "schedule": "never"}\n  ]\n}', file="deploy.json")
    assert caught.value.message.startswith("deploy.json:5: cron[0].schedule is wrong: ")


KEYS = ["buildpacks", "url", "cron", "command", "schedule", "concurrency_policy", "env", "value", "required", "generator",
        "formation", "web", "quantity", "healthchecks", "type", "path", "attempts", "httpHeaders", "scripts", "dokku"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.sampled_from(
    ["@daily", "* * * * *", "secret", "forbid", "/", "startup"]
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(KEYS), TREES))
def test_any_tree_is_an_app_json_or_an_invalid_file(tree):
    text = json.dumps(tree, ensure_ascii=False)
    try:
        found = parse_app_json(text)
    except InvalidFile:
        return
    assert found == parse_app_json(found.text)
    assert len({task.id for task in found.cron}) == len(found.cron)
