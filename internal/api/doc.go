// Package api serves the HTTP interface under /api/ and its contract, OpenAPI 3.1.
//
// It holds no rules: every operation is one call of a capability's method, the same
// that the console calls. What it adds is who may ask: credentials are checked before
// anything else about a request is looked at, so that without them every path, known
// or not, answers 401; every operation names the permission it needs, and building the
// API fails when one does not. Operations that are open on purpose say so in the
// contract (security: []).
//
// Errors are problems (RFC 9457). A garrison.Code becomes a status in one place; an
// error without a code is logged under an id, and only the id is shown.
//
// The shapes that travel stand in package client, once for both ends. Everything here
// is safe for concurrent use.
package api
