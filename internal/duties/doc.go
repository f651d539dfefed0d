// Package duties holds the catalogue of clauses and says, clause by clause, where
// the operator stands, why, and from what.
//
// The catalogue is data (catalogue/duties.yaml, embedded, read strictly). Where we
// stand is computed, never set: [Duties.Refresh] reads facts from the record store,
// the ledger, the measures and the profile through the small interfaces of this
// package, and the public package evidence turns facts into a standing, so that an
// outsider recomputes it from a bundle without us.
//
// What the package promises:
//
//   - Nothing is Met because nobody looked. Facts that cannot be read, a profile that
//     is not set, a clause that nothing here answers are Unproven, with the reason.
//   - A clause before its day, or of a repealed instrument, is NotInForce; one that
//     does not bind us is OutOfScope; one that binds only an authority is shown and
//     not counted.
//   - Every change of a standing is an object version and a ledger entry made in the
//     same transaction.
//   - A bundle written for a clause is the same bytes for the same state.
//
// What it leaves to others: the rule that leads from facts to a standing
// (evidence.Standing), gathering the facts, the wording of reasons (locale keys).
//
// Standings are state: small, in the relational database, with history and ledger
// entries; a forged standing has no history, and the next refresh overwrites it.
package duties
