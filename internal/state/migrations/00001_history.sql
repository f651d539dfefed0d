-- +goose Up

-- The ledger entries of this database, in the order of their commits. A row stays
-- after its entry is sealed: log and idx then say where. An idx of -1 waits.
CREATE TABLE outbox (
    seq    BIGINT PRIMARY KEY,
    at     BIGINT NOT NULL,
    digest TEXT   NOT NULL,
    body   TEXT   NOT NULL,
    log    TEXT   NOT NULL,
    idx    BIGINT NOT NULL,
    sum    TEXT   NOT NULL
);
CREATE INDEX outbox_waiting ON outbox (seq) WHERE idx < 0;
CREATE INDEX outbox_digest ON outbox (digest);

-- Every version of every object. What the ledger entry in outbox.seq vouches for is
-- recomputed from the other columns.
CREATE TABLE object_version (
    kind       TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    n          BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    actor_kind TEXT   NOT NULL,
    actor_id   TEXT   NOT NULL,
    actor_name TEXT   NOT NULL,
    what       TEXT   NOT NULL,
    salt       TEXT   NOT NULL,
    doc        TEXT   NOT NULL,
    seq        BIGINT NOT NULL,
    PRIMARY KEY (kind, id, n)
);
