-- +goose Up
CREATE TABLE cases_case (
    id           TEXT NOT NULL PRIMARY KEY,
    number       TEXT NOT NULL UNIQUE,
    kind         TEXT NOT NULL,
    state        TEXT NOT NULL,
    title        TEXT NOT NULL,
    subject      TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    measure      TEXT NOT NULL,
    rule         TEXT NOT NULL,
    severity     BIGINT NOT NULL,
    owner        TEXT NOT NULL,
    opened       BIGINT NOT NULL,
    due          BIGINT NOT NULL,
    closed       BIGINT NOT NULL,
    claimed      BIGINT NOT NULL,
    total        BIGINT NOT NULL,
    remaining    BIGINT NOT NULL,
    steps        BIGINT NOT NULL,
    join_run     TEXT NOT NULL,
    unsure_run   TEXT NOT NULL,
    demo         BIGINT NOT NULL,
    version      BIGINT NOT NULL
);

-- While a case on a rule and a subject is open there is only that one.
CREATE UNIQUE INDEX cases_case_one_open ON cases_case (kind, measure, rule, subject) WHERE closed = 0;
CREATE INDEX cases_case_opened ON cases_case (opened, id);
CREATE INDEX cases_case_due ON cases_case (due, id);
CREATE INDEX cases_case_subject ON cases_case (subject, opened);

CREATE TABLE cases_finding (
    case_id  TEXT NOT NULL,
    finding  TEXT NOT NULL,
    locus    TEXT NOT NULL,
    joined   BIGINT NOT NULL,
    run      TEXT NOT NULL,
    seen     BIGINT NOT NULL,
    gone     BIGINT NOT NULL,
    gone_run TEXT NOT NULL,
    refuted  BIGINT NOT NULL,
    PRIMARY KEY (case_id, finding)
);

CREATE INDEX cases_finding_finding ON cases_finding (finding, joined);

CREATE TABLE cases_step (
    case_id    TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    by_kind    TEXT NOT NULL,
    by_id      TEXT NOT NULL,
    by_name    TEXT NOT NULL,
    did        TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    note       TEXT NOT NULL,
    what       TEXT NOT NULL,
    run        TEXT NOT NULL,
    outcome    BIGINT NOT NULL,
    PRIMARY KEY (case_id, seq)
);

-- The last number given out in a month of the office's calendar.
CREATE TABLE cases_number (
    month    TEXT NOT NULL PRIMARY KEY,
    last     BIGINT NOT NULL,
    checksum TEXT NOT NULL
);

-- +goose Down
DROP TABLE cases_number;
DROP TABLE cases_step;
DROP TABLE cases_finding;
DROP TABLE cases_case;
