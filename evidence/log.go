package evidence

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MaxCheckpoint is the most bytes a signed checkpoint can have.
	MaxCheckpoint = 64 << 10
	// MaxReceipt is the most bytes a receipt can have.
	MaxReceipt = 128 << 10

	maxKeys  = 64
	maxProof = 64 // hashes; a tree of maxTree entries needs 48
)

// ErrOriginNotChecked says that all that could be checked without a key was right.
// It does not say that the thing is genuine: anybody can make a consistent log.
var ErrOriginNotChecked = errors.New("consistent; origin not checked")

// EntryHash returns the hash under which entry stands in the log's tree (RFC 6962).
func EntryHash(entry []byte) [32]byte { return tlog.RecordHash(entry) }

// Keys are the public keys of logs that a verifier trusts. The zero Keys trusts none.
type Keys struct{ list []note.Verifier }

// ParseKeys reads note verifier keys (name+hash+key), one a line. Blank lines and
// lines that start with # are skipped.
func ParseKeys(text []byte) (Keys, error) {
	if len(text) > MaxCheckpoint {
		return Keys{}, fmt.Errorf("key file has %d bytes, more than %d", len(text), MaxCheckpoint)
	}
	var k Keys
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := note.NewVerifier(line)
		if err != nil {
			return Keys{}, fmt.Errorf("line %d of the key file, %.200q: %w", i+1, line, err)
		}
		if slices.ContainsFunc(k.list, func(o note.Verifier) bool { return o.Name() == v.Name() && o.KeyHash() == v.KeyHash() }) {
			return Keys{}, fmt.Errorf("line %d of the key file: the key of %q stands there twice", i+1, v.Name())
		}
		if k.list = append(k.list, v); len(k.list) > maxKeys {
			return Keys{}, fmt.Errorf("key file has more than %d keys", maxKeys)
		}
	}
	if len(k.list) == 0 {
		return Keys{}, errors.New("key file holds no key")
	}
	return k, nil
}

// Empty says that nothing is trusted.
func (k Keys) Empty() bool { return len(k.list) == 0 }

// Checkpoint is what a log's signature covers (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin     string
	Size       uint64
	Root       [32]byte
	Extensions []string // lines this package gives no meaning
}

// Text returns the text that is signed.
func (c Checkpoint) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	for _, x := range c.Extensions {
		b.WriteString(x + "\n")
	}
	return b.String()
}

// ParseCheckpoint reads a signed checkpoint without looking at its signatures.
func ParseCheckpoint(signed []byte) (Checkpoint, error) {
	c, _, err := openNote(signed, nil)
	return c, err
}

// OpenCheckpoint reads a signed checkpoint and checks that the log it names has
// signed it with one of the trusted keys. Without keys it returns the checkpoint and
// [ErrOriginNotChecked].
func OpenCheckpoint(signed []byte, trusted Keys) (Checkpoint, error) {
	c, by, err := openNote(signed, trusted.list)
	switch {
	case err != nil:
		return Checkpoint{}, err
	case trusted.Empty():
		return c, ErrOriginNotChecked
	// C2SP tlog-checkpoint: the log's key carries the origin as its name. A trusted
	// key of one log must not vouch for another.
	case !slices.ContainsFunc(by, func(s note.Signature) bool { return s.Name == c.Origin }):
		return Checkpoint{}, fmt.Errorf("checkpoint of %q is not signed by a trusted key of that log", c.Origin)
	}
	return c, nil
}

// openNote returns the checkpoint and the signatures that known keys verify.
func openNote(signed []byte, known []note.Verifier) (Checkpoint, []note.Signature, error) {
	if len(signed) > MaxCheckpoint {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint has %d bytes, more than %d", len(signed), MaxCheckpoint)
	}
	n, err := note.Open(signed, note.VerifierList(known...))
	if un := (*note.UnverifiedNoteError)(nil); errors.As(err, &un) {
		n, err = un.Note, nil
	}
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w", err)
	}
	c, err := parseCheckpointText(n.Text)
	return c, n.Sigs, err
}

func parseCheckpointText(text string) (Checkpoint, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 || lines[0] == "" {
		return Checkpoint{}, errors.New("checkpoint does not have the lines origin, size and root")
	}
	size, err := parseNumber(lines[1])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint size: %w", err)
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint root: %w", err)
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: root, Extensions: lines[3:]}
	if len(c.Extensions) == 0 {
		c.Extensions = nil
	}
	if slices.Contains(c.Extensions, "") || c.Text() != text {
		return Checkpoint{}, errors.New("checkpoint is not in its canonical form")
	}
	return c, nil
}

// parseNumber reads a decimal number in its only spelling, up to maxTree.
func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != s || n > maxTree {
		return 0, fmt.Errorf("%.80q is not a number between 0 and 2^48 in plain decimal", s)
	}
	return n, nil
}

// parseHash reads a SHA-256 hash in its only base64 spelling.
func parseHash(s string) ([32]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 32 || base64.StdEncoding.EncodeToString(b) != s {
		return [32]byte{}, fmt.Errorf("%.80q is not a hash in base64", s)
	}
	return [32]byte(b), nil
}

// VerifyInclusion checks that an entry with the given hash is number index of the
// log as it was at c.
func VerifyInclusion(c Checkpoint, index uint64, entryHash [32]byte, proof [][32]byte) error {
	if c.Size > maxTree || index >= c.Size {
		return fmt.Errorf("entry %d is not among the %d entries of the checkpoint", index, c.Size)
	}
	if err := tlog.CheckRecord(tlogHashes(proof), int64(c.Size), c.Root, int64(index), entryHash); err != nil {
		return fmt.Errorf("entry %d is not in the log of the checkpoint: %w", index, err)
	}
	return nil
}

// VerifyConsistency checks that the log at newer holds all that it held at older, in
// the same order.
func VerifyConsistency(older, newer Checkpoint, proof [][32]byte) error {
	switch {
	case older.Origin != newer.Origin:
		return fmt.Errorf("checkpoints are of two logs, %q and %q", older.Origin, newer.Origin)
	case newer.Size > maxTree || older.Size > newer.Size:
		return fmt.Errorf("the log shrank from %d to %d entries", older.Size, newer.Size)
	case older.Size == 0 && len(proof) == 0:
		return nil // every log continues the empty one
	}
	err := tlog.CheckTree(tlogHashes(proof), int64(newer.Size), newer.Root, int64(older.Size), older.Root)
	if err != nil {
		return fmt.Errorf("the log of %d entries does not continue the one of %d: %w", newer.Size, older.Size, err)
	}
	return nil
}

func tlogHashes(p [][32]byte) []tlog.Hash {
	h := make([]tlog.Hash, len(p))
	for i := range p {
		h[i] = p[i]
	}
	return h
}

// Receipt shows that an entry is in a log; it can be given to anybody and checked
// without the log. Its text form is that of C2SP tlog-proof.
type Receipt struct {
	Origin      string // as in Checkpoint
	Index, Size uint64
	Proof       [][32]byte
	Checkpoint  []byte // signed
}

const receiptHead = "c2sp.org/tlog-proof@v1\n"

// MarshalText returns the text form of r.
func (r Receipt) MarshalText() ([]byte, error) {
	c, err := ParseCheckpoint(r.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("marshal receipt: %w", err)
	}
	if c.Origin != r.Origin || c.Size != r.Size {
		return nil, fmt.Errorf("marshal receipt: it is for %q at %d entries, its checkpoint for %q at %d", r.Origin, r.Size, c.Origin, c.Size)
	}
	b := append([]byte(receiptHead), proofLines(r.Index, r.Proof)...)
	return append(append(b, '\n'), r.Checkpoint...), nil
}

func proofLines(index uint64, proof [][32]byte) []byte {
	b := fmt.Appendf(nil, "index %d\n", index)
	for i := range proof {
		b = base64.StdEncoding.AppendEncode(b, proof[i][:])
		b = append(b, '\n')
	}
	return b
}

// UnmarshalText reads the text form. Opaque extra data, which the format allows, are
// refused: nothing would protect them.
func (r *Receipt) UnmarshalText(text []byte) error {
	if len(text) > MaxReceipt {
		return fmt.Errorf("receipt has %d bytes, more than %d", len(text), MaxReceipt)
	}
	rest, ok := bytes.CutPrefix(text, []byte(receiptHead))
	if !ok {
		return fmt.Errorf("receipt does not start with %q", receiptHead)
	}
	head, signed, ok := bytes.Cut(rest, []byte("\n\n"))
	if !ok {
		return errors.New("receipt has no checkpoint after an empty line")
	}
	index, proof, err := parseProofLines(string(head))
	if err != nil {
		return fmt.Errorf("read receipt: %w", err)
	}
	c, err := ParseCheckpoint(signed)
	if err != nil {
		return fmt.Errorf("read receipt: %w", err)
	}
	*r = Receipt{Origin: c.Origin, Index: index, Size: c.Size, Proof: proof, Checkpoint: bytes.Clone(signed)}
	return nil
}

func parseProofLines(s string) (index uint64, proof [][32]byte, err error) {
	lines := strings.Split(s, "\n")
	number, ok := strings.CutPrefix(lines[0], "index ")
	if !ok {
		return 0, nil, fmt.Errorf("%.80q stands where the index should", lines[0])
	}
	if index, err = parseNumber(number); err != nil {
		return 0, nil, fmt.Errorf("index: %w", err)
	}
	if len(lines)-1 > maxProof {
		return 0, nil, fmt.Errorf("proof has %d hashes, more than %d", len(lines)-1, maxProof)
	}
	for _, l := range lines[1:] {
		h, err := parseHash(l)
		if err != nil {
			return 0, nil, fmt.Errorf("proof: %w", err)
		}
		proof = append(proof, h)
	}
	return index, proof, nil
}

// Verify checks that entry is in a trusted log, by its receipt. Without trusted keys
// it checks what it can and returns [ErrOriginNotChecked] at best.
func Verify(entry []byte, r Receipt, trusted Keys) error {
	c, origin := OpenCheckpoint(r.Checkpoint, trusted)
	if origin != nil && !errors.Is(origin, ErrOriginNotChecked) {
		return origin
	}
	if c.Origin != r.Origin || c.Size != r.Size {
		return fmt.Errorf("receipt is for %q at %d entries, its checkpoint for %q at %d", r.Origin, r.Size, c.Origin, c.Size)
	}
	if err := VerifyInclusion(c, r.Index, EntryHash(entry), r.Proof); err != nil {
		return err
	}
	return origin
}
