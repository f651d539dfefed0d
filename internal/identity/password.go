package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"garrison"

	"golang.org/x/crypto/argon2"
)

// HashCost is how dear one password guess is.
type HashCost struct {
	MemoryKiB uint32
	Passes    uint32
	Threads   uint8
}

// DefaultHashCost is argon2id with 19 MiB and two passes, about 40 ms here.
func DefaultHashCost() HashCost { return HashCost{MemoryKiB: 19 << 10, Passes: 2, Threads: 1} }

func (c HashCost) validate() error {
	if c.MemoryKiB < 64 || c.MemoryKiB > 1<<20 || c.Passes < 1 || c.Passes > 16 || c.Threads < 1 || c.Threads > 16 {
		return fmt.Errorf("password hash of %d KiB, %d passes, %d threads is out of bounds", c.MemoryKiB, c.Passes, c.Threads)
	}
	return nil
}

const (
	minPassword = 12 // characters
	maxPassword = 256
	saltLength  = 16
	hashLength  = 32
)

// checkPassword refuses what a guesser tries first. Length is what counts; there are
// no rules about kinds of characters, and no expiry.
func checkPassword(p Secret, login, name string) error {
	text := p.Reveal()
	n := utf8.RuneCountInString(text)
	if !utf8.ValidString(text) || n > maxPassword {
		return garrison.Refuse(garrison.Invalid, "error.identity.password_long", "max", maxPassword)
	}
	if n < minPassword {
		return garrison.Refuse(garrison.Invalid, "error.identity.password_short", "min", minPassword)
	}
	different := map[rune]bool{}
	for _, r := range text {
		different[r] = true
	}
	lower := strings.ToLower(text)
	if len(different) < 6 || strings.Contains(lower, login) || (len(name) > 3 && strings.Contains(lower, strings.ToLower(name))) {
		return garrison.Refuse(garrison.Invalid, "error.identity.password_easy")
	}
	return nil
}

// hashPassword returns the PHC string of a password.
func hashPassword(p Secret, c HashCost) (string, error) {
	salt := make([]byte, saltLength)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("salt a password: %w", err)
	}
	hash := argon2.IDKey([]byte(p.Reveal()), salt, c.Passes, c.MemoryKiB, c.Threads, hashLength)
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.MemoryKiB, c.Passes, c.Threads,
		b.EncodeToString(salt), b.EncodeToString(hash)), nil
}

// matchPassword compares a password with a PHC string and says at what cost it was
// hashed.
func matchPassword(p Secret, phc string) (matches bool, cost HashCost, err error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false, cost, garrison.Errorf(garrison.Damaged, "a stored password hash has an unknown form")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.MemoryKiB, &cost.Passes, &cost.Threads); err != nil {
		return false, cost, garrison.Errorf(garrison.Damaged, "a stored password hash has unknown settings")
	}
	if err := cost.validate(); err != nil {
		return false, cost, garrison.Errorf(garrison.Damaged, "a stored password hash has impossible settings: %w", err)
	}
	salt, errS := base64.RawStdEncoding.DecodeString(parts[4])
	want, errH := base64.RawStdEncoding.DecodeString(parts[5])
	if errS != nil || errH != nil || len(want) != hashLength {
		return false, cost, garrison.Errorf(garrison.Damaged, "a stored password hash is damaged")
	}
	got := argon2.IDKey([]byte(p.Reveal()), salt, cost.Passes, cost.MemoryKiB, cost.Threads, hashLength)
	return subtle.ConstantTimeCompare(got, want) == 1, cost, nil
}

// weaker says whether a stored hash is cheaper to guess than what is asked for now.
func (c HashCost) weaker(than HashCost) bool {
	return c.MemoryKiB < than.MemoryKiB || c.Passes < than.Passes
}

const slotPatience = 5 * time.Second

// slot waits for the right to hash one password: each takes 19 MiB, and whoever sends
// guesses by the thousand must not take the machine.
func (i *Identity) slot(ctx context.Context) (release func(), err error) {
	wait := time.NewTimer(slotPatience)
	defer wait.Stop()
	select {
	case i.slots <- struct{}{}:
		return func() { <-i.slots }, nil
	case <-wait.C:
		return nil, garrison.Refuse(garrison.Unavailable, "error.identity.busy")
	case <-ctx.Done():
		return nil, garrison.Errorf(garrison.Unavailable, "wait to check a password: %w", ctx.Err())
	}
}

func (i *Identity) hash(ctx context.Context, p Secret) (string, error) {
	release, err := i.slot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return hashPassword(p, i.cfg.Hash)
}

func (i *Identity) match(ctx context.Context, p Secret, phc string) (bool, HashCost, error) {
	if len(p) > 4*maxPassword {
		p = "" // never hashed at length, and never right
	}
	release, err := i.slot(ctx)
	if err != nil {
		return false, HashCost{}, err
	}
	defer release()
	return matchPassword(p, phc)
}
