-- Intent. Facts (what runs) are in the kernel, routes in nginx are derived.

CREATE TABLE apps (
    name          TEXT PRIMARY KEY,
    number        INTEGER NOT NULL UNIQUE CHECK (number >= 1),
    created_at    REAL NOT NULL,
    deploy_branch TEXT NOT NULL DEFAULT '',
    is_locked     INTEGER NOT NULL DEFAULT 0,
    is_stopped    INTEGER NOT NULL DEFAULT 0,
    has_postdeployed INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What was scaled and how often each process type was restarted; a type `web.2` is one process, restarted by itself.
CREATE TABLE processes (
    app        TEXT NOT NULL REFERENCES apps(name) ON UPDATE CASCADE ON DELETE CASCADE,
    type       TEXT NOT NULL,
    quantity   INTEGER,
    generation INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (app, type)
) STRICT, WITHOUT ROWID;

-- scope is an app's name, or '' for all apps; the same for properties and domains.
-- A value is text, or a blob when it is encrypted; the same for a release's config.
CREATE TABLE config (
    scope TEXT NOT NULL,
    key   TEXT NOT NULL,
    value ANY NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE properties (
    scope TEXT NOT NULL,
    topic TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (scope, topic, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE domains (
    scope    TEXT NOT NULL,
    domain   TEXT NOT NULL,
    process  TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (scope, domain)
) STRICT, WITHOUT ROWID;

CREATE TABLE ports (
    app       TEXT NOT NULL REFERENCES apps(name) ON UPDATE CASCADE ON DELETE CASCADE,
    scheme    TEXT NOT NULL,
    host      INTEGER NOT NULL,
    container INTEGER NOT NULL,
    process   TEXT NOT NULL,
    position  INTEGER NOT NULL,
    PRIMARY KEY (app, host)
) STRICT, WITHOUT ROWID;

-- Every deploy: one that builds an image, or one that takes an image there is (kind deploy).
CREATE TABLE builds (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    app         TEXT NOT NULL REFERENCES apps(name) ON UPDATE CASCADE ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    status      TEXT NOT NULL,
    actor       TEXT NOT NULL,
    cause       TEXT NOT NULL,
    revision    TEXT NOT NULL,
    started_at  REAL NOT NULL,
    finished_at REAL NOT NULL DEFAULT 0,
    release     INTEGER NOT NULL DEFAULT 0,
    canceled_by TEXT NOT NULL DEFAULT '',
    pid         INTEGER NOT NULL DEFAULT 0,
    image       TEXT NOT NULL DEFAULT '',
    builder     TEXT NOT NULL DEFAULT '',
    processes   TEXT NOT NULL DEFAULT '[]',
    ports       TEXT NOT NULL DEFAULT '[]',
    app_json    TEXT NOT NULL DEFAULT '',
    UNIQUE (app, number)
) STRICT;

CREATE TABLE releases (
    app        TEXT NOT NULL REFERENCES apps(name) ON UPDATE CASCADE ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    build_id   INTEGER NOT NULL,
    image      TEXT NOT NULL,
    processes  TEXT NOT NULL,
    ports      TEXT NOT NULL,
    app_json   TEXT NOT NULL DEFAULT '',
    config     ANY NOT NULL,
    formation  TEXT NOT NULL,
    status     TEXT NOT NULL,
    actor      TEXT NOT NULL,
    cause      TEXT NOT NULL,
    revision   TEXT NOT NULL,
    properties TEXT NOT NULL,
    created_at REAL NOT NULL,
    live_at    REAL NOT NULL DEFAULT 0,
    ended_at   REAL NOT NULL DEFAULT 0,
    diff       TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (app, version)
) STRICT, WITHOUT ROWID;

-- One current release for each app, whatever happens.
CREATE UNIQUE INDEX current_release ON releases (app) WHERE status = 'current';

CREATE TABLE keys (
    name        TEXT PRIMARY KEY,
    public_key  TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    added_at    REAL NOT NULL
) STRICT;

-- Kept when an app is destroyed: who did it is what one wants to know then.
CREATE TABLE events (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    app    TEXT NOT NULL,
    actor  TEXT NOT NULL,
    event  TEXT NOT NULL,
    detail TEXT NOT NULL,
    at     REAL NOT NULL
) STRICT;

CREATE INDEX events_of_app ON events (app, id);

-- What cron:suspend and cron:resume said about a task; without a row it is as app.json says.
CREATE TABLE cron_tasks (
    app          TEXT NOT NULL REFERENCES apps(name) ON UPDATE CASCADE ON DELETE CASCADE,
    task         TEXT NOT NULL,
    is_suspended INTEGER NOT NULL,
    PRIMARY KEY (app, task)
) STRICT, WITHOUT ROWID;

-- The database itself refuses a second run for one moment; a run that somebody asked for has none.
CREATE TABLE cron_runs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    app         TEXT NOT NULL REFERENCES apps(name) ON UPDATE CASCADE ON DELETE CASCADE,
    task        TEXT NOT NULL,
    command     TEXT NOT NULL,
    moment      REAL,
    status      TEXT NOT NULL,
    actor       TEXT NOT NULL,
    queued_at   REAL NOT NULL,
    release     INTEGER NOT NULL DEFAULT 0,
    started_at  REAL NOT NULL DEFAULT 0,
    finished_at REAL NOT NULL DEFAULT 0,
    exit_code   INTEGER,
    detail      TEXT NOT NULL DEFAULT '',
    UNIQUE (app, task, moment)
) STRICT;

CREATE INDEX open_cron_runs ON cron_runs (app) WHERE finished_at = 0;
