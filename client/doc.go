// Package client talks to a Garrison over its HTTP API, and holds the shapes that
// travel over it, once, for both ends.
//
// The program's own command line uses nothing else. A [Client] is safe for concurrent
// use. Every call takes a context and returns an error that carries a code of the
// root package (garrison.CodeOf) when the server gave one; a server that cannot be
// reached is garrison.Unavailable. Nothing is retried here but what the server can
// recognise as the same ([Client.Import] sends each part under its own idempotency
// key). What the package exports is a promise: a field once released is neither
// removed nor given another meaning.
package client
