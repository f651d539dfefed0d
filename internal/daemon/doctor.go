package daemon

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"garrison"
	"garrison/client"
	"garrison/internal/console"
	"garrison/internal/locale"
)

// conditions are the state of the installation, one line a part.
func (d *Daemon) conditions(ctx context.Context) []client.Condition {
	var out []client.Condition
	for _, c := range d.health.Conditions(ctx) {
		out = append(out, client.Condition{Name: c.Name, OK: c.OK, Why: c.Why})
	}
	return append(out, LocalConditions(d.cfg.Data, d.install.Keys, int64(d.cfg.Records.MinFree))...)
}

// LocalConditions looks at what can be told of an installation without asking it:
// directories, modes, disks.
func LocalConditions(data, keys string, minFree int64) []client.Condition {
	out := []client.Condition{ownedClosed(keys)}
	var a, b unix.Stat_t
	share := client.Condition{Name: "keys on another disk", OK: true}
	if unix.Stat(data, &a) != nil || unix.Stat(keys, &b) != nil {
		share.OK, share.Why = false, "cannot tell: a directory cannot be looked at"
	} else if a.Dev == b.Dev {
		share.OK, share.Why = false, fmt.Sprintf("the keys in %s share a disk with the ledger; whoever takes that disk can sign as this installation (give another directory with --keys)", keys)
	}
	out = append(out, share)
	free := client.Condition{Name: "free space", OK: true}
	var fs unix.Statfs_t
	if err := unix.Statfs(data, &fs); err != nil {
		free.OK, free.Why = false, "cannot tell: "+err.Error()
	} else if left := int64(fs.Bavail) * fs.Bsize; left < 2*minFree {
		free.OK, free.Why = false, fmt.Sprintf("%d MiB are left on the disk of %s; intake stops below %d MiB", left>>20, data, minFree>>20)
	}
	return append(out, free)
}

func ownedClosed(keys string) client.Condition {
	c := client.Condition{Name: "keys closed to others", OK: true}
	st, err := os.Stat(keys)
	switch {
	case err != nil:
		c.OK, c.Why = false, "cannot tell: "+err.Error()
	case st.Mode().Perm()&0o077 != 0:
		c.OK, c.Why = false, fmt.Sprintf("others may look into %s (mode %04o); chmod 700 it", keys, st.Mode().Perm())
	}
	return c
}

// fillDemo fills an empty installation at start and stays silent on a full one: the
// demonstration was asked for, not a second one.
func (d *Daemon) fillDemo(ctx context.Context) error {
	err := d.demo.Fill(ctx, garrison.System("demo"))
	if garrison.CodeOf(err) == garrison.Conflict {
		fmt.Fprintln(d.opts.Out, "demonstration: the register holds something already; nothing was filled in")
		return nil
	}
	return err
}

// refresh judges the clauses anew, after much has changed at once.
func (d *Daemon) refresh(ctx context.Context) error {
	_, err := d.duties.Refresh(ctx)
	return err
}

func text(lang, key string, args map[string]any) string {
	t, _ := locale.Lookup(lang, key, args)
	return t
}

func (d *Daemon) consoleConfig() console.Config {
	return console.Config{Version: d.opts.Version, RetentionDays: d.cfg.Records.RetentionDays, StateEngine: d.cfg.State.Engine,
		DataDir: d.cfg.Data, KeyDir: d.install.Keys}
}

func (d *Daemon) consoleDeps() console.Deps {
	return console.Deps{
		Records: d.records, Ledger: d.ledger, Identity: d.identity, Registry: d.registry, Measures: d.runner, Cases: d.cases,
		Duties: d.duties, State: d.db, Verify: d.verifyForConsole, DemoFill: d.demo.Fill, DemoClear: d.demo.Clear,
		Listeners: d.syslog.Addrs, Log: d.log.With("part", "console"), Now: d.opts.Now,
	}
}

func (d *Daemon) verifyForConsole(ctx context.Context) (console.Verification, error) {
	began := time.Now()
	v, err := d.Verify(ctx)
	if err != nil {
		return console.Verification{}, err
	}
	out := console.Verification{Clean: v.Clean, CouldNot: v.CouldNot, Records: v.Records, Chunks: v.Chunks, Entries: v.Entries,
		Took: time.Since(began)}
	for _, x := range v.Damages {
		out.Damages = append(out.Damages, console.VerifiedDamage{Part: x.Part, File: x.File, Range: x.Range, Object: x.Object, What: x.What})
	}
	return out, nil
}
