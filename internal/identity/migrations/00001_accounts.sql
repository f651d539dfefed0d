-- +goose Up

-- One person's account, as it is recorded: no secret, no hash. Here and below the
-- mac is a keyed sum over every other column of the row.
CREATE TABLE identity_account (
    id      TEXT   PRIMARY KEY,
    login   TEXT   NOT NULL UNIQUE,
    name    TEXT   NOT NULL,
    grants  TEXT   NOT NULL,
    state   TEXT   NOT NULL,
    created BIGINT NOT NULL,
    version BIGINT NOT NULL,
    mac     TEXT   NOT NULL
);

-- What the account is proved by.
CREATE TABLE identity_secret (
    account   TEXT   PRIMARY KEY,
    password  TEXT   NOT NULL,
    totp      TEXT   NOT NULL,
    totp_step BIGINT NOT NULL,
    signed_in BIGINT NOT NULL,
    mac       TEXT   NOT NULL
);

CREATE TABLE identity_passkey (
    id         TEXT   PRIMARY KEY,
    account    TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    credential TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    used       BIGINT NOT NULL,
    mac        TEXT   NOT NULL
);
CREATE INDEX identity_passkey_account ON identity_passkey (account);

CREATE TABLE identity_session (
    digest  TEXT   PRIMARY KEY,
    id      TEXT   NOT NULL UNIQUE,
    account TEXT   NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    address TEXT   NOT NULL,
    device  TEXT   NOT NULL,
    method  TEXT   NOT NULL,
    seen    BIGINT NOT NULL,
    strong  BIGINT NOT NULL,
    mac     TEXT   NOT NULL
);
CREATE INDEX identity_session_account ON identity_session (account);

CREATE TABLE identity_token (
    id         TEXT   PRIMARY KEY,
    digest     TEXT   NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    revoked    BIGINT NOT NULL,
    actor_kind TEXT   NOT NULL,
    actor_id   TEXT   NOT NULL,
    actor_name TEXT   NOT NULL,
    used       BIGINT NOT NULL,
    mac        TEXT   NOT NULL
);

-- One-time secrets: the first administrator's, invitations, enrolments and passkey
-- ceremonies under way. Content is sealed.
CREATE TABLE identity_once (
    digest  TEXT   PRIMARY KEY,
    kind    TEXT   NOT NULL,
    account TEXT   NOT NULL,
    expires BIGINT NOT NULL,
    content TEXT   NOT NULL,
    mac     TEXT   NOT NULL
);

-- Wrong guesses, by keyed digests of login and address prefix.
CREATE TABLE identity_guess (
    login  TEXT   NOT NULL,
    prefix TEXT   NOT NULL,
    fails  BIGINT NOT NULL,
    until  BIGINT NOT NULL,
    good   BIGINT NOT NULL,
    seen   BIGINT NOT NULL,
    mac    TEXT   NOT NULL,
    PRIMARY KEY (login, prefix)
);
CREATE INDEX identity_guess_seen ON identity_guess (seen);
