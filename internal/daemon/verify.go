package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"garrison"
	"garrison/client"
	"garrison/internal/cases"
	"garrison/internal/duties"
	"garrison/internal/identity"
	"garrison/internal/ledger"
	"garrison/internal/measures"
	"garrison/internal/measures/all"
	"garrison/internal/probe"
	"garrison/internal/probe/transcript"
	"garrison/internal/records"
	"garrison/internal/registry"
	"garrison/internal/schedule"
	"garrison/internal/state"
)

// Verify recomputes everything this installation keeps. One at a time: it reads every
// file there is.
func (d *Daemon) Verify(ctx context.Context) (client.Verification, error) {
	if !d.verifying.TryLock() {
		return client.Verification{}, garrison.Refuse(garrison.Unavailable, "error.verify.running")
	}
	defer d.verifying.Unlock()
	return VerifyDir(ctx, d.cfg.Data)
}

// VerifyDir recomputes everything below a data directory, whether an installation
// runs on it or not, and changes nothing. It trusts none of the parts to speak for
// another: records are compared with the ledger, the ledger with its tree, checkpoint
// and the copy kept with the keys, the state with its history and the ledger,
// transcripts with their own names and the runs that refer to them. What could not be
// looked at is named and never counts as clean.
func VerifyDir(ctx context.Context, data string) (client.Verification, error) {
	v := client.Verification{Damages: []client.Damage{}}
	in, err := readInstall(data)
	if errors.Is(err, fs.ErrNotExist) {
		return v, garrison.Errorf(garrison.NotFound, "%q is no data directory of Garrison: %w; name one with --data", data, err)
	} else if garrison.CodeOf(err) == garrison.Damaged {
		v.Damages = append(v.Damages, client.Damage{Part: "installation", File: "install.json", Records: -1, What: err.Error()})
		return v, nil
	} else if err != nil {
		return v, err
	}
	lay := in.layout(data)
	couldNot := func(part string, err error) {
		v.CouldNot = append(v.CouldNot, fmt.Sprintf("%s: %v", part, err))
	}

	sum, err := ledger.Verify(ctx, lay.ledger, func(d ledger.Damage) {
		v.Damages = append(v.Damages, client.Damage{Part: "ledger", File: under("ledger", d.File), Range: d.Range, Records: -1, What: d.What})
	})
	v.Entries = sum.Size
	if err != nil {
		couldNot("ledger", err)
	}
	entries, err := ledger.OpenReader(lay.ledger)
	if err != nil {
		couldNot("ledger", err)
		v.Clean = false
		return v, ctx.Err()
	}
	rs, err := records.Verify(ctx, lay.records, entries, func(d records.Damage) {
		v.Damages = append(v.Damages, client.Damage{Part: "records", File: under("records", d.File), Range: d.Range, Records: d.Records, What: d.What})
	})
	v.Segments, v.Chunks, v.Records, v.Unsealed = rs.Segments, rs.Chunks, rs.Records, rs.Unsealed
	if err != nil {
		couldNot("records", err)
	}
	if err := verifyState(ctx, lay, in, entries, &v); err != nil {
		couldNot("state", err)
	}
	v.Clean = len(v.Damages) == 0 && len(v.CouldNot) == 0
	return v, ctx.Err()
}

func under(dir, file string) string {
	if file == "" || filepath.IsAbs(file) || strings.Contains(file, ":") || file == dir {
		return file
	}
	return dir + "/" + file
}

// verifyState audits the state database and, from its runs, the transcripts.
func verifyState(ctx context.Context, lay layout, in install, entries *ledger.Reader, v *client.Verification) error {
	report := func(d state.Damage) {
		v.Damages = append(v.Damages, client.Damage{Part: "state", File: d.File, Range: d.Range, Object: d.Object, Records: -1, What: d.What})
	}
	cfg := lay.state
	cfg.ReadOnly = true
	db, err := state.New(cfg, state.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := db.Start(ctx); err != nil {
		if d, ok := state.AuditFile(cfg, err); ok {
			report(d)
			return nil
		}
		return err
	}
	defer func() { _ = db.Stop(context.WithoutCancel(ctx)) }()
	runner, err := owners(ctx, db, in, lay.transcript)
	if err != nil {
		if d, ok := state.AuditFile(cfg, err); ok {
			report(d)
			return nil
		}
		return err
	}
	if err := db.Audit(ctx, entries, report); err != nil {
		return err
	}
	return transcript.VerifyDir(ctx, lay.transcript.Dir, func(yield func(string) error) error {
		return runner.Digests(ctx, func(digest string) error {
			v.Transcripts++
			return yield(digest)
		})
	}, func(d transcript.Damage) {
		if d.What != "stray" {
			v.Damages = append(v.Damages, client.Damage{Part: "evidence", File: under("evidence", d.File), Object: d.Digest, Records: -1, What: d.What})
		}
	})
}

// owners registers every table with the audit, as the running parts do.
func owners(ctx context.Context, db *state.DB, in install, kept transcript.Config) (*measures.Runner, error) {
	quiet := slog.New(slog.DiscardHandler)
	reg, err := registry.New(registry.DefaultConfig(), registry.Deps{DB: db, Log: quiet})
	if err != nil {
		return nil, err
	}
	icfg := identity.DefaultConfig()
	icfg.KeyFile = filepath.Join(in.Keys, "identity.key")
	icfg.Origins = func() []string { return nil }
	who, err := identity.New(icfg, identity.Deps{DB: db, Log: quiet})
	if err != nil {
		return nil, err
	}
	plan, err := schedule.New(schedule.DefaultConfig(), schedule.Deps{DB: db, Log: quiet})
	if err != nil {
		return nil, err
	}
	list, err := all.Measures(all.DefaultConfig())
	if err != nil {
		return nil, err
	}
	runner, err := measures.New(measures.DefaultConfig(), measures.Deps{DB: db, Schedule: plan, Measures: list,
		Probe: probe.New(probe.DefaultConfig(), probe.Deps{}), Subjects: subjects{reg}, Log: quiet,
		Keeper: transcript.New(kept)})
	if err != nil {
		return nil, err
	}
	work, err := cases.New(cases.DefaultConfig(), cases.Deps{DB: db, Log: quiet})
	if err != nil {
		return nil, err
	}
	clauses, err := duties.New(duties.DefaultConfig(), duties.Deps{DB: db, Log: quiet})
	if err != nil {
		return nil, err
	}
	reg.Register()
	runner.Register()
	work.Register()
	clauses.Register()
	if err := plan.Migrate(ctx); err != nil {
		return nil, err
	}
	if err := who.Register(); err != nil {
		return nil, err
	}
	return runner, nil
}
