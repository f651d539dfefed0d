package duties

import (
	"context"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/state"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const kindStanding = "standing"

// Change is one stretch of a clause's history.
type Change struct {
	At         time.Time
	Standing   garrison.Standing
	Why        garrison.Reason
	Facts      []garrison.Fact
	Population garrison.Population
	Gaps       []garrison.Gap
	LastLook   time.Time
	AnsweredBy []string
	Digest     string               // of the canonical facts, hex
	Evidence   garrison.EvidenceRef // the "standing" entry; zero: not sealed yet
}

// standingDoc is a standing as it is recorded. Field names are part of what the
// ledger vouches for: they are never changed, only added to.
type standingDoc struct {
	Duty       garrison.DutyID     `json:"duty"`
	Standing   string              `json:"standing"`
	Why        garrison.Reason     `json:"why"`
	EntryWhy   string              `json:"entry_why"` // the reason as evidence names it
	Since      time.Time           `json:"since"`
	Facts      []garrison.Fact     `json:"facts"`
	Population garrison.Population `json:"population"`
	Gaps       []garrison.Gap      `json:"gaps"`
	LastLook   time.Time           `json:"last_look"`
	AnsweredBy []string            `json:"answered_by"`
}

func (s standingDoc) entry() evidence.Entry {
	return evidence.StandingEntry(string(s.Duty), s.Standing, s.EntryWhy, factsMap(s.Facts), s.Since)
}

// change reads a recorded standing back. ref finds an entry in the ledger.
func (s standingDoc) change(ref garrison.EvidenceRef) Change {
	digest := evidence.FactsDigest(factsMap(s.Facts))
	return Change{At: s.Since, Standing: standingOf(s.Standing), Why: s.Why, Facts: s.Facts, Population: s.Population,
		Gaps: s.Gaps, LastLook: s.LastLook, AnsweredBy: s.AnsweredBy, Digest: hex.EncodeToString(digest[:]), Evidence: ref}
}

func (d *Duties) migrate(ctx context.Context) error {
	sub, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations of duties: %w", err)
	}
	if err := d.deps.DB.Migrate(ctx, "duties", sub); err != nil {
		return fmt.Errorf("migrate duties: %w", err)
	}
	d.Register()
	return nil
}

// Register makes the table part of the audit without starting anything.
func (d *Duties) Register() {
	d.deps.DB.RegisterTable(state.Table{Kind: kindStanding, Rows: func(ctx context.Context, q state.Querier, yield func(string, any) error) error {
		return eachStanding(ctx, q, func(s standingDoc) error { return yield(string(s.Duty), s) })
	}})
}

// eachStanding reads the present standings. The columns beside the document are for
// queries; where they say another thing the row is damaged.
func eachStanding(ctx context.Context, q state.Querier, yield func(standingDoc) error) error {
	return state.Each(ctx, q, func(row state.Scanner) error {
		var duty, standing, why, doc string
		var since int64
		if err := row.Scan(&duty, &standing, &why, &since, &doc); err != nil {
			return fmt.Errorf("read a standing: %w", err)
		}
		var s standingDoc
		if err := json.Unmarshal([]byte(doc), &s); err != nil {
			return garrison.Errorf(garrison.Damaged, "standing on %q: %w", duty, err)
		}
		s.Duty, s.Standing, s.Why.Key, s.Since = garrison.DutyID(duty), standing, why, state.Time(since)
		return yield(s)
	}, `SELECT duty, standing, why, since, doc FROM duties_standing ORDER BY duty`)
}

// record writes down the standings that changed since they were written last. Nothing
// is written for a clause that was always unproven because nothing answers it.
func (d *Duties) record(ctx context.Context, s Snapshot) error {
	var before map[garrison.DutyID]standingDoc
	err := d.deps.DB.Read(ctx, func(q state.Querier) (err error) {
		before, err = standings(ctx, q)
		return err
	})
	if err != nil {
		return err
	}
	if len(d.changed(s, before)) == 0 {
		return nil
	}
	return d.deps.DB.Write(ctx, func(tx *state.Tx) error {
		before, err := standings(ctx, tx)
		if err != nil {
			return err
		}
		for _, doc := range d.changed(s, before) {
			if err := put(ctx, tx, doc); err != nil {
				return err
			}
		}
		return nil
	})
}

func standings(ctx context.Context, q state.Querier) (map[garrison.DutyID]standingDoc, error) {
	m := map[garrison.DutyID]standingDoc{}
	err := eachStanding(ctx, q, func(s standingDoc) error {
		m[s.Duty] = s
		return nil
	})
	return m, err
}

func (d *Duties) changed(s Snapshot, before map[garrison.DutyID]standingDoc) []standingDoc {
	var docs []standingDoc
	for _, a := range s.Assessments {
		was, known := before[a.Duty]
		switch {
		case known && was.Standing == a.Standing.String() && was.Why.Key == a.Why.Key:
			continue
		case !known && a.Standing == garrison.Unproven && len(a.AnsweredBy) == 0:
			continue
		}
		// The entry carries the reason as a verifier recomputes it.
		_, why, _ := evidence.Standing(string(a.Duty), factsMap(a.Facts))
		docs = append(docs, standingDoc{Duty: a.Duty, Standing: a.Standing.String(), Why: a.Why, EntryWhy: why, Since: s.At,
			Facts: a.Facts, Population: a.Population, Gaps: a.Gaps, LastLook: a.LastLook, AnsweredBy: a.AnsweredBy})
	}
	return docs
}

func put(ctx context.Context, tx *state.Tx, s standingDoc) error {
	doc, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode standing on %q: %w", s.Duty, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO duties_standing (duty, standing, why, since, doc) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (duty) DO UPDATE SET standing = excluded.standing, why = excluded.why, since = excluded.since, doc = excluded.doc`,
		string(s.Duty), s.Standing, s.Why.Key, state.Micros(s.Since), string(doc))
	if err != nil {
		return fmt.Errorf("store standing on %q: %w", s.Duty, err)
	}
	_, err = tx.Record(ctx, state.Change{Kind: kindStanding, ID: string(s.Duty), Doc: s, By: garrison.System("duties"), What: s.Standing})
	if err != nil {
		return fmt.Errorf("record standing on %q: %w", s.Duty, err)
	}
	if _, err := tx.Entry(ctx, s.entry()); err != nil {
		return fmt.Errorf("enter standing on %q: %w", s.Duty, err)
	}
	return nil
}

// History returns how a clause stood since a moment, oldest first; the first may
// have begun before it. Before the first nothing is known: Unproven.
func (d *Duties) History(ctx context.Context, id garrison.DutyID, since time.Time) ([]Change, error) {
	if _, err := d.Duty(ctx, id); err != nil {
		return nil, err
	}
	versions, err := d.deps.DB.History(ctx, kindStanding, string(id))
	if err != nil {
		return nil, fmt.Errorf("history of the standing on %q: %w", id, err)
	}
	docs := make([]standingDoc, 0, len(versions))
	for _, v := range versions {
		doc, err := docOf(v)
		if err != nil {
			return nil, err
		}
		if len(docs) > 0 && !doc.Since.After(since) {
			docs = docs[:0] // a later one began before the moment too
		}
		docs = append(docs, doc)
	}
	changes := make([]Change, 0, len(docs))
	for _, doc := range docs {
		ref, err := d.entryRef(ctx, doc)
		if err != nil {
			return nil, err
		}
		changes = append(changes, doc.change(ref))
	}
	return changes, nil
}

func docOf(v state.Version) (standingDoc, error) {
	var doc standingDoc
	if err := json.Unmarshal(v.Doc, &doc); err != nil {
		return doc, garrison.Errorf(garrison.Damaged, "version %d of the standing on %q: %w", v.N, v.ID, err)
	}
	return doc, nil
}

// entryRef finds the "standing" entry of a recorded standing.
func (d *Duties) entryRef(ctx context.Context, doc standingDoc) (garrison.EvidenceRef, error) {
	hash := evidence.EntryHash(doc.entry().Marshal())
	ref, err := d.deps.DB.Ref(ctx, hex.EncodeToString(hash[:]))
	if err != nil {
		return ref, fmt.Errorf("entry of the standing on %q: %w", doc.Duty, err)
	}
	return ref, nil
}

// past returns assessments as they were recorded.
func (d *Duties) past(ctx context.Context, duties []garrison.Duty, at time.Time) ([]garrison.Assessment, error) {
	var known map[garrison.DutyID]standingDoc
	err := d.deps.DB.Read(ctx, func(q state.Querier) (err error) {
		known, err = standings(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]garrison.Assessment, len(duties))
	for i, duty := range duties {
		out[i] = garrison.Assessment{Duty: duty.ID, At: at, Why: garrison.Reason{Key: whyNotRecorded}}
		if _, ever := known[duty.ID]; !ever {
			continue
		}
		v, err := d.deps.DB.AsOf(ctx, kindStanding, string(duty.ID), at)
		if garrison.CodeOf(err) == garrison.NotFound {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("standing on %q as of %s: %w", duty.ID, at.UTC().Format(time.RFC3339), err)
		}
		doc, err := docOf(v)
		if err != nil {
			return nil, err
		}
		out[i].Standing, out[i].Why, out[i].AnsweredBy = standingOf(doc.Standing), doc.Why, doc.AnsweredBy
		out[i].Facts, out[i].Population, out[i].Gaps, out[i].LastLook = doc.Facts, doc.Population, doc.Gaps, doc.LastLook
		for _, f := range doc.Facts {
			out[i].Evidence = append(out[i].Evidence, f.Evidence...)
		}
		out[i].Evidence = tidy(out[i].Evidence)
	}
	return out, nil
}
