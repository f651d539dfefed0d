package measures

import (
	"context"
	"fmt"

	"garrison"
	"garrison/internal/state"
)

// register makes every row part of the database's audit.
func (r *Runner) register() {
	db := r.deps.DB
	db.RegisterTable(state.Table{Kind: kindMode, Rows: func(ctx context.Context, q state.Querier, yield func(string, any) error) error {
		return state.Each(ctx, q, func(row state.Scanner) error {
			m, err := scanMode(row)
			if err != nil {
				return err
			}
			return yield(string(m.measure), m.doc())
		}, selectModes)
	}})
	db.RegisterTable(state.Table{Kind: kindRun, Rows: func(ctx context.Context, q state.Querier, yield func(string, any) error) error {
		return state.Each(ctx, q, func(row state.Scanner) error {
			u, err := scanRun(row)
			if err != nil {
				return err
			}
			if u.sort != sortKey(u.Started, string(u.ID)) {
				u.Version += " (its place in the list was changed)" // so that the audit names it
			}
			return yield(string(u.ID), u.doc())
		}, selectRuns)
	}})
	db.RegisterTable(state.Table{Kind: kindFinding, Rows: func(ctx context.Context, q state.Querier, yield func(string, any) error) error {
		return state.Each(ctx, q, func(row state.Scanner) error {
			f, sort, err := scanSorted(row)
			if err != nil {
				return err
			}
			if sort != findingSort(f) {
				f.Why += " (its place in the list was changed)"
			}
			return yield(string(f.ID), docOf(f))
		}, selectFindings)
	}})
	db.RegisterTable(state.Table{Kind: kindInventory, Rows: auditInventories})
	db.RegisterCheck("measures", auditNotices)
}

func auditInventories(ctx context.Context, q state.Querier, yield func(id string, doc any) error) error {
	type list struct {
		m garrison.MeasureID
		s garrison.SubjectID
	}
	var lists []list
	err := state.Each(ctx, q, func(row state.Scanner) error {
		var l list
		err := row.Scan((*string)(&l.m), (*string)(&l.s))
		lists = append(lists, l)
		return err
	}, selectLists)
	if err != nil {
		return err
	}
	for _, l := range lists {
		doc, err := inventoryOf(ctx, q, l.m, l.s)
		if err != nil {
			return err
		}
		if err := yield(inventoryID(l.m, l.s), doc); err != nil {
			return err
		}
	}
	return nil
}

func auditNotices(ctx context.Context, q state.Querier, report func(state.Damage)) error {
	return eachNotice(ctx, q, func(n notice, good bool) error {
		if !good {
			report(state.Damage{Object: fmt.Sprintf("measures_notice/%d", n.seq), What: "the row is not as it was written"})
		}
		return nil
	})
}
