// Command garrison is the product: the server, and the command line for everything
// that the server can do.
//
// Commands that ask or change something go through the HTTP API, with address, token
// and certificate taken from flags, the environment or the local data directory; up,
// serve, verify and doctor also work on a data directory itself, check and bench need
// no installation. Exit codes are a promise: 0 done or clean, 1 refused, damaged or
// found something, 2 usage, 3 could not tell.
//
// What comes from outside is printed with control and direction characters escaped.
package main
