-- +goose Up

-- name_key, sort_key and search are computed from the other columns by the version
-- of the rules in keys; sum covers them.
CREATE TABLE registry_subject (
    id          TEXT    PRIMARY KEY,
    kind        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    owner       TEXT    NOT NULL,
    responsible TEXT    NOT NULL,
    grade       BIGINT  NOT NULL,
    attributes  TEXT    NOT NULL,
    demo        BOOLEAN NOT NULL,
    version     BIGINT  NOT NULL,
    changed     BIGINT  NOT NULL,
    retired     BOOLEAN NOT NULL,
    name_key    TEXT    NOT NULL,
    sort_key    TEXT    NOT NULL,
    search      TEXT    NOT NULL,
    keys        BIGINT  NOT NULL,
    sum         TEXT    NOT NULL
);
CREATE UNIQUE INDEX registry_subject_name ON registry_subject (kind, name_key) WHERE retired = FALSE;
CREATE INDEX registry_subject_order ON registry_subject (kind, sort_key, id);
CREATE INDEX registry_subject_owner ON registry_subject (owner);

-- The addresses of subjects that are not retired, so that none is given twice.
CREATE TABLE registry_address (
    kind    TEXT NOT NULL,
    prefix  TEXT NOT NULL,
    subject TEXT NOT NULL,
    PRIMARY KEY (kind, prefix)
);
CREATE INDEX registry_address_subject ON registry_address (subject);

-- Who we are: no row until somebody has said so.
CREATE TABLE registry_profile (
    id    TEXT    PRIMARY KEY,
    name  TEXT    NOT NULL,
    binds TEXT    NOT NULL,
    demo  BOOLEAN NOT NULL
);
