// Package rows holds address translations in memory: 64 bytes a row without a
// pointer in it, so that millions of them cost the garbage collector nothing, and one
// [Table] beside them for what does not fit (texts and IPv6 addresses).
//
// The order of rows is the canonical order of package evidence, exactly. Rows are
// values; a Table is not safe for concurrent use, its owner guards it.
package rows
