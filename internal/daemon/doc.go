// Package daemon builds every component from the configuration, gives each what it
// needs of the others, starts them in order and stops them in the reverse order.
//
// It is the one place that knows who satisfies whose interface; the small adapters
// between them stand in adapters.go. It promises: one instance at most on a data
// directory (a lock the kernel gives back); nothing listens before everything behind
// it is ready; after Stop, or a kill at any moment, Start brings everything back
// without help. A start that fails says what to do, and leaves nothing running.
//
// On disk below the data directory: records/, ledger/, evidence/ (transcripts of
// looks), state/ (the embedded database), install.json (where the keys are), and for
// the machine's own command line ready.json, token, ca.pem and public.key.
package daemon
