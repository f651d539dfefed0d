package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"garrison"
	"garrison/internal/state/atomicfile"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// Files in KeyDir.
const (
	secretFile = "ledger.key"        // note signer key, mode 0600
	publicFile = "ledger.pub"        // note verifier key; what outsiders need
	keptFile   = "ledger.checkpoint" // the kept copy of the last checkpoints
	maxKeyFile = 16 << 10            // no file of KeyDir is larger
	keptMode   = fs.FileMode(0o600)  // the directory is private anyway
	publicMode = fs.FileMode(0o644)  // meant to be handed out
	secretMode = fs.FileMode(0o600)  // only the installation's own user
)

// keys is what is kept apart from the log.
type keys struct {
	dir      string
	origin   string
	public   string
	signer   note.Signer
	verifier note.Verifier
}

// openKeys loads the key, or makes one for a log that is not begun yet. A log that
// exists never gets a new key: that would be a new log under an old name.
func openKeys(dir, origin string, empty, begun bool) (*keys, error) {
	secret, err := readSmall(filepath.Join(dir, secretFile))
	if errors.Is(err, fs.ErrNotExist) {
		if !empty || begun {
			return nil, garrison.Errorf(garrison.Damaged,
				"the ledger has entries, but its key %q is gone; put the key directory back from its backup", filepath.Join(dir, secretFile))
		}
		return makeKeys(dir, origin)
	}
	if err != nil {
		return nil, fmt.Errorf("read the ledger's key: %w", err)
	}
	signer, err := note.NewSigner(string(bytes.TrimSpace(secret)))
	if err != nil {
		// The cause is left out: it could quote the key.
		return nil, garrison.Errorf(garrison.Damaged, "the ledger's key %q cannot be read; put it back from its backup", filepath.Join(dir, secretFile))
	}
	k, err := openPublic(dir, origin)
	if err != nil {
		return nil, err
	}
	if signer.Name() != k.verifier.Name() || signer.KeyHash() != k.verifier.KeyHash() {
		return nil, garrison.Errorf(garrison.Damaged, "%s and %s in %q do not belong together", secretFile, publicFile, dir)
	}
	k.signer = signer
	return k, nil
}

// openPublic loads the public key alone; it is enough to verify.
func openPublic(dir, origin string) (*keys, error) {
	path := filepath.Join(dir, publicFile)
	raw, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, garrison.Errorf(garrison.Damaged, "the ledger's public key %q is missing; put it back from its backup", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the ledger's public key: %w", err)
	}
	text, ok := bytes.CutSuffix(raw, []byte("\n"))
	verifier, err := note.NewVerifier(string(text))
	if err != nil || !ok || !bytes.Contains(text, fmt.Appendf(nil, "+%08x+", verifier.KeyHash())) {
		return nil, garrison.Errorf(garrison.Damaged, "the ledger's public key %q cannot be read; put it back from its backup", path)
	}
	if origin != "" && verifier.Name() != origin {
		return nil, garrison.Errorf(garrison.Invalid, "the key in %q belongs to the ledger %q, not to %q", dir, verifier.Name(), origin)
	}
	return &keys{dir: dir, origin: verifier.Name(), public: string(text), verifier: verifier}, nil
}

// makeKeys writes the secret key last: a crash in between leaves a public key that
// nothing was signed with, and the next start makes another pair.
func makeKeys(dir, origin string) (*keys, error) {
	secret, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("make the ledger's key: %w", err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, errors.New("make the ledger's key: the new key cannot be read back")
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, publicFile), []byte(public+"\n"), publicMode); err != nil {
		return nil, garrison.Errorf(garrison.Unavailable, "keep the ledger's public key: %w", err)
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, secretFile), []byte(secret+"\n"), secretMode); err != nil {
		return nil, garrison.Errorf(garrison.Unavailable, "keep the ledger's key: %w", err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return nil, fmt.Errorf("make the ledger's key: %w", err)
	}
	return &keys{dir: dir, origin: origin, public: public, signer: signer, verifier: verifier}, nil
}

// parse checks the signature of a checkpoint and reads it.
func (k *keys) parse(raw []byte) (log.Checkpoint, error) {
	cp, rest, _, err := log.ParseCheckpoint(raw, k.origin, k.verifier)
	if err != nil {
		return log.Checkpoint{}, err
	}
	// Everything in the file must be under the signature or be it: what the parser
	// passes over could be changed unseen.
	if !bytes.Equal(raw, k.canonical(*cp, raw)) || len(rest) > 0 || len(cp.Hash) != hasher.Size() {
		return log.Checkpoint{}, errors.New("it holds more than a checkpoint and its signature")
	}
	return *cp, nil
}

// canonical rebuilds the bytes of a checkpoint with the one signature line it has.
func (k *keys) canonical(cp log.Checkpoint, raw []byte) []byte {
	text := cp.Marshal()
	if len(raw) <= len(text) {
		return nil
	}
	n, err := note.Open(raw, note.VerifierList(k.verifier))
	if err != nil || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 {
		return nil
	}
	// The note library tolerates stray bits in the last base64 character.
	if _, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64); err != nil {
		return nil
	}
	return fmt.Appendf(text, "\n— %s %s\n", n.Sigs[0].Name, n.Sigs[0].Base64)
}

// kept is the copy of the last checkpoint that is kept apart from the log, so that a
// log directory rolled back to an older state is noticed.
// It is durable before the signature leaves the signer; until the log's own file is
// replaced that one still holds the checkpoint before, which is therefore kept too.
type kept struct {
	Latest   string `json:"latest"`
	Previous string `json:"previous"`
}

func (k *keys) readKept() (kept, error) {
	path := filepath.Join(k.dir, keptFile)
	raw, err := readSmall(path)
	if err != nil {
		return kept{}, err
	}
	var c kept
	if err := json.Unmarshal(raw, &c); err != nil {
		return kept{}, garrison.Errorf(garrison.Damaged, "the kept copy of the last checkpoint %q cannot be read: %w", path, err)
	}
	if again, err := c.marshal(); err != nil || !bytes.Equal(again, raw) {
		return kept{}, garrison.Errorf(garrison.Damaged, "the kept copy of the last checkpoint %q is not in the form it was written in", path)
	}
	return c, nil
}

func (k *keys) writeKept(c kept) error {
	raw, err := c.marshal()
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(k.dir, keptFile), raw, keptMode)
}

func (c kept) marshal() ([]byte, error) {
	raw, err := json.MarshalIndent(c, "", " ")
	return append(raw, '\n'), err
}

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKeyFile || !info.Mode().IsRegular() {
		return nil, garrison.Errorf(garrison.Damaged, "%q has %d bytes, expected at most %d", path, info.Size(), maxKeyFile)
	}
	return os.ReadFile(path)
}

// format returns the signed note of a checkpoint, as the note library will write it.
func (k *keys) format(text, sig []byte) []byte {
	hash := binary.BigEndian.AppendUint32(nil, k.signer.KeyHash())
	line := base64.StdEncoding.EncodeToString(append(hash, sig...))
	return fmt.Appendf(bytes.Clone(text), "\n— %s %s\n", k.signer.Name(), line)
}
