package measures

import (
	"context"

	"garrison"
	"garrison/internal/state"
)

// selectDemoFindings lists what was found on the demonstration's subjects.
const selectDemoFindings = selectFindings + ` WHERE demo ORDER BY id`

// Register makes the tables part of the audit without starting anything, for a
// verification of a stopped installation.
func (r *Runner) Register() { r.register() }

// RemoveDemo takes the findings on the demonstration's subjects off the list and
// returns how many that were. The runs that saw them stay: they happened.
func (r *Runner) RemoveDemo(ctx context.Context, by garrison.Actor) (int, error) {
	n := 0
	err := r.deps.DB.Write(ctx, func(tx *state.Tx) error {
		n = 0
		var rows []*FindingRow
		err := state.Each(ctx, tx, func(row state.Scanner) error {
			f, err := scanFinding(row)
			rows = append(rows, f)
			return err
		}, selectDemoFindings)
		if err != nil {
			return err
		}
		for _, f := range rows {
			if _, err := tx.Exec(ctx, deleteFinding, string(f.ID)); err != nil {
				return err
			}
			if _, err := tx.Record(ctx, state.Change{Kind: kindFinding, ID: string(f.ID), By: by, What: "demo_removed"}); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}
