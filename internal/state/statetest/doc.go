// Package statetest gives tests a real database on either engine, and holds the
// conformance suite that both must pass. Behaviour of package state is defined
// there, not by the first engine.
package statetest
