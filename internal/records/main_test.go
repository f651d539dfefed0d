package records

import (
	"os"
	"testing"
)

// TestMain runs the process that the crash test kills, when it is that process.
func TestMain(m *testing.M) {
	if os.Getenv("GARRISON_CRASH_CHILD") != "" {
		os.Exit(crashChild())
	}
	os.Exit(m.Run())
}
