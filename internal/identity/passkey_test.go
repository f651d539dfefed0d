package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"garrison/internal/state"
	"garrison/internal/state/statetest"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// authenticator is a passkey in software: enough of WebAuthn level 2 to register and
// to sign in, with switches for what a bad one does.
type authenticator struct {
	t        *testing.T
	key      *ecdsa.PrivateKey
	id       []byte
	user     []byte
	count    uint32
	origin   string
	unproved bool // does not check its owner
}

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &authenticator{t: t, key: key, id: []byte("a credential id of 32 bytes ....")[:32], origin: "https://localhost:8443"}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *authenticator) clientData(kind, challenge string) []byte {
	raw, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

// data is the authenticator data: RP id hash, flags, counter, and the key if new.
func (a *authenticator) data(attested []byte) []byte {
	rp := sha256.Sum256([]byte("localhost"))
	flags := byte(0x01 | 0x04) // user present, user verified
	if a.unproved {
		flags = 0x01
	}
	if attested != nil {
		flags |= 0x40
	}
	out := append(rp[:], flags)
	a.count++
	return append(binary.BigEndian.AppendUint32(out, a.count), attested...)
}

func (a *authenticator) cbor(v any) []byte {
	raw, err := webauthncbor.Marshal(v)
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

func (a *authenticator) register(options []byte) []byte {
	var o struct {
		PublicKey struct {
			Challenge string `json:"challenge"`
			User      struct {
				ID string `json:"id"`
			} `json:"user"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		a.t.Fatal(err)
	}
	user, err := base64.RawURLEncoding.DecodeString(o.PublicKey.User.ID)
	if err != nil {
		a.t.Fatal(err)
	}
	a.user = user
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	cose := a.cbor(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	attested := append(make([]byte, 16), 0, byte(len(a.id)))
	attested = append(append(attested, a.id...), cose...)
	object := a.cbor(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": a.data(attested)})
	return a.answer(map[string]any{"attestationObject": b64(object), "clientDataJSON": b64(a.clientData("webauthn.create", o.PublicKey.Challenge))})
}

func (a *authenticator) login(options []byte) []byte {
	var o struct {
		PublicKey struct {
			Challenge string `json:"challenge"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		a.t.Fatal(err)
	}
	client := a.clientData("webauthn.get", o.PublicKey.Challenge)
	data := a.data(nil)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(bytes.Clone(data), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.answer(map[string]any{"authenticatorData": b64(data), "clientDataJSON": b64(client), "signature": b64(sig), "userHandle": b64(a.user)})
}

func (a *authenticator) answer(response map[string]any) []byte {
	raw, err := json.Marshal(map[string]any{"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

func (h *house) addKey(p person, a *authenticator) {
	h.t.Helper()
	c, err := h.BeginRegister(h.t.Context(), p.token)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.FinishRegister(h.t.Context(), p.token, c.Handle, "yubikey", a.register(c.Options)); err != nil {
		h.t.Fatalf("add a passkey: %v", err)
	}
}

func TestPasskeySignsIn(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		p, a := h.first(), newAuthenticator(h.t)
		h.addKey(p, a)
		c, err := h.BeginLogin(ctx, away)
		if err != nil {
			t.Fatal(err)
		}
		answer := a.login(c.Options)
		s, token, err := h.FinishLogin(ctx, c.Handle, answer, away, "Firefox")
		if err != nil || s.Account.ID != p.account.ID || s.Method != "passkey" {
			t.Fatalf("session %+v, %v", s, err)
		}
		if _, err := h.Session(ctx, token); err != nil {
			t.Errorf("session: %v", err)
		}
		_, _, err = h.FinishLogin(ctx, c.Handle, answer, away, "Firefox")
		wantKey(t, "the same answer again", err, "error.identity.secret_wrong")
		keys, err := h.Passkeys(ctx, p.account.ID)
		if err != nil || len(keys) != 1 || keys[0].LastUsed.IsZero() {
			t.Fatalf("passkeys %+v, %v", keys, err)
		}
		if acc, err := h.Account(ctx, p.account.ID); err != nil || acc.Passkeys != 1 || !acc.TOTP {
			t.Errorf("account %+v, %v", acc, err)
		}
		h.mustBeSound()
		if err := h.RemovePasskey(ctx, p.account.ID, keys[0].ID, boss); err != nil {
			t.Fatal(err)
		}
		_, _, err = h.loginWith(a)
		wantKey(t, "removed passkey", err, "error.identity.passkey_wrong")
		h.mustBeSound()
	})
}

func (h *house) loginWith(a *authenticator) (Session, Secret, error) {
	h.t.Helper()
	c, err := h.BeginLogin(h.t.Context(), away)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.FinishLogin(h.t.Context(), c.Handle, a.login(c.Options), away, "")
}

func TestBadPasskeysAreRefused(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	p, a := h.first(), newAuthenticator(t)
	h.addKey(p, a)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := *a
	for name, spoil := range map[string]func(b *authenticator){
		"otherOrigin":   func(b *authenticator) { b.origin = "https://localhost.evil.example:8443" },
		"otherKey":      func(b *authenticator) { b.key = other },
		"ownerUnproved": func(b *authenticator) { b.unproved = true },
		"otherUser":     func(b *authenticator) { b.user = []byte("account-somebody-else") },
	} {
		b := good
		spoil(&b)
		_, _, err := h.loginWith(&b)
		wantKey(t, name, err, "error.identity.passkey_wrong")
	}
	good.count = 100
	if _, _, err := h.loginWith(&good); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	stale := good
	stale.count = 50 // a copy that was used less
	_, _, err = h.loginWith(&stale)
	wantKey(t, "copied", err, "error.identity.passkey_wrong")
	if err := h.Disable(t.Context(), p.account.ID, boss); err == nil {
		t.Fatal("the last administrator was disabled")
	}
}

func TestAddingAPasskeyNeedsAStrongSessionAndTheSamePerson(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	ctx := t.Context()
	p, q, a := h.first(), h.second(RoleOperator), newAuthenticator(t)
	c, err := h.BeginRegister(ctx, p.token)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.FinishRegister(ctx, q.token, c.Handle, "stolen", a.register(c.Options))
	wantKey(t, "somebody else's ceremony", err, "error.identity.secret_wrong")
	h.clock.advance(h.cfg.StrongFor)
	_, err = h.BeginRegister(ctx, p.token)
	wantKey(t, "weak session", err, "error.identity.not_strong")
	_, err = h.FinishRegister(ctx, p.token, c.Handle, "late", a.register(c.Options))
	wantKey(t, "weak session at the end", err, "error.identity.not_strong")
	h.clock.advance(-h.cfg.StrongFor)
	h.clock.advance(ceremonyFor + time.Second)
	_, err = h.FinishRegister(ctx, p.token, c.Handle, "expired", a.register(c.Options))
	wantKey(t, "expired ceremony", err, "error.identity.secret_wrong")
}

// Whoever begins to sign in over and over, which anybody may, must not keep others
// from it.
func TestBeginningWithoutEndKeepsNobodyOut(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		p, a := h.first(), newAuthenticator(h.t)
		h.addKey(p, a)
		mine, err := h.BeginLogin(ctx, home)
		if err != nil {
			t.Fatal(err)
		}
		var last Ceremony
		for range maxBegun + 10 {
			h.clock.advance(time.Millisecond)
			if last, err = h.BeginLogin(ctx, away); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		err = h.db.Read(ctx, func(q state.Querier) error { return q.QueryRow(ctx, countOnce, onceLogin).Scan(&n) })
		if err != nil || n != maxBegun+1 {
			t.Errorf("%d sign-ins under way, %v; want %d", n, err, maxBegun+1)
		}
		if _, _, err := h.FinishLogin(ctx, mine.Handle, a.login(mine.Options), home, ""); err != nil {
			t.Errorf("pushed out from elsewhere: %v", err)
		}
		if _, _, err := h.FinishLogin(ctx, last.Handle, a.login(last.Options), away, ""); err != nil {
			t.Errorf("the last one from the busy place: %v", err)
		}
	})
}
