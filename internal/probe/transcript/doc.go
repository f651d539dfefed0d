// Package transcript keeps what probes exchanged, as files named by the SHA-256 of
// their content.
//
// A run's ledger entry names its transcript's digest, so an altered transcript is
// found by anybody who has the entry. If an attacker could write to this store, a
// changed file no longer matches its own name, a removed one is named by the run
// that refers to it, and an added one is referred to by nothing. The package leaves
// to its callers what goes into a transcript and which ones should exist.
package transcript
