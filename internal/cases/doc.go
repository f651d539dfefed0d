// Package cases turns what measures find into matters that somebody brings to an
// end by a date, and keeps every step of that.
//
// A case kind is a table, a [Flow]: from which state which deed leads where, and who
// may do it. [Flow.Apply] reads the table and nothing else; it knows no clock, no
// database and no network. [Cases] is the store around it: it opens cases by
// [Policy], applies deeds in one transaction with their ledger entry, and answers
// lists and counts.
//
// What the package promises:
//
//   - Only a later look of the same measure closes a case. No person, whatever the
//     role, can; the attempt is refused with the code held.
//   - A look that could not tell changes nothing, and is written down as such.
//   - Steps are never changed or removed. Each carries actor, time and, once the
//     ledger holds it, evidence. (Demonstration cases can be removed whole; the
//     removal is an entry of its own.)
//   - Late stays visible: Due is never moved by working on a case.
//   - While a case on a rule and a subject is open, further places where the same
//     rule fails on the same subject join it instead of opening another.
//
// What it leaves to others: seeing things (measures), confirming by a second look
// (measures), permissions of accounts (identity; the roles arrive with [By]),
// wording (the texts are locale keys, see garrison.Reason).
//
// The cases are state: small, in the relational database. Somebody who could write
// to that database could mislead the console, but every change of a case and every
// step has an object version and a ledger entry made in the same transaction, so a
// forged case has no history.
package cases
