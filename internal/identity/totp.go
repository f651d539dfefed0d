package identity

import (
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"github.com/skip2/go-qrcode"
)

// One-time codes are those of RFC 6238: 6 digits, SHA-1, 30 seconds, which is what
// every authenticator app knows.
const (
	codePeriod = 30
	codeSkew   = 1 // steps either way, RFC 6238 §5.2
	seedLength = 20
	qrSize     = 320
)

// newSeed makes the shared seed of an account.
func newSeed(issuer, login string) (*otp.Key, error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: login, Period: codePeriod, SecretSize: seedLength})
	if err != nil {
		return nil, fmt.Errorf("make the seed of one-time codes: %w", err)
	}
	return key, nil
}

func qrOf(url string) ([]byte, error) {
	png, err := qrcode.Encode(url, qrcode.Medium, qrSize)
	if err != nil {
		return nil, fmt.Errorf("draw the code to scan: %w", err)
	}
	return png, nil
}

// codeStep returns the time step that a code belongs to, if it is right and its step
// lies after the last one used: each code works once (RFC 6238 §5.2). All steps are
// computed whatever the first says.
func codeStep(seed, code string, now time.Time, last int64) (step int64, ok bool) {
	at := now.Unix() / codePeriod
	for s := at - codeSkew; s <= at+codeSkew; s++ {
		want, err := totp.GenerateCode(seed, time.Unix(s*codePeriod, 0))
		if err != nil {
			continue
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && s > last && !ok {
			step, ok = s, true
		}
	}
	return step, ok
}
