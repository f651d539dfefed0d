// Package segment is the format of sealed records at rest: sorted Parquet files with
// plain signed integers, and a .tree file beside them.
//
// A segment is what one or more shards received in a stretch of time. Its rows lie in
// up to three Parquet files, each in canonical order: short (one port, at most five
// minutes), long (longer, or a block of ports) and open (one end is not named), so
// that a question looks at few files. The .tree file describes the segment, lists its
// chunks with their place in the ledger and keeps the first level of their trees.
//
// The package writes files whole or not at all, reads them in order ([Stream]) or at
// one address and port ([Reader.Find]), and says so when bytes are not what was
// written. Which files count is the business of the store's catalog; removing them is
// the business of the store.
package segment
