package ledger

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"garrison/evidence"
)

// appendUntilKilled is the program of TestKilledAtRandomLosesNothingAcknowledged.
func appendUntilKilled(dir string) {
	cfg := DefaultConfig()
	cfg.Dir, cfg.KeyDir = filepath.Join(dir, "ledger"), filepath.Join(dir, "keys")
	cfg.Origin, cfg.CheckpointInterval = "garrison.example/test", 200*time.Millisecond
	l, err := New(cfg, Deps{Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Now: time.Now})
	if err == nil {
		err = l.Start(context.Background())
	}
	limit := -1
	if n, convErr := strconv.Atoi(os.Getenv(killedAfter)); convErr == nil {
		limit = n
	}
	for i := 0; err == nil && i != limit; i++ {
		var entries [][]byte
		for k := range 1 + i%40 {
			entries = append(entries, evidence.NewEntry("config", "number", fmt.Sprintf("%d.%d.%d", os.Getpid(), i, k)).Marshal())
		}
		refs, appendErr := l.Append(context.Background(), entries...)
		for k, ref := range refs {
			fmt.Printf("%d %d.%d.%d\n", ref.Index, os.Getpid(), i, k)
		}
		err = appendErr
	}
	fmt.Fprintln(os.Stderr, "the appending program:", err)
	os.Exit(1)
}
