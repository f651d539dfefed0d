-- +goose Up

-- Jobs have no history of versions; sum covers the other columns of a row.
CREATE TABLE job (
    kind        TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    payload     TEXT    NOT NULL,
    run_at      BIGINT  NOT NULL,
    every       BIGINT  NOT NULL,
    attempts    BIGINT  NOT NULL,
    given_up    BOOLEAN NOT NULL,
    put         BIGINT  NOT NULL,
    lease       TEXT    NOT NULL,
    lease_until BIGINT  NOT NULL,
    last_start  BIGINT  NOT NULL,
    last_end    BIGINT  NOT NULL,
    last_error  TEXT    NOT NULL,
    runs        BIGINT  NOT NULL,
    sum         TEXT    NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX job_due ON job (kind, run_at);
