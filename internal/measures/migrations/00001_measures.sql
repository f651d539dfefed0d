-- +goose Up
CREATE TABLE measures_mode (
    measure TEXT   NOT NULL PRIMARY KEY,
    mode    TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    by_kind TEXT   NOT NULL,
    by_id   TEXT   NOT NULL,
    by_name TEXT   NOT NULL,
    since   BIGINT NOT NULL,
    entry   TEXT   NOT NULL
);

-- sort is what lists are ordered and paged by: digits and lower-case letters only.
CREATE TABLE measures_run (
    id          TEXT    NOT NULL PRIMARY KEY,
    sort        TEXT    NOT NULL,
    measure     TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    started     BIGINT  NOT NULL,
    ended       BIGINT  NOT NULL,
    running     BOOLEAN NOT NULL,
    partial     BOOLEAN NOT NULL,
    complete    BOOLEAN NOT NULL,
    truncated   TEXT    NOT NULL,
    outcome     BIGINT  NOT NULL,
    why         TEXT    NOT NULL,
    attempted   BIGINT  NOT NULL,
    succeeded   BIGINT  NOT NULL,
    failed      BIGINT  NOT NULL,
    unreachable BIGINT  NOT NULL,
    transcript  TEXT    NOT NULL,
    by_kind     TEXT    NOT NULL,
    by_id       TEXT    NOT NULL,
    by_name     TEXT    NOT NULL,
    entry       TEXT    NOT NULL
);
CREATE INDEX measures_run_sort ON measures_run (sort);
CREATE INDEX measures_run_subject ON measures_run (measure, subject, sort);
CREATE INDEX measures_run_running ON measures_run (id) WHERE running;

-- The id is a digest of rule, subject and locus; a locus is too long for an index.
CREATE TABLE measures_finding (
    id         TEXT    NOT NULL PRIMARY KEY,
    sort       TEXT    NOT NULL,
    measure    TEXT    NOT NULL,
    rule       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    locus      TEXT    NOT NULL,
    severity   BIGINT  NOT NULL,
    facts      TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    first_seen BIGINT  NOT NULL,
    last_seen  BIGINT  NOT NULL,
    looks      BIGINT  NOT NULL,
    needs      BIGINT  NOT NULL,
    last_run   TEXT    NOT NULL,
    changed    BIGINT  NOT NULL,
    why        TEXT    NOT NULL,
    case_id    TEXT    NOT NULL,
    demo       BOOLEAN NOT NULL
);
CREATE INDEX measures_finding_sort ON measures_finding (sort);
CREATE INDEX measures_finding_state ON measures_finding (state, sort);
CREATE INDEX measures_finding_subject ON measures_finding (measure, subject, state);

CREATE TABLE measures_locus (
    measure    TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    locus_id   TEXT    NOT NULL,
    locus      TEXT    NOT NULL,
    verdict    TEXT    NOT NULL,
    outcome    BIGINT  NOT NULL,
    why        TEXT    NOT NULL,
    what       TEXT    NOT NULL,
    facts      TEXT    NOT NULL,
    first_seen BIGINT  NOT NULL,
    last_seen  BIGINT  NOT NULL,
    last_look  BIGINT  NOT NULL,
    last_well  BIGINT  NOT NULL,
    last_run   TEXT    NOT NULL,
    removed    BOOLEAN NOT NULL,
    PRIMARY KEY (measure, subject, locus_id)
);

-- What others have still to be told, in order. Rows go once they were told.
CREATE TABLE measures_notice (
    seq     BIGINT NOT NULL PRIMARY KEY,
    kind    TEXT   NOT NULL,
    finding TEXT   NOT NULL,
    run     TEXT   NOT NULL,
    payload TEXT   NOT NULL,
    sum     TEXT   NOT NULL
);

-- +goose Down
DROP TABLE measures_notice;
DROP TABLE measures_locus;
DROP TABLE measures_finding;
DROP TABLE measures_run;
DROP TABLE measures_mode;
