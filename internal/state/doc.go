// Package state is the relational database: registry, accounts, cases, runs, jobs
// and standings live in it. It is small and it changes, on SQLite (one file, the
// default) or on PostgreSQL (when there is more than one node).
//
// It promises:
//
//   - One way in. [DB.Read] gives one snapshot, [DB.Write] one transaction; at any
//     moment there is at most one writer on either engine, so what a transaction
//     reads stays true until it commits. The same SQL text runs on both engines.
//   - No change without a trace. [Tx.Record] writes the new version of an object
//     and its ledger entry (through an outbox) in the transaction that changes the
//     row; [DB.Relay] carries the outbox to the ledger. The ledger sees a salted
//     digest only; salt and document stay here.
//   - Damage and forgery are named. [DB.Audit] compares every typed row with its
//     last version, every version with its ledger entry, and asks the engine about
//     its own pages. A forged state has no history.
//
// If an attacker could write to this database he could mislead the console; every
// change carries a ledger entry through the outbox, so the audit finds what has
// none.
//
// It leaves to others: what a row means (each owner keeps its own tables, numbered
// migrations and statements, see [DB.Migrate]), the ledger itself ([Appender],
// [EntryScan]), and that no second process uses the same SQLite file for writing
// (package daemon locks the data directory).
//
// # Rules for SQL that runs on both engines
//
// Parameters are $1, $2, …; a parameter is used in one type only. Times are BIGINT
// microseconds UTC ([Micros], [Time]); identifiers, JSON and addresses are TEXT;
// yes or no is BOOLEAN; counters are BIGINT. No NUL byte reaches a TEXT column.
// Upserts are "INSERT … ON CONFLICT (…) DO UPDATE SET x = excluded.x". Order of text
// depends on the engine's collation, so where order matters store a key of
// [0-9a-z] only. Never call [DB.Write] inside another Write: there is one writer.
//
// # Owners
//
//	//go:embed migrations/*.sql
//	var migrations embed.FS
//
//	fsys, _ := fs.Sub(migrations, "migrations")
//	db.Migrate(ctx, "registry", fsys)      // files 00001_subjects.sql, goose format
//	db.RegisterTable(state.Table{Kind: "subject", Rows: readBack})
//	db.Write(ctx, func(tx *state.Tx) error {
//		tx.Exec(ctx, insertSubject, …)
//		_, err := tx.Record(ctx, state.Change{Kind: "subject", ID: id, Doc: doc, By: by, What: "created"})
//		return err
//	})
//
// Every kind that is ever recorded has a registered [Table]; a field added later to
// a document is tagged omitzero, so that rows written before read back as they were
// recorded. Rows that are not recorded (sessions, jobs) carry a [Sum] and a
// registered [Check], so that their damage is named too.
package state
