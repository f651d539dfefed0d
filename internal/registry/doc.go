// Package registry keeps what is ours: units, persons, sites, senders of records,
// address pools and lines, each with the unit and the person that answer for it,
// and the profile that says which kinds of body the operator is.
//
// It promises: every entry is checked when it enters and stored in canonical form
// (addresses unmapped, hosts as lower-case A-labels); names are unique within a
// kind; every change is a version with a ledger entry; a retired entry stays,
// because findings and evidence name it; demonstration entries are marked and go in
// one step. An entry without an owner is listed, never given a default.
//
// It leaves to others: measuring the entries, and who may change them.
package registry
