// Package ledger is the tamper-evident log of the installation: an append-only
// Merkle tree on plain files, in the C2SP tlog formats (tiles, checkpoints, signed
// notes), kept by the Tessera library.
//
// What it holds: small canonical texts made by package evidence, such as chunk
// roots, run results, state changes and heartbeats. Never personal data, only
// salted digests, so that the ledger outlives what it vouches for.
//
// If an attacker could write to it: caught by anyone who holds an older checkpoint.
// The signing key and a copy of the last checkpoint lie in another directory
// (KeyDir), so that whoever rewrites or rolls back the log's directory alone can
// stop the log, but cannot make it say something else.
//
// It promises:
//   - an entry whose Append returned is on stable storage, and is covered by a
//     signed checkpoint within a second;
//   - what is on disk is read again and hashed again before a checkpoint over it is
//     signed; a difference is never signed;
//   - the copy in KeyDir is durable before a signature leaves, so no two checkpoints
//     of one log can ever contradict each other;
//   - after a crash at any moment Start works within seconds, without help, and every
//     acknowledged entry is there;
//   - Start refuses, with code damaged, a directory that is behind or differs from
//     the kept copy;
//   - it says in entries of its own when it started, that it is alive (a beat every
//     five seconds) and when and why it ended, so that nobody can stop watching
//     unseen (Decree 82, art. 14(1)).
//
// It leaves to others what entries mean, and who may read them.
//
// Use: New, Start, Append, Receipt, Stop. Verify judges a directory from outside,
// whether an installation runs on it or not.
package ledger
