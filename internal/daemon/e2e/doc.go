// Package e2e holds only tests. They build the two programs, run them as a stranger
// would, with files, flags, sockets and signals, and judge what comes out: what is
// acknowledged survives a kill at any moment, what is altered on disk is named, a dead
// link becomes a case that only a later look closes.
//
// They know nothing of the insides. What they need of the machine and it does not
// have (PostgreSQL, rsyslog, a mount) is a skip on a laptop and a failure under CI=1,
// but for what only root may do.
//
//	go test ./internal/daemon/e2e -short                    quick
//	GARRISON_KILL_ROUNDS=200 go test ./internal/daemon/e2e -run Kill -v
//	GARRISON_SEED=7 go test ./internal/daemon/e2e           repeats what that seed did
package e2e
