package records

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"garrison"
	"garrison/evidence"
	"garrison/internal/state/atomicfile"
)

// keyring holds the secret of each day, from which the chunk keys come. Without a
// day's secret the salted leaves in the ledger say nothing about records of that day.
// It is safe for concurrent use.
type keyring struct {
	dir  string
	mu   sync.Mutex // guards days
	days map[string][32]byte
}

func newKeyring(dir string) *keyring { return &keyring{dir: dir, days: map[string][32]byte{}} }

const keyHead = "garrison-record-key/v1"

func dayOf(second int64) string { return time.Unix(second, 0).UTC().Format("20060102") }

func keyFile(day string) string { return "records-" + day + ".key" }

// chunk returns the key of one chunk; make creates the day's secret when there is
// none.
func (k *keyring) chunk(id garrison.ChunkID, make bool) (evidence.ChunkKey, error) {
	secret, err := k.day(dayOf(id.Second), make)
	if err != nil {
		return evidence.ChunkKey{}, err
	}
	m := hmac.New(sha256.New, secret[:])
	m.Write([]byte("garrison chunk key/v1"))
	m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(id.Kind))))
	m.Write([]byte(id.Kind))
	m.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, uint32(id.Shard)), uint64(id.Second)))
	return evidence.ChunkKey(m.Sum(nil)), nil
}

func (k *keyring) day(day string, create bool) ([32]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s, ok := k.days[day]; ok {
		return s, nil
	}
	s, err := k.load(day)
	if errors.Is(err, fs.ErrNotExist) && create {
		s, err = k.create(day)
	}
	if err != nil {
		return s, err
	}
	if len(k.days) > 128 {
		clear(k.days)
	}
	k.days[day] = s
	return s, nil
}

// errKey says that a key file is not what was written.
var errKey = errors.New("the check sum of the key is wrong")

func (k *keyring) load(day string) (s [32]byte, err error) {
	b, err := os.ReadFile(filepath.Join(k.dir, keyFile(day)))
	if err != nil {
		return s, fmt.Errorf("read chunk key of day %s: %w", day, err)
	}
	f := strings.Fields(string(b))
	if len(f) != 4 || string(b) != strings.Join(f, " ")+"\n" || f[0] != keyHead || f[1] != day || len(f[2]) != 64 {
		return s, fmt.Errorf("read chunk key of day %s: %w", day, errKey)
	}
	if _, err := hex.Decode(s[:], []byte(f[2])); err != nil || f[3] != keySum(day, s) || f[2] != hex.EncodeToString(s[:]) {
		return s, fmt.Errorf("read chunk key of day %s: %w", day, errKey)
	}
	return s, nil
}

func keySum(day string, s [32]byte) string {
	sum := sha256.Sum256(append([]byte(keyHead+day), s[:]...))
	return hex.EncodeToString(sum[:8])
}

func (k *keyring) create(day string) (s [32]byte, err error) {
	if _, err := rand.Read(s[:]); err != nil {
		return s, fmt.Errorf("make chunk key of day %s: %w", day, err)
	}
	text := fmt.Sprintf("%s %s %x %s\n", keyHead, day, s, keySum(day, s))
	if err := atomicfile.WriteFile(filepath.Join(k.dir, keyFile(day)), []byte(text), 0o600); err != nil {
		return s, fmt.Errorf("make chunk key of day %s: %w", day, err)
	}
	return s, nil
}

// forget drops a day's secret from memory; its file is removed with the records.
func (k *keyring) forget(day string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.days, day)
}
