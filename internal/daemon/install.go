package daemon

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"garrison"
	"garrison/internal/config"
	"garrison/internal/ledger"
	"garrison/internal/probe/transcript"
	"garrison/internal/records"
	"garrison/internal/state"
	"garrison/internal/state/atomicfile"
)

// install is what a data directory must know about itself before anything is read:
// it lets "garrison verify" find the keys and the database of a stopped installation.
type install struct {
	Format  int       `json:"format"`
	Keys    string    `json:"keys"`
	Origin  string    `json:"origin"`
	Engine  string    `json:"engine"`
	DSNFile string    `json:"dsn_file,omitempty"`
	Made    time.Time `json:"made"`
}

const installFormat = 1

// Ready is what a running installation tells the machine it runs on.
type Ready struct {
	Console       string            `json:"console"`
	API           string            `json:"api"`
	TokenFile     string            `json:"token_file"`
	PublicKeyFile string            `json:"public_key_file"`
	CAFile        string            `json:"ca_file,omitempty"`
	Fingerprint   string            `json:"fingerprint"`
	Listeners     map[string]string `json:"listeners"`
	PID           int               `json:"pid"`
}

func installPath(data string) string { return filepath.Join(data, "install.json") }

// ReadyPath is where a running installation's [Ready] stands.
func ReadyPath(data string) string { return filepath.Join(data, "ready.json") }

func readInstall(data string) (install, error) {
	var in install
	raw, err := os.ReadFile(installPath(data))
	if err != nil {
		return in, err
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return in, garrison.Errorf(garrison.Damaged, "%s: %w", installPath(data), err)
	}
	if in.Format != installFormat {
		return in, garrison.Errorf(garrison.Invalid, "data directory %q has format %d; this program reads format %d", data, in.Format, installFormat)
	}
	return in.at(data), nil
}

// makeData makes the data directory and finds out whether it can be written at all.
func makeData(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make directory %q: %w; name one this user may write to with --data", dir, err)
	}
	probe := filepath.Join(dir, ".writable")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return fmt.Errorf("data directory %q cannot be written: %w; check its owner, its mode and whether the file system is mounted read-only or full", dir, err)
	}
	if err := os.Remove(probe); err != nil {
		return fmt.Errorf("data directory %q: %w", dir, err)
	}
	return nil
}

// ensureInstall makes the directories and the installation's own description. The
// caller holds the directory's lock: the description is not two instances' to write.
func ensureInstall(cfg config.Config, now time.Time) (install, error) {
	in, err := readInstall(cfg.Data)
	switch {
	case errors.Is(err, os.ErrNotExist):
		in = install{Format: installFormat, Origin: cfg.Ledger.Origin, Made: now.UTC(), Engine: cfg.State.Engine, Keys: cfg.KeyDir()}
		if in.Origin == "" {
			in.Origin = newOrigin()
		}
	case err != nil:
		return install{}, err
	default:
		if err := in.agrees(cfg); err != nil {
			return install{}, err
		}
	}
	if cfg.Keys != "" {
		in.Keys = cfg.Keys
	}
	in.DSNFile = cfg.State.DSNFile
	for dir, mode := range map[string]os.FileMode{
		in.Keys: 0o700, filepath.Join(cfg.Data, "state"): 0o700, filepath.Join(cfg.Data, "evidence"): 0o755,
		filepath.Join(cfg.Data, "records"): 0o700, filepath.Join(cfg.Data, "ledger"): 0o755,
	} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return install{}, fmt.Errorf("make directory %q: %w; name one this user may write to with --data (and --keys)", dir, err)
		}
	}
	if in.Keys, err = keyPath(cfg.Data, in.Keys); err != nil {
		return install{}, err
	}
	raw, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		return install{}, err
	}
	if err := atomicfile.WriteFile(installPath(cfg.Data), append(raw, '\n'), 0o644); err != nil {
		return install{}, err
	}
	return in.at(cfg.Data), nil
}

// agrees refuses a configuration that speaks of another installation than this one.
func (in install) agrees(cfg config.Config) error {
	if cfg.Ledger.Origin != "" && cfg.Ledger.Origin != in.Origin {
		return garrison.Errorf(garrison.Conflict, "ledger.origin is %q but this installation's log is called %q; a log keeps its name for ever", cfg.Ledger.Origin, in.Origin)
	}
	if in.Engine != cfg.State.Engine {
		return garrison.Errorf(garrison.Conflict, "state.engine is %s but this installation keeps its state in %s, which cannot be changed; set it back, or begin a new installation in another directory", cfg.State.Engine, in.Engine)
	}
	if cfg.Keys == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(cfg.Keys, "ledger")); err != nil {
		return garrison.Errorf(garrison.Conflict, "the keys of this installation are in %q, and %q holds none (%w); move them there first, or leave out --keys", in.Keys, cfg.Keys, err)
	}
	return nil
}

// keyPath is how the key directory is written down: relative where it lies below the
// data directory, so that a copy of the whole finds its own keys, else absolute.
func keyPath(data, keys string) (string, error) {
	d, err := filepath.Abs(data)
	if err != nil {
		return "", fmt.Errorf("data directory %q: %w", data, err)
	}
	k, err := filepath.Abs(keys)
	if err != nil {
		return "", fmt.Errorf("key directory %q: %w", keys, err)
	}
	if rel, err := filepath.Rel(d, k); err == nil && filepath.IsLocal(rel) {
		return rel, nil
	}
	return k, nil
}

// at makes the key directory a path that can be opened.
func (in install) at(data string) install {
	if !filepath.IsAbs(in.Keys) {
		in.Keys = filepath.Join(data, in.Keys)
	}
	return in
}

// newOrigin names a log after the machine, with enough chance that no two share it.
func newOrigin() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "garrison"
	}
	host = strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("daemon: no randomness: " + err.Error())
	}
	return host + "/garrison/" + hex.EncodeToString(b[:])
}

// layout is where the parts of an installation lie.
type layout struct {
	ledger     ledger.Config
	records    records.Config
	state      state.Config
	transcript transcript.Config
}

func (in install) layout(data string) layout {
	l := layout{ledger: ledger.DefaultConfig(), records: records.DefaultConfig(), state: state.DefaultConfig()}
	l.ledger.Dir, l.ledger.KeyDir, l.ledger.Origin = filepath.Join(data, "ledger"), filepath.Join(in.Keys, "ledger"), in.Origin
	l.records.Dir, l.records.KeyDir = filepath.Join(data, "records"), filepath.Join(in.Keys, "records")
	l.transcript.Dir = filepath.Join(data, "evidence")
	l.state.Engine, l.state.DSNFile = in.Engine, in.DSNFile
	if in.Engine == state.SQLite {
		l.state.Path = filepath.Join(data, "state", "garrison.db")
	}
	return l
}
