// Package wal is the write-ahead file of the record store: frames that are appended,
// read back in order, and never changed.
//
// A file is a header and frames; a frame is a header of 40 bytes with a check sum of
// its own and a body with another. Frames of one shard are numbered without a gap
// across files, so that a frame that is missing is noticed as surely as one that is
// damaged. A file ends where its last frame ends; nothing is preallocated.
//
// What a reader finds at the end of the newest file after a crash may be a frame that
// was only begun: header or body cut short, or blocks of zeros that never got their
// content. That is a torn tail. Everything else that does not fit is damage, and
// [Scan] goes on behind it with the next whole frame.
package wal
