package state

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"garrison"
	"garrison/evidence"
)

// Limits on what becomes history.
const (
	maxDoc  = 1 << 20
	maxID   = 256
	maxName = 256
	maxWhat = 128
)

var kindName = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)

// Change is one change of one object.
type Change struct {
	Kind string // "subject", "case", … lower-case
	ID   string
	Doc  any // the object as it is now; nil: it is removed
	By   garrison.Actor
	What string // a fixed word of the product's ("created"), never what a person typed: it stands in the ledger in clear
}

func (c Change) check() error {
	switch {
	case !kindName.MatchString(c.Kind):
		return garrison.Errorf(garrison.Invalid, "record: kind %q is not lower-case", c.Kind)
	case c.ID == "" || len(c.ID) > maxID || !printable(c.ID):
		return garrison.Errorf(garrison.Invalid, "record %s: id %q is empty, too long or not printable", c.Kind, c.ID)
	case c.What == "" || len(c.What) > maxWhat || !printable(c.What):
		return garrison.Errorf(garrison.Invalid, "record %s/%s: what %q is empty, too long or not printable", c.Kind, c.ID, c.What)
	case c.By.Kind == "" || c.By.ID == "" || len(c.By.ID) > maxID || !printable(c.By.ID):
		return garrison.Errorf(garrison.Invalid, "record %s/%s: actor %q %q is not complete", c.Kind, c.ID, c.By.Kind, c.By.ID)
	case len(c.By.Name) > maxName || !printable(c.By.Name):
		return garrison.Errorf(garrison.Invalid, "record %s/%s: the actor's name %q is too long or not printable", c.Kind, c.ID, c.By.Name)
	}
	return nil
}

// printable refuses what one of the engines or a terminal would take amiss.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// Version is one version of an object.
type Version struct {
	Kind, ID string
	N        int
	At       time.Time
	By       garrison.Actor
	What     string
	Doc      json.RawMessage      // canonical JSON; nil: removed
	Evidence garrison.EvidenceRef // zero: not sealed yet
}

// version is a row of object_version and what the outbox says of it.
type version struct {
	kind, id           string
	n                  int
	at                 int64
	by                 garrison.Actor
	what, salt, doc    string
	seq                int64
	sentDigest, sentTo string // of the outbox row; "" where there is none
	sentIndex          int64  // -1: waits
}

func (v *version) scan(row Scanner) error {
	return row.Scan(&v.kind, &v.id, &v.n, &v.at, &v.by.Kind, &v.by.ID, &v.by.Name, &v.what, &v.salt, &v.doc, &v.seq,
		&v.sentDigest, &v.sentTo, &v.sentIndex)
}

func (v *version) public() Version {
	out := Version{Kind: v.kind, ID: v.id, N: v.n, At: Time(v.at), By: v.by, What: v.what}
	if v.doc != "null" {
		out.Doc = json.RawMessage(v.doc)
	}
	if v.sentIndex >= 0 {
		out.Evidence = garrison.EvidenceRef{Log: v.sentTo, Index: uint64(v.sentIndex), Digest: v.sentDigest}
	}
	return out
}

// entry is what the ledger learns of a version. The actor's name can be a person's,
// so only the salted digest covers it, as it covers the document.
func (v *version) entry() evidence.Entry {
	return evidence.NewEntry(evidence.TypeState,
		"kind", v.kind,
		"id", v.id,
		"version", strconv.Itoa(v.n),
		"at", Time(v.at).Format("2006-01-02T15:04:05.000000Z"),
		"actor", string(v.by.Kind)+":"+v.by.ID,
		"what", v.what,
		"digest", v.digest(),
	)
}

// digest is SHA-256 over salt and {"actor_name":…,"doc":…} in canonical form. Who is
// given salt and document can compute it; who sees the ledger alone learns nothing.
func (v *version) digest() string {
	salt, err := hex.DecodeString(v.salt)
	if err != nil {
		salt = []byte(v.salt) // damaged: any digest but the right one will do
	}
	name, err := canonical(v.by.Name)
	if err != nil {
		name = nil
	}
	h := sha256.New()
	h.Write(salt)
	h.Write([]byte(`{"actor_name":`))
	h.Write(name)
	h.Write([]byte(`,"doc":`))
	h.Write([]byte(v.doc))
	h.Write([]byte(`}`))
	return hex.EncodeToString(h.Sum(nil))
}

// Record writes the next version of an object and its ledger entry. It returns the
// version's number, 1 for the first.
func (tx *Tx) Record(ctx context.Context, c Change) (int, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	doc, err := canonical(c.Doc)
	if err != nil {
		return 0, fmt.Errorf("record %s/%s: %w", c.Kind, c.ID, err)
	}
	if len(doc) > maxDoc {
		return 0, garrison.Errorf(garrison.TooLarge, "record %s/%s: %d bytes, at most %d", c.Kind, c.ID, len(doc), maxDoc)
	}
	var last, lastAt int64
	err = tx.QueryRow(ctx, lastVersion, c.Kind, c.ID).Scan(&last, &lastAt)
	if err != nil && !errors.Is(err, ErrNoRows) {
		return 0, fmt.Errorf("record %s/%s: find its last version: %w", c.Kind, c.ID, err)
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return 0, fmt.Errorf("record %s/%s: %w", c.Kind, c.ID, err)
	}
	v := version{
		kind: c.Kind, id: c.ID, n: int(last) + 1, by: c.By, what: c.What,
		// A clock set back must not make a later version look like the earlier one.
		at:   max(Micros(tx.db.now()), lastAt),
		salt: hex.EncodeToString(salt), doc: string(doc),
	}
	_, seq, err := tx.enqueue(ctx, v.entry(), v.at)
	if err != nil {
		return 0, fmt.Errorf("record %s/%s: %w", c.Kind, c.ID, err)
	}
	_, err = tx.Exec(ctx, insertVersion, v.kind, v.id, v.n, v.at, string(v.by.Kind), v.by.ID, v.by.Name, v.what, v.salt, v.doc, seq)
	if err != nil {
		return 0, fmt.Errorf("record %s/%s: %w", c.Kind, c.ID, err)
	}
	return v.n, nil
}

// Entry hands any other entry to the ledger through the same outbox and returns its
// digest, by which [DB.Ref] finds the entry once it is sealed.
func (tx *Tx) Entry(ctx context.Context, e evidence.Entry) (digest string, err error) {
	if e.Type == evidence.TypeState {
		return "", garrison.Errorf(garrison.Invalid, "an entry of type %q is made by Record only", e.Type)
	}
	digest, _, err = tx.enqueue(ctx, e, Micros(tx.db.now()))
	return digest, err
}

func (tx *Tx) enqueue(ctx context.Context, e evidence.Entry, at int64) (digest string, seq int64, err error) {
	if err := e.Check(); err != nil {
		return "", 0, garrison.Errorf(garrison.Invalid, "ledger entry: %w", err)
	}
	body := e.Marshal()
	digest = entryDigest(body)
	// There is one writer, so the highest number is the last one.
	if err := tx.QueryRow(ctx, nextOutbox).Scan(&seq); err != nil {
		return "", 0, fmt.Errorf("number the outbox: %w", err)
	}
	if _, err := tx.Exec(ctx, insertOutbox, seq, at, digest, string(body), outboxSum(seq, at, digest, "", -1)); err != nil {
		return "", 0, fmt.Errorf("write the outbox: %w", err)
	}
	tx.queued = true
	return digest, seq, nil
}

func entryDigest(body []byte) string {
	d := evidence.EntryHash(body)
	return hex.EncodeToString(d[:])
}

func outboxSum(seq, at int64, digest, log string, idx int64) string {
	return Sum(seq, at, digest, log, idx)
}

// History returns all versions of an object, oldest first; none for an object that
// never was.
func (db *DB) History(ctx context.Context, kind, id string) ([]Version, error) {
	var all []Version
	err := db.Read(ctx, func(q Querier) error {
		return Each(ctx, q, func(row Scanner) error {
			var v version
			if err := v.scan(row); err != nil {
				return err
			}
			all = append(all, v.public())
			return nil
		}, history, kind, id)
	})
	if err != nil {
		return nil, fmt.Errorf("history of %s %q: %w", kind, id, err)
	}
	return all, nil
}

// AsOf returns the version that was true at a moment; its Doc is nil where the
// object was removed by then. NotFound: there was none yet.
func (db *DB) AsOf(ctx context.Context, kind, id string, at time.Time) (Version, error) {
	var v version
	err := db.Read(ctx, func(q Querier) error {
		return v.scan(q.QueryRow(ctx, asOf, kind, id, Micros(at)))
	})
	if errors.Is(err, ErrNoRows) {
		return Version{}, garrison.Errorf(garrison.NotFound, "no %s %q at %s", kind, id, at.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return Version{}, fmt.Errorf("%s %q as of %s: %w", kind, id, at.UTC().Format(time.RFC3339), err)
	}
	return v.public(), nil
}

// Ref returns where the ledger holds the entry with this digest; zero: not sealed yet.
func (db *DB) Ref(ctx context.Context, digest string) (garrison.EvidenceRef, error) {
	ref := garrison.EvidenceRef{Digest: digest}
	err := db.Read(ctx, func(q Querier) error {
		return q.QueryRow(ctx, refOf, digest).Scan(&ref.Log, &ref.Index)
	})
	if errors.Is(err, ErrNoRows) {
		return garrison.EvidenceRef{}, nil
	}
	if err != nil {
		return garrison.EvidenceRef{}, fmt.Errorf("find entry %q in the ledger: %w", digest, err)
	}
	return ref, nil
}
