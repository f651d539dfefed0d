package identity

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"garrison"
	"garrison/internal/state/atomicfile"
)

// keyring holds what lies outside the database: whoever can only write to the
// database can neither read a seed nor make a row that is believed.
type keyring struct {
	mac  []byte
	name []byte
	aead cipher.AEAD
}

const keyLength = 32

// openKeyring loads the key file; for a database without accounts it makes one.
func openKeyring(path string, fresh bool) (*keyring, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !fresh {
			return nil, garrison.Errorf(garrison.Damaged, "there are accounts, but their key %q is gone; put the key directory back from its backup", path)
		}
		return makeKeyring(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of the accounts: %w", err)
	}
	key, err := hex.DecodeString(string(bytes.TrimSuffix(raw, []byte("\n"))))
	if err != nil || len(key) != keyLength {
		return nil, garrison.Errorf(garrison.Damaged, "the key of the accounts %q cannot be read; put it back from its backup", path)
	}
	return newKeyring(key)
}

func makeKeyring(path string) (*keyring, error) {
	key := make([]byte, keyLength)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make the key of the accounts: %w", err)
	}
	if err := atomicfile.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		return nil, garrison.Errorf(garrison.Unavailable, "keep the key of the accounts: %w", err)
	}
	return newKeyring(key)
}

func newKeyring(key []byte) (*keyring, error) {
	derive := func(use string) ([]byte, error) {
		return hkdf.Key(sha256.New, key, nil, "garrison/identity/"+use, keyLength)
	}
	mac, errM := derive("mac")
	name, errN := derive("name")
	seal, errS := derive("seal")
	if err := errors.Join(errM, errN, errS); err != nil {
		return nil, fmt.Errorf("derive the keys of the accounts: %w", err)
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, fmt.Errorf("derive the keys of the accounts: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive the keys of the accounts: %w", err)
	}
	return &keyring{mac: mac, name: name, aead: aead}, nil
}

// sum vouches for the columns of one row of one table.
func (k *keyring) sum(table string, fields ...any) string {
	return keyed(k.mac, append([]any{table}, fields...)...)
}

// holds checks what sum made.
func (k *keyring) holds(mac, table string, fields ...any) bool {
	return hmac.Equal([]byte(mac), []byte(k.sum(table, fields...)))
}

// blind turns a name that somebody typed into one that says nothing.
func (k *keyring) blind(fields ...any) string { return keyed(k.name, fields...)[:32] }

func keyed(key []byte, fields ...any) string {
	h := hmac.New(sha256.New, key)
	for _, f := range fields {
		s := fmt.Sprint(f)
		fmt.Fprintf(h, "%d:%s,", len(s), s) // length first, so that no two rows look alike
	}
	return hex.EncodeToString(h.Sum(nil))
}

// seal encrypts a text for one purpose (a table and a row); elsewhere it does not open.
func (k *keyring) seal(text []byte, purpose string) (string, error) {
	nonce := make([]byte, k.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return base64.RawStdEncoding.EncodeToString(k.aead.Seal(nonce, nonce, text, []byte(purpose))), nil
}

func (k *keyring) open(sealed, purpose string) ([]byte, error) {
	raw, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < k.aead.NonceSize() {
		return nil, garrison.Errorf(garrison.Damaged, "a sealed value of the accounts is damaged (%s)", purpose)
	}
	text, err := k.aead.Open(nil, raw[:k.aead.NonceSize()], raw[k.aead.NonceSize():], []byte(purpose))
	if err != nil {
		return nil, garrison.Errorf(garrison.Damaged, "a sealed value of the accounts does not open with the present key (%s)", purpose)
	}
	return text, nil
}

// randomSecret returns 256 random bits after a prefix.
func randomSecret(prefix string) (Secret, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make a secret: %w", err)
	}
	return Secret(prefix + base64.RawURLEncoding.EncodeToString(b[:])), nil
}

// digest is what is stored of a random secret. It needs no salt and no slowness,
// because there is nothing to guess in 256 random bits.
func digest(s Secret) string {
	h := sha256.Sum256([]byte(s.Reveal()))
	return hex.EncodeToString(h[:])
}
