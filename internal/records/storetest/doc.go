// Package storetest has what tests of the record store and of its users need: a
// ledger on one plain file and a generator of address translations with a fixed seed.
package storetest
