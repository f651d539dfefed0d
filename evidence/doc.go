// Package evidence holds the formats of everything an outsider can check, and the
// checks: ledger entries, the canonical bytes of an address-translation record, the
// tree over one chunk of records, checkpoints and receipts of the ledger, the rules
// from facts to a standing, and the bundle that carries all of it for one clause.
//
// The package promises:
//
//   - Every format has one and only one byte form for one meaning. Parsers are strict:
//     what they accept marshals back to the same bytes.
//   - Every parser is bounded. It never trusts a declared length, and a limit that is
//     hit is an error that says so.
//   - Nothing here reads a clock, a file by name or the network. The same input gives
//     the same answer for ever; [Standing] in particular is a pure function, shared by
//     the product that claims a standing and by the verifier that recomputes it.
//   - What could not be checked is never reported as right. Without a trusted key a
//     bundle is at best consistent, see [Result].
//
// It leaves keeping the ledger and the records, and making bundles from them, to the
// product. It depends on the standard library and golang.org/x/mod only, so that a
// verifier can be read, built and trusted without the product.
//
// Formats are described for other implementers in docs/formats, with test vectors.
//
// A verifier needs three calls: [ParseKeys] for the operator's public key,
// [ReadBundle] for the file, and [VerifyBundle]. The holder of a single receipt needs
// [Verify].
package evidence
