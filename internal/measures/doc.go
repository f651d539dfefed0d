// Package measures holds the contract of a check, the runner that executes checks,
// and what became of what they found.
//
// A [Measure] looks at one subject and says what it saw; it changes nothing and
// decides nothing. The [Runner] gives it a probe that records every exchange, keeps
// the transcript, records the run with its population (which is the only source of
// "not seen" in the product), and keeps the list of findings:
//
//	suspected --as many looks agree as the rule asks--> open
//	suspected --a later look saw it well--------------> refuted
//	open ------a later run of the same measure looked at the same place and saw it
//	           well, or a complete run found it gone--> fixed
//	open ------a person says why it is wrong----------> refuted
//
// A run that could not tell leaves every finding as it was. Each run, each change of
// a finding, of an inventory and of a measure's state (on, degraded, off; Decree 82
// art. 14) is an object with versions and an entry in the ledger, written through the
// state database's outbox in the same transaction.
//
// The tables here are state: if an attacker could write to them they could mislead
// the console, but every row has its history in the ledger and a forged one has none.
//
// Promises: at most one run of a measure on a subject at a time; a run that was cut
// off (a crash, a power cut) is recorded as Unknown with the reason "interrupted" at
// the next start; hooks are called at least once, also across a crash.
//
// Left to others: cases (told through [Cases]), clauses (asked through [Runner.Stands]),
// what may be contacted (package probe).
package measures
