package statetest

import (
	"context"
	"io/fs"
	"testing/fstest"

	"garrison/internal/state"
)

// Things is an owner of a table as every owner is one: migrations, typed rows, the
// documents they are recorded as.
type Things struct{ DB *state.DB }

// Thing is one object.
type Thing struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Count int64  `json:"count"`
	Done  bool   `json:"done"`
	Note  string `json:"note,omitzero"`
}

func thingFiles() fs.FS {
	return fstest.MapFS{
		"00001_things.sql": {Data: []byte(`-- +goose Up
CREATE TABLE thing (id TEXT PRIMARY KEY, name TEXT NOT NULL, count BIGINT NOT NULL, done BOOLEAN NOT NULL, note TEXT NOT NULL);
`)},
		"00002_name.sql": {Data: []byte(`-- +goose Up
CREATE UNIQUE INDEX thing_name ON thing (name) WHERE done = FALSE;
`)},
	}
}

// NewThings migrates and registers.
func NewThings(ctx context.Context, db *state.DB) (*Things, error) {
	if err := db.Migrate(ctx, "things", thingFiles()); err != nil {
		return nil, err
	}
	db.RegisterTable(state.Table{Kind: "thing", Rows: func(ctx context.Context, q state.Querier, yield func(string, any) error) error {
		return state.Each(ctx, q, func(row state.Scanner) error {
			var x Thing
			if err := row.Scan(&x.ID, &x.Name, &x.Count, &x.Done, &x.Note); err != nil {
				return err
			}
			return yield(x.ID, x)
		}, `SELECT id, name, count, done, note FROM thing`)
	}})
	return &Things{db}, nil
}

// Save makes or changes a thing.
func (s *Things) Save(ctx context.Context, x Thing) error {
	return s.DB.Write(ctx, func(tx *state.Tx) error { return s.save(ctx, tx, x) })
}

func (s *Things) save(ctx context.Context, tx *state.Tx, x Thing) error {
	_, err := tx.Exec(ctx, `INSERT INTO thing (id, name, count, done, note) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, count = excluded.count, done = excluded.done, note = excluded.note`,
		x.ID, x.Name, x.Count, x.Done, x.Note)
	if err != nil {
		return err
	}
	_, err = tx.Record(ctx, state.Change{Kind: "thing", ID: x.ID, Doc: x, By: boss(), What: "saved"})
	return err
}

// Remove removes a thing.
func (s *Things) Remove(ctx context.Context, id string) error {
	return s.DB.Write(ctx, func(tx *state.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM thing WHERE id = $1`, id); err != nil {
			return err
		}
		_, err := tx.Record(ctx, state.Change{Kind: "thing", ID: id, By: boss(), What: "removed"})
		return err
	})
}

// All returns every thing.
func (s *Things) All(ctx context.Context) ([]Thing, error) {
	var all []Thing
	err := s.DB.Read(ctx, func(q state.Querier) error {
		all = nil
		return state.Each(ctx, q, func(row state.Scanner) error {
			var x Thing
			if err := row.Scan(&x.ID, &x.Name, &x.Count, &x.Done, &x.Note); err != nil {
				return err
			}
			all = append(all, x)
			return nil
		}, `SELECT id, name, count, done, note FROM thing ORDER BY id`)
	})
	return all, err
}
