package registry

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"garrison"
	"garrison/internal/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	columns = `id, kind, name, owner, responsible, grade, attributes, demo, version, changed, retired,
		name_key, sort_key, search, keys, sum`
	selectAll  = `SELECT ` + columns + ` FROM registry_subject`
	selectByID = selectAll + ` WHERE id = $1`
	upsert     = `INSERT INTO registry_subject (` + columns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, owner = excluded.owner, responsible = excluded.responsible,
		grade = excluded.grade, attributes = excluded.attributes, demo = excluded.demo, version = excluded.version,
		changed = excluded.changed, retired = excluded.retired, name_key = excluded.name_key, sort_key = excluded.sort_key,
		search = excluded.search, keys = excluded.keys, sum = excluded.sum`
	deleteByID   = `DELETE FROM registry_subject WHERE id = $1`
	nameTaken    = `SELECT id FROM registry_subject WHERE kind = $1 AND name_key = $2 AND retired = FALSE AND id <> $3`
	countOwned   = `SELECT count(*) FROM registry_subject WHERE owner = $1 AND retired = FALSE`
	selectDemo   = selectAll + ` WHERE demo = TRUE ORDER BY id`
	selectOwned  = selectAll + ` WHERE owner = $1 AND demo = FALSE ORDER BY id`
	selectStale  = selectAll + ` WHERE keys <> $1`
	selectActive = selectAll + ` WHERE retired = FALSE AND kind IN ('source', 'pool', 'line')`
	countKinds   = `SELECT kind, retired, demo, count(*) FROM registry_subject GROUP BY kind, retired, demo`
	stampAll     = `SELECT count(*), CAST(coalesce(sum(version), 0) AS BIGINT), coalesce(max(changed), 0) FROM registry_subject`

	// Nobody answers for what has no owner, or one that is gone.
	ownerless = `retired = FALSE AND kind IN ('site', 'source', 'pool', 'line')
		AND (owner = '' OR owner NOT IN (SELECT u.id FROM registry_subject u WHERE u.kind = 'unit' AND u.retired = FALSE))`
	selectOwnerless = selectAll + ` WHERE ` + ownerless + ` ORDER BY kind, sort_key, id`
	countOwnerless  = `SELECT count(*) FROM registry_subject WHERE ` + ownerless

	holderOf        = `SELECT s.id, s.name FROM registry_address a JOIN registry_subject s ON s.id = a.subject WHERE a.kind = $1 AND a.prefix = $2`
	insertAddress   = `INSERT INTO registry_address (kind, prefix, subject) VALUES ($1, $2, $3)`
	deleteAddresses = `DELETE FROM registry_address WHERE subject = $1`
	selectAddresses = `SELECT kind, prefix, subject FROM registry_address`

	selectProfile = `SELECT name, binds, demo FROM registry_profile WHERE id = 'self'`
	upsertProfile = `INSERT INTO registry_profile (id, name, binds, demo) VALUES ('self', $1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, binds = excluded.binds, demo = excluded.demo`
	deleteProfile = `DELETE FROM registry_profile WHERE id = 'self'`
)

// row is a subject as it is stored.
type row struct {
	garrison.Subject
	derived
	keys int
	sum  string
}

func (r *row) scan(s state.Scanner) error {
	var attributes string
	var changed int64
	err := s.Scan(&r.ID, &r.Kind, &r.Name, &r.Owner, &r.Responsible, &r.Grade, &attributes, &r.Demo, &r.Version, &changed,
		&r.Retired, &r.nameKey, &r.sortKey, &r.search, &r.keys, &r.sum)
	if err != nil {
		return err
	}
	r.Changed = state.Time(changed)
	r.Attributes = nil
	if err := json.Unmarshal([]byte(attributes), &r.Attributes); err != nil {
		return garrison.Errorf(garrison.Damaged, "attributes of subject %q: %w", r.ID, err)
	}
	return nil
}

func (r *row) checksum() string {
	return state.Sum(string(r.ID), r.nameKey, r.sortKey, r.search, r.keys)
}

// doc is a subject as its history and the audit have it. New fields get omitzero,
// so that older rows still read as they were recorded.
type doc struct {
	ID          garrison.SubjectID   `json:"id"`
	Kind        garrison.SubjectKind `json:"kind"`
	Name        string               `json:"name"`
	Owner       garrison.SubjectID   `json:"owner"`
	Responsible string               `json:"responsible"`
	Grade       int                  `json:"grade"`
	Attributes  map[string]string    `json:"attributes"`
	Demo        bool                 `json:"demo"`
	Version     int                  `json:"version"`
	Changed     int64                `json:"changed"` // µs
	Retired     bool                 `json:"retired"`
}

func docOf(s garrison.Subject) doc {
	return doc{s.ID, s.Kind, s.Name, s.Owner, s.Responsible, s.Grade, s.Attributes, s.Demo, s.Version, state.Micros(s.Changed), s.Retired}
}

func (d doc) subject() garrison.Subject {
	return garrison.Subject{ID: d.ID, Kind: d.Kind, Name: d.Name, Owner: d.Owner, Responsible: d.Responsible, Grade: d.Grade,
		Attributes: d.Attributes, Demo: d.Demo, Version: d.Version, Changed: state.Time(d.Changed), Retired: d.Retired}
}

func (r *row) save(ctx context.Context, tx *state.Tx) error {
	attributes, err := json.Marshal(r.Attributes)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, upsert, string(r.ID), string(r.Kind), r.Name, string(r.Owner), r.Responsible, int64(r.Grade), string(attributes),
		r.Demo, int64(r.Version), state.Micros(r.Changed), r.Retired, r.nameKey, r.sortKey, r.search, int64(r.keys), r.checksum())
	if err != nil {
		return fmt.Errorf("save subject %q: %w", r.ID, err)
	}
	return nil
}

// load reads one subject. NotFound: there is none.
func load(ctx context.Context, q state.Querier, id garrison.SubjectID) (garrison.Subject, error) {
	var r row
	err := r.scan(q.QueryRow(ctx, selectByID, string(id)))
	if errors.Is(err, state.ErrNoRows) {
		return garrison.Subject{}, garrison.Refuse(garrison.NotFound, "error.registry.not_found", "id", string(id))
	}
	if err != nil {
		return garrison.Subject{}, fmt.Errorf("read subject %q: %w", id, err)
	}
	return r.Subject, nil
}

func listRows(ctx context.Context, q state.Querier, query string, args ...any) ([]row, error) {
	var all []row
	err := state.Each(ctx, q, func(s state.Scanner) error {
		var r row
		if err := r.scan(s); err != nil {
			return err
		}
		all = append(all, r)
		return nil
	}, query, args...)
	return all, err
}

func subjectsOf(rows []row) []garrison.Subject {
	all := make([]garrison.Subject, len(rows))
	for i, r := range rows {
		all[i] = r.Subject
	}
	return all
}

// saveAddresses gives a subject its addresses, and takes back those it had.
func saveAddresses(ctx context.Context, tx *state.Tx, s garrison.Subject) error {
	if _, err := tx.Exec(ctx, deleteAddresses, string(s.ID)); err != nil {
		return fmt.Errorf("free the addresses of %q: %w", s.ID, err)
	}
	if s.Retired {
		return nil
	}
	for _, p := range prefixesOf(s) {
		var holder, name string
		// There is one writer: what is free here is free below.
		err := tx.QueryRow(ctx, holderOf, string(s.Kind), p.String()).Scan(&holder, &name)
		if err == nil {
			return conflict("address_taken", "address", prefixText(p), "name", name)
		}
		if !errors.Is(err, state.ErrNoRows) {
			return fmt.Errorf("look for the holder of %q: %w", p, err)
		}
		if _, err := tx.Exec(ctx, insertAddress, string(s.Kind), p.String(), string(s.ID)); err != nil {
			return fmt.Errorf("give %q to %q: %w", p, s.ID, err)
		}
	}
	return nil
}

func loadProfile(ctx context.Context, q state.Querier) (Profile, error) {
	var p Profile
	var binds string
	err := q.QueryRow(ctx, selectProfile).Scan(&p.Name, &binds, &p.Demo)
	if errors.Is(err, state.ErrNoRows) {
		return Profile{}, nil
	}
	if err != nil {
		return Profile{}, fmt.Errorf("read who we are: %w", err)
	}
	p.Binds, p.Set = strings.Split(binds, ","), true
	return p, nil
}

// profileDoc is the profile as its history and the audit have it.
type profileDoc struct {
	Name  string   `json:"name"`
	Binds []string `json:"binds"`
	Demo  bool     `json:"demo"`
}

// registerTables tells the audit how to read the rows back.
func registerTables(db *state.DB) {
	db.RegisterTable(state.Table{Kind: kindSubject, Rows: func(ctx context.Context, q state.Querier, yield func(string, any) error) error {
		return state.Each(ctx, q, func(s state.Scanner) error {
			var r row
			if err := r.scan(s); err != nil {
				return err
			}
			return yield(string(r.ID), docOf(r.Subject))
		}, selectAll)
	}})
	db.RegisterTable(state.Table{Kind: kindProfile, Rows: func(ctx context.Context, q state.Querier, yield func(string, any) error) error {
		p, err := loadProfile(ctx, q)
		if err != nil || !p.Set {
			return err
		}
		return yield(profileID, profileDoc{p.Name, p.Binds, p.Demo})
	}})
	db.RegisterCheck("registry", checkRows)
}

// checkRows looks at what follows from the subjects: their keys and addresses.
func checkRows(ctx context.Context, q state.Querier, report func(state.Damage)) error {
	rows, err := listRows(ctx, q, selectAll)
	if err != nil {
		return err
	}
	want := map[string]string{}
	for _, r := range rows {
		if r.sum != r.checksum() {
			report(state.Damage{Object: kindSubject + "/" + string(r.ID), What: "the keys by which the subject is found and sorted are not as they were written"})
		}
		if !r.Retired {
			for _, p := range prefixesOf(r.Subject) {
				want[string(r.Kind)+" "+p.String()] = string(r.ID)
			}
		}
	}
	err = state.Each(ctx, q, func(s state.Scanner) error {
		var kind, prefix, id string
		if err := s.Scan(&kind, &prefix, &id); err != nil {
			return err
		}
		if want[kind+" "+prefix] != id {
			report(state.Damage{Object: "registry_address/" + prefix, What: fmt.Sprintf("the address is held by %q without its saying so", id)})
		}
		delete(want, kind+" "+prefix)
		return nil
	}, selectAddresses)
	if err != nil {
		return err
	}
	for address, id := range want {
		report(state.Damage{Object: kindSubject + "/" + id, What: fmt.Sprintf("its address (%s) is not reserved for it", address)})
	}
	return nil
}
