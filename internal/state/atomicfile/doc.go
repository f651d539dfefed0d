// Package atomicfile makes files appear whole or not at all: a temporary file in the
// same directory, sync, rename, sync of the directory. What it reports as done
// survives a power cut.
//
// It leaves to others: who may write which path, and the lock that keeps two
// writers apart. Two writers of one path at once are safe; the last rename wins.
package atomicfile
