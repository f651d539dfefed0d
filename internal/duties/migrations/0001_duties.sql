-- +goose Up
CREATE TABLE duties_standing (
    duty     TEXT NOT NULL PRIMARY KEY,
    standing TEXT NOT NULL,
    why      TEXT NOT NULL,
    since    BIGINT NOT NULL,
    doc      TEXT NOT NULL
);

-- +goose Down
DROP TABLE duties_standing;
