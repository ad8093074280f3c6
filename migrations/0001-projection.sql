-- Tables of the projection. All of it is derived from the log: a file made by other statements than these is not migrated but built again.

CREATE TABLE checkpoint (
  id           INTEGER PRIMARY KEY CHECK (id = 1),
  stream       TEXT    NOT NULL,           -- identity of the stream that this is a projection of
  seq          INTEGER NOT NULL,           -- last sequence applied
  message_id   TEXT    NOT NULL,           -- id of the message there; '' when it was malformed
  malformed    INTEGER NOT NULL DEFAULT 0, -- messages met so far that could not be read
  unknown      INTEGER NOT NULL DEFAULT 0, -- messages met so far of kinds that were not known
  pruned_seq   INTEGER NOT NULL DEFAULT 0, -- up to here the history holds only the last message of each living subject
  pruned_ms    INTEGER NOT NULL DEFAULT 0  -- the log's clock there
);

CREATE TABLE subjects (
  key          INTEGER PRIMARY KEY,
  subject      TEXT    NOT NULL UNIQUE,
  kind         TEXT    NOT NULL,
  host_id      TEXT,
  aggregate_id TEXT    NOT NULL,
  parent_id    TEXT,                       -- of an exec: its container
  first_seq    INTEGER NOT NULL,
  last_seq     INTEGER NOT NULL,
  gone_seq     INTEGER                     -- since when it has ended; null while it lives
);
CREATE INDEX subjects_by_aggregate ON subjects (aggregate_id, kind);
CREATE INDEX subjects_by_parent ON subjects (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX subjects_by_kind ON subjects (kind, key);

CREATE TABLE history (
  seq          INTEGER PRIMARY KEY,
  subject_key  INTEGER NOT NULL,
  stored_at_ms INTEGER NOT NULL,           -- the log's clock
  at_ms        INTEGER NOT NULL,           -- the decider's clock
  message_id   TEXT    NOT NULL,           -- '' when malformed
  actor        TEXT    NOT NULL,
  types        TEXT    NOT NULL,           -- event types, each between commas: ,ContainerExited,ContainerStopped,
  message      BLOB    NOT NULL            -- as it stands in the log
);
CREATE INDEX history_by_subject ON history (subject_key, seq);
CREATE INDEX history_by_time ON history (stored_at_ms);

-- The present. Each row points by its sequence to the message that holds the state: the history keeps the last message of all that is present.

CREATE TABLE containers (
  id            TEXT    PRIMARY KEY,
  host_id       TEXT    NOT NULL,
  name          TEXT    NOT NULL,
  name_seq      INTEGER NOT NULL,          -- since when it has this name: the latest holder wins
  status        TEXT    NOT NULL,
  image_id      TEXT    NOT NULL,
  created_at_ms INTEGER NOT NULL,
  started_at_ms INTEGER,                   -- of the latest run
  finished_at_ms INTEGER,
  exit_code     INTEGER,
  health        TEXT,                      -- null: it has no health check, or has not run
  seq           INTEGER NOT NULL,
  item          TEXT    NOT NULL           -- Docker's list item but for Status, as JSON without its last brace
);
CREATE INDEX containers_by_name ON containers (name, name_seq);
CREATE INDEX containers_by_age ON containers (created_at_ms, id);
CREATE INDEX containers_by_status ON containers (status, host_id);
CREATE INDEX containers_by_image ON containers (image_id);

CREATE TABLE placements (
  id            TEXT    PRIMARY KEY,
  name          TEXT    NOT NULL,
  status        TEXT    NOT NULL,
  seq           INTEGER NOT NULL
);

CREATE TABLE hosts (
  id            TEXT    PRIMARY KEY,
  status        TEXT    NOT NULL,
  seq           INTEGER NOT NULL
);

CREATE TABLE images (
  host_id       TEXT    NOT NULL,
  key           TEXT    NOT NULL,
  name          TEXT    NOT NULL,
  image_id      TEXT    NOT NULL,
  seq           INTEGER NOT NULL,
  PRIMARY KEY (host_id, key)
);
CREATE INDEX images_by_name ON images (name, seq);
CREATE INDEX images_by_id ON images (image_id, seq);

CREATE TABLE execs (
  id            TEXT    PRIMARY KEY,
  container_id  TEXT    NOT NULL,
  host_id       TEXT    NOT NULL,
  status        TEXT    NOT NULL,
  seq           INTEGER NOT NULL
);
CREATE INDEX execs_by_container ON execs (container_id);

CREATE TABLE kernels (
  id            TEXT    PRIMARY KEY,
  name          TEXT    NOT NULL,
  seq           INTEGER NOT NULL
);

-- Small aggregates of the cluster that are only asked for by kind and name: tokens, secrets, services, the policy, what was refused.
CREATE TABLE records (
  kind          TEXT    NOT NULL,
  id            TEXT    NOT NULL,
  seq           INTEGER NOT NULL,
  PRIMARY KEY (kind, id)
);
