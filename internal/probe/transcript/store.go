package transcript

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"garrison"
	"garrison/internal/state/atomicfile"
)

// MaxSize bounds one transcript.
const MaxSize = 64 << 20

const suffix = ".json"

// Config says where transcripts are kept.
type Config struct {
	Dir string
}

// Damage is one transcript that is not what it was.
type Damage struct {
	File   string
	Digest string
	What   string // "missing" | "altered" | "unreadable" | "stray"
}

// Store keeps transcripts as files. It is safe for concurrent use.
type Store struct{ dir string }

// New builds a store. It does no input or output.
func New(cfg Config) *Store { return &Store{dir: cfg.Dir} }

// Keep stores b durably and returns its digest. Keeping the same content again does
// nothing.
func (s *Store) Keep(ctx context.Context, b []byte) (string, error) {
	if len(b) > MaxSize {
		return "", garrison.Errorf(garrison.TooLarge, "transcript of %d bytes is larger than %d", len(b), MaxSize)
	}
	sum := sha256.Sum256(b)
	digest := hex.EncodeToString(sum[:])
	if old, err := s.Open(ctx, digest); err == nil && len(old) == len(b) {
		return digest, nil
	}
	path := s.path(digest)
	if err := makeDir(s.dir, filepath.Dir(path)); err != nil {
		return "", err
	}
	if err := atomicfile.WriteFile(path, b, 0o640); err != nil {
		return "", fmt.Errorf("keep transcript %s: %w", digest, err)
	}
	return digest, nil
}

// Open returns the transcript with the given digest after checking it. NotFound:
// there is none; Damaged: it is not what was kept.
func (s *Store) Open(_ context.Context, digest string) ([]byte, error) {
	if !isDigest(digest) {
		return nil, garrison.Errorf(garrison.Invalid, "transcript %.80q: not a SHA-256 digest", digest)
	}
	b, err := readFile(s.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, garrison.Errorf(garrison.NotFound, "transcript %s is not here", digest)
	}
	if err != nil {
		return nil, fmt.Errorf("open transcript %s: %w", digest, err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != digest {
		return nil, garrison.Errorf(garrison.Damaged, "transcript %q: its content has another digest than its name", s.path(digest))
	}
	return b, nil
}

func (s *Store) path(digest string) string {
	return filepath.Join(s.dir, digest[:2], digest+suffix)
}

// VerifyDir checks every transcript under dir against its name, and that every
// digest that known yields is there. A file that known does not yield is "stray":
// a run that was cut off leaves one, so it is worth a look, not an alarm.
func VerifyDir(ctx context.Context, dir string, known func(yield func(digest string) error) error, report func(Damage)) error {
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path == dir:
			return filepath.SkipDir // nothing was ever kept
		case err != nil:
			report(Damage{File: path, What: "unreadable"})
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir():
			return nil
		}
		verifyFile(path, seen, report)
		return nil
	})
	if err != nil {
		return fmt.Errorf("check transcripts in %q: %w", dir, err)
	}
	store := New(Config{Dir: dir})
	err = known(func(digest string) error {
		if !isDigest(digest) {
			report(Damage{Digest: digest, What: "missing"})
			return nil
		}
		if _, ok := seen[digest]; !ok {
			report(Damage{File: store.path(digest), Digest: digest, What: "missing"})
		}
		seen[digest] = true
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("check transcripts in %q: %w", dir, err)
	}
	for digest, wanted := range seen {
		if !wanted {
			report(Damage{File: store.path(digest), Digest: digest, What: "stray"})
		}
	}
	return nil
}

// verifyFile checks one file; seen gets its digest with false: nobody asked for it yet.
func verifyFile(path string, seen map[string]bool, report func(Damage)) {
	base := filepath.Base(path)
	digest, ok := strings.CutSuffix(base, suffix)
	if !ok || !isDigest(digest) || filepath.Base(filepath.Dir(path)) != digest[:2] {
		if !strings.HasSuffix(base, ".tmp") { // left by a crash, never referred to
			report(Damage{File: path, What: "stray"})
		}
		return
	}
	b, err := readFile(path)
	seen[digest] = false
	if err != nil {
		report(Damage{File: path, Digest: digest, What: "unreadable"})
		return
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != digest {
		report(Damage{File: path, Digest: digest, What: "altered"})
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	return b, nil
}

// makeDir makes the directory of a new transcript and syncs what refers to it.
func makeDir(root, dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the transcript directory: %w", err)
	}
	for _, d := range []string{root, filepath.Dir(root)} {
		f, err := os.Open(d)
		if err != nil {
			return fmt.Errorf("sync %q: %w", d, err)
		}
		err = errors.Join(f.Sync(), f.Close())
		if err != nil {
			return fmt.Errorf("sync %q: %w", d, err)
		}
	}
	return nil
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}
