package state

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"garrison"
)

// current is the last version of an object, as far as a row must agree with it.
type current struct {
	n       int
	removed bool
	doc     [32]byte
	found   bool // there is a row
}

// snapshot compares, in one snapshot, versions with the ledger and rows with versions.
func (a *audit) snapshot(ctx context.Context) error {
	a.digests = map[object]string{}
	last := map[string]map[string]*current{} // kind -> id
	return a.read(ctx, "object_version", func(q Querier) error {
		if err := a.versions(ctx, q, last); err != nil {
			return err
		}
		if err := a.tables(ctx, q, last); err != nil {
			return err
		}
		return a.checks(ctx, q)
	})
}

// hindered says that looking was kept from going on, which is not damage.
func (a *audit) hindered(ctx context.Context, err error) bool {
	return ctx.Err() != nil || garrison.CodeOf(a.db.coded(err)) == garrison.Unavailable
}

func (a *audit) versions(ctx context.Context, q Querier, last map[string]map[string]*current) error {
	var before object
	err := Each(ctx, q, func(row Scanner) error {
		var v version
		if err := v.scan(row); err != nil {
			return err
		}
		obj := object{v.kind, v.id, v.n}
		if want := nextOf(before, obj); v.n != want {
			a.report(obj.String(), "the version before it is missing: expected %d", want)
		}
		before = obj
		a.version(obj, &v)
		if last[v.kind] == nil {
			last[v.kind] = map[string]*current{}
		}
		last[v.kind][v.id] = &current{n: v.n, removed: v.doc == "null", doc: sha256.Sum256([]byte(v.doc))}
		return nil
	}, allVersions)
	if err != nil {
		return err
	}
	var lost []object
	for obj, s := range a.seen {
		if !s.found {
			lost = append(lost, obj)
		}
	}
	slices.SortFunc(lost, compareObjects)
	for _, obj := range lost {
		a.report(obj.String(), "the ledger knows this version (entry %d), the database does not: it was deleted", a.seen[obj].index)
	}
	return nil
}

func nextOf(before, obj object) int {
	if before.kind == obj.kind && before.id == obj.id {
		return before.n + 1
	}
	return 1
}

func compareObjects(x, y object) int {
	if x.kind != y.kind || x.id != y.id {
		return slices.Compare([]string{x.kind, x.id}, []string{y.kind, y.id})
	}
	return x.n - y.n
}

// version compares one version with its entry, which is computed anew from the row.
func (a *audit) version(obj object, v *version) {
	digest := entryDigest(v.entry().Marshal())
	s, known := a.seen[obj]
	if known {
		s.found = true
		a.seen[obj] = s
	}
	switch {
	case v.sentDigest == "":
		a.report(obj.String(), "its row in the outbox is missing")
	case v.sentDigest != digest:
		a.report(obj.String(), "the version is not as it was recorded")
		return
	}
	switch {
	case known && s.digest != digest:
		a.report(obj.String(), "the version is not the one that the ledger vouches for (entry %d)", s.index)
	case known || v.sentIndex < 0 && v.sentDigest != "":
		// sealed, or it waits for its turn
	case v.sentIndex >= 0 && uint64(v.sentIndex) >= a.next:
		a.pending = append(a.pending, obj)
		a.digests[obj] = digest
	default:
		a.report(obj.String(), "the ledger has no entry for this version")
	}
}

// tables compares the rows of every registered kind with their last versions.
func (a *audit) tables(ctx context.Context, q Querier, last map[string]map[string]*current) error {
	a.db.mu.Lock()
	tables := maps.Clone(a.db.tables)
	a.db.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(tables)) {
		err := tables[kind].Rows(ctx, q, func(id string, doc any) error {
			return a.row(kind, id, doc, last[kind][id])
		})
		if err != nil {
			if a.hindered(ctx, err) {
				return fmt.Errorf("read the rows of %s: %w", kind, err)
			}
			a.report(kind, "the rows cannot be read: %v", err)
			continue
		}
		a.missing(kind, last[kind])
	}
	for _, kind := range slices.Sorted(maps.Keys(last)) {
		if _, ok := tables[kind]; !ok {
			a.report(kind, "there is history of this kind, but nothing in the program reads its rows back; they were not compared")
		}
	}
	return nil
}

func (a *audit) row(kind, id string, doc any, is *current) error {
	name := kind + "/" + id
	text, err := canonical(doc)
	switch {
	case err != nil:
		return fmt.Errorf("row %q: %w", id, err)
	case is == nil:
		a.report(name, "the row has no history: nobody is known to have made it")
	case is.found:
		a.report(name, "there are two rows for one object")
	case is.removed:
		a.report(name, "the row is there although version %d says that it was removed", is.n)
	case sha256.Sum256(text) != is.doc:
		a.report(name, "the row differs from its last version, %d", is.n)
	}
	if is != nil {
		is.found = true
	}
	return nil
}

// missing reports objects without a row; where every row is gone, that once.
func (a *audit) missing(kind string, last map[string]*current) {
	var gone []string
	present := 0
	for id, is := range last {
		switch {
		case is.found:
			present++
		case !is.removed:
			gone = append(gone, id)
		}
	}
	if present == 0 && len(gone) > 1 {
		a.report(kind, "the table is empty: all %d objects are missing", len(gone))
		return
	}
	slices.Sort(gone)
	for _, id := range gone {
		a.report(kind+"/"+id, "the row is missing although version %d says that it exists", last[id].n)
	}
}

func (a *audit) checks(ctx context.Context, q Querier) error {
	a.db.mu.Lock()
	checks := maps.Clone(a.db.checks)
	a.db.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		report := func(d Damage) {
			if d.File == "" && a.db.cfg.Engine == SQLite {
				d.File = a.db.cfg.Path
			}
			a.out(d)
		}
		if err := checks[name](ctx, q, report); err != nil {
			if a.hindered(ctx, err) {
				return fmt.Errorf("check %s: %w", name, err)
			}
			a.report(name, "cannot be checked: %v", err)
		}
	}
	return nil
}

// late looks for what was sealed while the audit was under way.
func (a *audit) late(ctx context.Context) error {
	if len(a.pending) == 0 {
		return nil
	}
	err := a.log.Scan(ctx, a.next, func(index uint64, entry []byte) error {
		if obj, ok := versionOf(entry); ok {
			a.note(obj, entryDigest(entry), index)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errLedger, err)
	}
	for _, obj := range a.pending {
		if s, ok := a.seen[obj]; !ok || s.digest != a.digests[obj] {
			a.report(obj.String(), "the ledger has no entry for this version")
		}
	}
	return nil
}

// AuditFile is Audit for a database that could not be started: it turns the reason
// into damage where it is one. ok is false when err says nothing about damage.
func AuditFile(cfg Config, err error) (d Damage, ok bool) {
	var coded *garrison.Error
	if !errors.As(err, &coded) || coded.Code != garrison.Damaged {
		return Damage{}, false
	}
	return Damage{File: cfg.Path, Object: "state database", What: err.Error()}, true
}
