package measures

import (
	"context"
	"encoding/json"
	"fmt"

	"garrison"
	"garrison/internal/state"
)

// What a notice is about.
const (
	noticeConfirmed = "confirmed"
	noticeStill     = "still"
	noticeGone      = "gone"
	noticeEnded     = "ended"
	noticeRefuted   = "refuted"
)

// notice is something [Cases] has still to be told. It is written with the change it
// tells of and removed after it was told, so that a crash in between tells it again.
type notice struct {
	seq     int64
	Kind    string             `json:"kind"`
	Finding garrison.FindingID `json:"finding,omitempty"`
	Run     garrison.RunID     `json:"run,omitempty"`
	Reason  string             `json:"reason,omitempty"`
	By      garrison.Actor     `json:"by,omitzero"`
	Unsure  map[string]string  `json:"unsure"` // null and {} differ, see Cases.RunEnded
}

func (r *Runner) notice(ctx context.Context, tx *state.Tx, n notice) error {
	if r.deps.Cases == nil {
		return nil
	}
	payload, err := json.Marshal(n)
	if err != nil {
		return err
	}
	// There is one writer, so the highest number is the last one.
	if err := tx.QueryRow(ctx, nextNotice).Scan(&n.seq); err != nil {
		return fmt.Errorf("number a notice: %w", err)
	}
	_, err = tx.Exec(ctx, insertNotice, n.seq, n.Kind, string(n.Finding), string(n.Run), string(payload), noticeSum(n, string(payload)))
	if err != nil {
		return fmt.Errorf("write a notice: %w", err)
	}
	return nil
}

func noticeSum(n notice, payload string) string {
	return state.Sum(n.seq, n.Kind, string(n.Finding), string(n.Run), payload)
}

func eachNotice(ctx context.Context, q state.Querier, fn func(n notice, good bool) error) error {
	return state.Each(ctx, q, func(row state.Scanner) error {
		var k notice
		var payload, sum string
		if err := row.Scan(&k.seq, &k.Kind, (*string)(&k.Finding), (*string)(&k.Run), &payload, &sum); err != nil {
			return err
		}
		n := notice{seq: k.seq}
		good := sum == noticeSum(k, payload) && json.Unmarshal([]byte(payload), &n) == nil
		return fn(n, good)
	}, selectNotices)
}

// tell delivers what is waiting, in order. What cannot be delivered waits, and with
// it everything later about the same finding.
func (r *Runner) tell(ctx context.Context) {
	if r.deps.Cases == nil {
		return
	}
	r.telling.Lock()
	defer r.telling.Unlock()
	var waiting []notice
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		waiting = nil
		return eachNotice(ctx, q, func(n notice, good bool) error {
			if good { // the audit names the others
				waiting = append(waiting, n)
			}
			return nil
		})
	})
	if err != nil {
		r.deps.Log.ErrorContext(ctx, "notices could not be read", "error", err)
		return
	}
	stuck := map[garrison.FindingID]bool{}
	for _, n := range waiting {
		if n.Finding != "" && stuck[n.Finding] {
			continue
		}
		if err := r.tellOne(ctx, n); err != nil {
			stuck[n.Finding] = true
			r.deps.Log.WarnContext(ctx, "a notice could not be delivered and waits", "kind", n.Kind, "finding", n.Finding, "run", n.Run, "error", err)
		}
	}
}

func (r *Runner) tellOne(ctx context.Context, n notice) error {
	var u *run
	var f *FindingRow
	err := r.deps.DB.Read(ctx, func(q state.Querier) error {
		var err error
		if n.Run != "" {
			if u, err = getRun(ctx, q, n.Run); err != nil {
				return err
			}
		}
		if n.Finding != "" {
			f, err = getFinding(ctx, q, n.Finding)
		}
		return err
	})
	if err != nil && garrison.CodeOf(err) != garrison.NotFound {
		return err
	}
	var into garrison.CaseID
	if err == nil { // what is gone needs no telling
		into, err = r.call(ctx, n, u, f)
		if err != nil {
			return err
		}
	}
	return r.deps.DB.Write(ctx, func(tx *state.Tx) error {
		if into != "" {
			now, err := getFinding(ctx, tx, n.Finding)
			if err != nil {
				return err
			}
			if now.Case != into {
				now.Case = into
				if err := putFinding(ctx, tx, now, r.self, "case"); err != nil {
					return err
				}
			}
		}
		_, err := tx.Exec(ctx, deleteNotice, n.seq)
		return err
	})
}

func (r *Runner) call(ctx context.Context, n notice, u *run, f *FindingRow) (garrison.CaseID, error) {
	c := r.deps.Cases
	switch n.Kind {
	case noticeConfirmed:
		run, err := r.evidence(ctx, u)
		if err != nil {
			return "", err
		}
		return c.Confirmed(ctx, f.ID, f.Finding, run.Run)
	case noticeStill, noticeGone:
		run, err := r.evidence(ctx, u)
		if err != nil {
			return "", err
		}
		return "", c.Rechecked(ctx, f.ID, run.Run, n.Kind == noticeGone)
	case noticeEnded:
		run, err := r.evidence(ctx, u)
		if err != nil {
			return "", err
		}
		return "", c.RunEnded(ctx, run.Run, n.Unsure)
	case noticeRefuted:
		return "", c.Refuted(ctx, f.ID, n.Reason, n.By)
	}
	return "", garrison.Errorf(garrison.Damaged, "notice %d is of no known kind %q", n.seq, n.Kind)
}

// tellSoon delivers without making the caller wait: the caller may be the one who is
// to be told.
func (r *Runner) tellSoon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return // told at the next start
	}
	r.running.Go(func() { r.tell(r.quit) })
}
