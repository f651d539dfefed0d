package ledger

import (
	"context"
	"log/slog"
	"time"

	"garrison"
	"garrison/evidence"
)

// Config says where a ledger lies and how often it speaks.
type Config struct {
	Dir                string        // the log: tiles, entry bundles, checkpoint; may be published as it is
	KeyDir             string        // signing key and the kept copy of the last checkpoint; best on another disk
	Origin             string        // the log's name, first line of every checkpoint; never changes
	CheckpointInterval time.Duration // how often a checkpoint may be signed
	Beat               time.Duration // how often a heartbeat is entered
}

// DefaultConfig returns the settings that hold the promises of the package comment;
// Dir, KeyDir and Origin remain to be set.
func DefaultConfig() Config {
	return Config{CheckpointInterval: 500 * time.Millisecond, Beat: 5 * time.Second}
}

// Deps is what a ledger needs from others.
type Deps struct {
	Log *slog.Logger
	Now func() time.Time
	// Beat returns what a heartbeat says besides its own fields (at, from, to, …):
	// listeners, measures switched on. May be nil. Called every Config.Beat.
	Beat func() []evidence.Field
}

// Ledger is one running log. All methods are safe for concurrent use.
type Ledger struct{}

// New checks the configuration and builds a ledger; it touches nothing on disk.
func New(cfg Config, deps Deps) (*Ledger, error) { return &Ledger{}, nil }

// Start opens or creates the log. It refuses with code damaged when the directory is
// behind, or differs from, the checkpoint kept in KeyDir.
func (l *Ledger) Start(ctx context.Context) error { return notBuilt() }

// Stop enters the end, waits until a checkpoint covers everything, and closes.
func (l *Ledger) Stop(ctx context.Context) error { return notBuilt() }

// Append adds entries in order and returns where each stands, once all of them are on
// stable storage. After an error none of them counts as acknowledged, though some may
// be there: an entry that must not stand twice says so in its own text.
func (l *Ledger) Append(ctx context.Context, entries ...[]byte) ([]garrison.EvidenceRef, error) {
	return nil, notBuilt()
}

// Entry returns one entry.
func (l *Ledger) Entry(ctx context.Context, index uint64) ([]byte, error) { return nil, notBuilt() }

// Scan yields entries in order from the given index on, until the end of the log or
// yield's first error.
func (l *Ledger) Scan(ctx context.Context, from uint64, yield func(index uint64, entry []byte) error) error {
	return notBuilt()
}

// Receipt returns the proof that an entry stands in the log, for an outsider. For an
// entry that no checkpoint covers yet it waits, at most two seconds.
func (l *Ledger) Receipt(ctx context.Context, ref garrison.EvidenceRef) (evidence.Receipt, error) {
	return evidence.Receipt{}, notBuilt()
}

// Checkpoint returns the last signed checkpoint.
func (l *Ledger) Checkpoint(ctx context.Context) ([]byte, error) { return nil, notBuilt() }

// PublicKey returns the note verifier key of the log ("origin+hash+base64").
func (l *Ledger) PublicKey() string { return "" }

// Gaps returns the stretches of a period in which nobody watched: what lies between
// the end of one life of the installation and the start of the next.
func (l *Ledger) Gaps(ctx context.Context, period garrison.Period) ([]garrison.Gap, error) {
	return nil, notBuilt()
}

// Status is what the ledger says about itself.
type Status struct {
	Origin      string
	Size        uint64           // entries acknowledged
	Sealed      uint64           // entries covered by the last checkpoint
	Root        string           // root hash of the last checkpoint, base64 as in the checkpoint
	SealedUntil time.Time        // every entry acknowledged before this is covered by a checkpoint
	LastBeat    time.Time        // zero: none yet
	Started     time.Time        // of this life
	Checkpoints []CheckpointInfo // newest first, bounded, of this life
	Witnesses   int              // outside co-signers; 0 until witnesses exist
	SameDisk    bool             // key and log share a device: one theft takes both
	Fault       string           // why nothing is acknowledged or signed at present; empty: all is well
	Damaged     bool             // the fault is a difference found on disk, not a passing trouble
}

// CheckpointInfo is one signed checkpoint.
type CheckpointInfo struct {
	Size uint64
	Root string
	At   time.Time
}

// Status returns the present state.
func (l *Ledger) Status(ctx context.Context) (Status, error) { return Status{}, notBuilt() }

func notBuilt() error { return garrison.Errorf(garrison.Unavailable, "ledger: not built yet") }
