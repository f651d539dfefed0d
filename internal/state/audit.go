package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"garrison"
	"garrison/evidence"
)

// Table tells how to read the rows of one kind back as the documents that were
// recorded for them, in any order. It must be able to do so before and after Start
// of its owner, and for every row, whatever its age.
type Table struct {
	Kind string
	Rows func(ctx context.Context, q Querier, yield func(id string, doc any) error) error
}

// RegisterTable makes a kind part of the audit. A second call for a kind replaces
// the first.
func (db *DB) RegisterTable(t Table) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.tables[t.Kind] = t
}

// Check looks for damage that only the owner of a table can see.
type Check func(ctx context.Context, q Querier, report func(Damage)) error

// RegisterCheck makes a check part of the audit.
func (db *DB) RegisterCheck(name string, c Check) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.checks[name] = c
}

// Damage is one thing that is not as it was written.
type Damage struct {
	File   string // the file, where one is to blame
	Range  string // the page or rows in it
	Object string // "kind/id", "kind/id/version", "outbox/number"
	What   string
}

// EntryScan is the ledger as the audit needs it: every entry from an index on, in order.
type EntryScan interface {
	Scan(ctx context.Context, from uint64, yield func(index uint64, entry []byte) error) error
}

// Audit reports everything that is not as it was written: pages of the file, rows
// that differ from their last version, versions that differ from the ledger, and
// what is missing on either side. It can run while the database is in use, and
// returns an error only when it could not finish looking.
func (db *DB) Audit(ctx context.Context, log EntryScan, report func(Damage)) error {
	if log == nil {
		return garrison.Errorf(garrison.Invalid, "audit the state database: without a ledger nothing can be told")
	}
	a := &audit{db: db, log: log, out: report, seen: map[object]sealed{}}
	// The ledger is read before the snapshot that it is compared with: what it holds
	// was committed here first, so everything in it must be in the snapshot. What
	// was appended in between is looked up at the end.
	steps := []func(context.Context) error{a.engine, a.sent, a.ledger, a.snapshot, a.late}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return fmt.Errorf("audit the state database: %w", err)
		}
	}
	return nil
}

// object names one version of one object.
type object struct {
	kind, id string
	n        int
}

func (o object) String() string { return o.kind + "/" + o.id + "/" + strconv.Itoa(o.n) }

// sealed is what the ledger says of a version.
type sealed struct {
	digest string // of the entry
	index  uint64
	found  bool // the database has it
}

type audit struct {
	db  *DB
	log EntryScan
	out func(Damage)

	seen    map[object]sealed
	claimed map[uint64][]string // ledger index -> digests that the outbox says stand there
	next    uint64              // first index not read yet
	pending []object            // sealed after the ledger was read
	digests map[object]string   // of the pending
}

func (a *audit) report(object, format string, args ...any) {
	d := Damage{Object: object, What: fmt.Sprintf(format, args...)}
	if a.db.cfg.Engine == SQLite {
		d.File = a.db.cfg.Path
	}
	a.out(d)
}

// read runs fn on a snapshot. What keeps it from reading is damage, unless the
// database cannot be reached at all.
func (a *audit) read(ctx context.Context, object string, fn func(q Querier) error) error {
	err := a.db.Read(ctx, fn)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || errors.Is(err, errLedger) || garrison.CodeOf(err) == garrison.Unavailable {
		return err
	}
	a.report(object, "cannot be read: %v", err)
	return nil
}

var (
	errLedger = errors.New("read the ledger")
	pageText  = regexp.MustCompile(`(?i)page (\d+)`)
)

// engine asks SQLite about its own pages. PostgreSQL has page checksums instead; it
// refuses to return a page that fails them.
func (a *audit) engine(ctx context.Context) error {
	if a.db.cfg.Engine != SQLite {
		return nil
	}
	return a.read(ctx, "", func(q Querier) error {
		for _, pragma := range []string{"PRAGMA integrity_check(1000)", "PRAGMA foreign_key_check"} {
			err := Each(ctx, q, func(row Scanner) error {
				var text string
				var rest [3]any
				err := row.Scan(&text)
				if err != nil && row.Scan(&text, &rest[0], &rest[1], &rest[2]) == nil {
					text, err = fmt.Sprintf("a row of table %s (%v) refers to a missing row of %v", text, rest[0], rest[1]), nil
				}
				if err != nil || text == "ok" {
					return err
				}
				d := Damage{File: a.db.cfg.Path, What: text}
				if m := pageText.FindStringSubmatch(text); m != nil {
					d.Range = "page " + m[1]
				}
				a.out(d)
				return nil
			}, pragma)
			if err != nil {
				return err
			}
		}
		return a.schema(ctx, q)
	})
}

// schema checks the list of tables, whose words the engine does not check: a table under
// another name or kind is one that nobody finds, and the next start cannot make anew.
func (a *audit) schema(ctx context.Context, q Querier) error {
	return Each(ctx, q, func(row Scanner) error {
		var kind, name, table, text string
		if err := row.Scan(&kind, &name, &table, &text); err != nil {
			return err
		}
		head := strings.ToUpper(strings.ReplaceAll(text, "UNIQUE ", ""))
		switch {
		case text == "" && kind == "index" && strings.HasPrefix(name, "sqlite_autoindex_"+table+"_"):
		case text != "" && strings.HasPrefix(head, "CREATE "+strings.ToUpper(kind)+" ") && strings.Contains(text, name) && strings.Contains(text, table):
		default:
			a.out(Damage{File: a.db.cfg.Path, Object: kind + "/" + name, What: fmt.Sprintf("the list of tables names %s %q of %q otherwise than it was made", kind, name, table)})
		}
		return nil
	}, "SELECT type, name, tbl_name, COALESCE(sql, '') FROM sqlite_schema")
}

// sent collects what the outbox says is in the ledger, and checks its rows.
func (a *audit) sent(ctx context.Context) error {
	a.claimed = map[uint64][]string{}
	return a.read(ctx, "outbox", func(q Querier) error {
		want := int64(1)
		return Each(ctx, q, func(row Scanner) error {
			var seq, at, idx int64
			var digest, body, log, sum string
			if err := row.Scan(&seq, &at, &digest, &body, &log, &idx, &sum); err != nil {
				return err
			}
			name := "outbox/" + strconv.FormatInt(seq, 10)
			if seq > want {
				a.report(fmt.Sprintf("outbox/%d-%d", want, seq-1), "rows of the outbox are missing")
			}
			want = seq + 1
			switch {
			case outboxSum(seq, at, digest, log, idx) != sum:
				a.report(name, "the outbox row is not as it was written")
			case idx < 0 && entryDigest([]byte(body)) != digest:
				a.report(name, "the entry that waits for the ledger is not as it was written")
			case idx >= 0:
				a.claimed[uint64(idx)] = append(a.claimed[uint64(idx)], digest)
			}
			return nil
		}, allOutbox)
	})
}

// ledger reads the ledger once: what it says of versions is kept, what the outbox
// says of it is compared.
func (a *audit) ledger(ctx context.Context) error {
	err := a.log.Scan(ctx, 0, func(index uint64, entry []byte) error {
		a.next = index + 1
		want, claimed := a.claimed[index]
		obj, isVersion := versionOf(entry)
		if !claimed && !isVersion {
			return nil
		}
		digest := entryDigest(entry)
		for _, w := range want {
			if w != digest {
				a.report("ledger/"+strconv.FormatUint(index, 10), "the outbox says that entry %s stands there; it is another one", w)
			}
		}
		delete(a.claimed, index)
		if isVersion {
			a.note(obj, digest, index)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errLedger, err)
	}
	for _, index := range slices.Sorted(maps.Keys(a.claimed)) {
		a.report("ledger/"+strconv.FormatUint(index, 10), "the outbox says that entry %s stands there; the ledger does not go that far", a.claimed[index][0])
	}
	return nil
}

func (a *audit) note(obj object, digest string, index uint64) {
	before, ok := a.seen[obj]
	switch {
	case !ok:
		a.seen[obj] = sealed{digest: digest, index: index}
	case before.digest != digest:
		// The same entry twice is a crash between appending and marking; two
		// different ones for one version are not.
		a.report(obj.String(), "the ledger holds two different entries for this version, %d and %d: history was rewritten", before.index, index)
	}
}

var statePrefix = []byte("garrison/" + evidence.TypeState + "/")

// versionOf says which version an entry vouches for.
func versionOf(entry []byte) (object, bool) {
	if !bytes.HasPrefix(entry, statePrefix) {
		return object{}, false
	}
	e, err := evidence.ParseEntry(entry)
	if err != nil {
		return object{}, false // the ledger's own check names it
	}
	n, err := strconv.Atoi(e.Get("version"))
	if err != nil {
		return object{}, false
	}
	return object{e.Get("kind"), e.Get("id"), n}, true
}
