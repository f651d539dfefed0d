// Package records keeps records of what happened: who had which public address and
// port, when. It is the record plane's store; turning bytes from the network into
// batches is the work of package records/ingest.
//
// What it promises:
//
//   - [Store.Append] returns after every row of the batch is on stable storage, or
//     with an error and then nothing was acknowledged. A batch offered twice under
//     the same key is stored once and gets the first answer, across restarts.
//   - What one shard receives in one second is a chunk. Its Merkle root is in the
//     ledger within two seconds; the chunk's rows can afterwards be re-sorted and
//     merged, but none can be lost, added or changed unseen.
//   - After a crash everything acknowledged is there, once; the counters of every
//     source are derived from what is on disk and are exact.
//   - A question is answered with all candidates and reasons, never a silent first
//     hit, and with what is known about the window: who watched, what was lost.
//   - Damage is named with file, range and the number of records, never skipped.
//   - When it cannot keep a promise (a failed fsync, a full disk, a ledger that does
//     not answer) it says so and stops acknowledging.
//
// On disk: DIR/wal/*.wal holds what is not in a segment yet, DIR/segments/DAY/ the
// sorted Parquet files with their .tree sidecars, DIR/days/ the loss ledger and the
// idempotency keys by day, DIR/catalog.json says which of these files count. Chunk
// keys live apart, in KeyDir.
//
// The caller owns the ledger and the clock ([Deps]); package daemon wires them.
package records
