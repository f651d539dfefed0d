package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"garrison"
	"garrison/internal/state"
	"garrison/internal/state/statetest"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"
)

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// house is an identity component with everything around it.
type house struct {
	*Identity
	t     *testing.T
	db    *state.DB
	clock *clock
	log   *strings.Builder

	ledger statetest.Ledger
}

const password = Secret("correct horse battery staple")

var (
	home = netip.MustParseAddr("192.0.2.10")
	away = netip.MustParseAddr("198.51.100.7")
	boss = garrison.System("test")
)

func open(t *testing.T, db *state.DB) *house {
	t.Helper()
	cfg := DefaultConfig()
	cfg.KeyFile = filepath.Join(t.TempDir(), "identity.key")
	cfg.Hash = HashCost{MemoryKiB: 64, Passes: 1, Threads: 1} // what it costs is tested elsewhere
	cfg.Origins = func() []string { return []string{"https://localhost:8443"} }
	return openWith(t, db, cfg)
}

func openWith(t *testing.T, db *state.DB, cfg Config) *house {
	t.Helper()
	h := &house{t: t, db: db, clock: &clock{at: time.Now().UTC()}, log: &strings.Builder{}}
	var err error
	h.Identity, err = New(cfg, Deps{DB: db, Now: h.clock.now, Log: slog.New(slog.NewTextHandler(h.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return h
}

// onBoth runs a test on both engines.
func onBoth(t *testing.T, fn func(h *house)) {
	t.Helper()
	statetest.Each(t, func(t *testing.T, db statetest.Open) { fn(open(t, db(t))) })
}

// person is somebody with an authenticator app.
type person struct {
	account Account
	seed    string
	token   Secret
}

// code returns the present one-time code, after the clock moved to an unused one.
func (h *house) code(p person) string {
	h.t.Helper()
	h.clock.advance(codePeriod * time.Second)
	c, err := totp.GenerateCode(p.seed, h.clock.now())
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *house) enrol(secret Secret, login, name string) person {
	h.t.Helper()
	e, err := h.Enrol(h.t.Context(), EnrolRequest{Secret: secret, Login: login, Name: name, Password: password})
	if err != nil {
		h.t.Fatalf("enrol: %v", err)
	}
	p := person{seed: e.TOTPSecret.Reveal()}
	s, token, err := h.ConfirmTOTP(h.t.Context(), e.Handle, h.code(p), home, "test")
	if err != nil {
		h.t.Fatalf("confirm: %v", err)
	}
	p.account, p.token = s.Account, token
	return p
}

func (h *house) first() person {
	h.t.Helper()
	secret, needed, err := h.FirstSecret(h.t.Context(), "")
	if err != nil || !needed {
		h.t.Fatalf("first secret: needed %v, %v", needed, err)
	}
	return h.enrol(secret, "li.wei", "李伟")
}

func (h *house) second(role Role) person {
	h.t.Helper()
	_, secret, err := h.CreateAccount(h.t.Context(), NewAccount{Login: "wang.fang", Name: "王芳", Grants: []Grant{{Role: role}}}, boss)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.enrol(secret, "", "")
}

func (h *house) signIn(p person, from netip.Addr) error {
	h.t.Helper()
	_, _, err := h.SignIn(h.t.Context(), p.account.Login, password, h.code(p), from, "test")
	return err
}

func wantKey(t *testing.T, what string, err error, key string) {
	t.Helper()
	var e *garrison.Error
	if !errors.As(err, &e) || e.Key != key {
		t.Errorf("%s: %v, expected %s", what, err, key)
	}
}

func TestFirstAdministratorEnrolsOnceInTwoSteps(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		secret, _, err := h.FirstSecret(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		again, needed, err := h.FirstSecret(ctx, secret)
		if err != nil || !needed || again != secret {
			t.Errorf("the kept secret was replaced: %v, %v", needed, err)
		}
		_, err = h.Enrol(ctx, EnrolRequest{Secret: "grf_wrong", Login: "a.b", Name: "A", Password: password})
		wantKey(t, "wrong secret", err, "error.identity.secret_wrong")
		one, err := h.Enrol(ctx, EnrolRequest{Secret: secret, Login: "Li.Wei", Name: "李伟", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		two, err := h.Enrol(ctx, EnrolRequest{Secret: secret, Login: "zhang", Name: "张", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		if all, err := h.Accounts(ctx); err != nil || len(all) != 0 {
			t.Errorf("after the first step there are accounts: %v, %v", all, err)
		}
		_, _, err = h.ConfirmTOTP(ctx, one.Handle, "000000", home, "")
		wantKey(t, "wrong code", err, "error.identity.code_wrong")
		p := person{seed: one.TOTPSecret.Reveal()}
		s, token, err := h.ConfirmTOTP(ctx, one.Handle, h.code(p), home, "Firefox")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Role{RoleSystem, RoleSecurity}, s.Roles); diff != "" || s.Account.Login != "li.wei" || len(token) < 43 {
			t.Errorf("session %+v", s)
		}
		_, _, err = h.ConfirmTOTP(ctx, two.Handle, h.code(person{seed: two.TOTPSecret.Reveal()}), home, "")
		wantKey(t, "second enrolment with the used secret", err, "error.identity.secret_wrong")
		if _, needed, err := h.FirstSecret(ctx, secret); needed || err != nil {
			t.Errorf("a first secret is still needed: %v", err)
		}
	})
}

func TestWeakPasswordsAndStrangeNamesAreRefused(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	secret, _, err := h.FirstSecret(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r   EnrolRequest
		key string
	}{
		"short":       {EnrolRequest{Login: "li.wei", Name: "Li", Password: "short"}, "error.identity.password_short"},
		"long":        {EnrolRequest{Login: "li.wei", Name: "Li", Password: Secret(strings.Repeat("abcdefg", 60))}, "error.identity.password_long"},
		"repeated":    {EnrolRequest{Login: "li.wei", Name: "Li", Password: "aaaaaaaaaaaaaaaaaaaa"}, "error.identity.password_easy"},
		"isLogin":     {EnrolRequest{Login: "li.wei", Name: "Li", Password: "Li.Wei-2026-long"}, "error.identity.password_easy"},
		"badLogin":    {EnrolRequest{Login: "li wei", Name: "Li", Password: password}, "error.identity.login_form"},
		"emptyName":   {EnrolRequest{Login: "li.wei", Name: " ", Password: password}, "error.identity.name_form"},
		"turnedRound": {EnrolRequest{Login: "li.wei", Name: "Li\u202eieW", Password: password}, "error.identity.name_form"},
	} {
		c.r.Secret = secret
		_, err := h.Enrol(t.Context(), c.r)
		wantKey(t, name, err, c.key)
	}
}

func TestSignInNeedsLoginPasswordAndFreshCode(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		p := h.first()
		code := h.code(p)
		if _, _, err := h.SignIn(ctx, "LI.WEI ", password, code[:3]+" "+code[3:], home, "Firefox"); err != nil {
			t.Fatalf("sign in: %v", err)
		}
		for name, try := range map[string]func() (Session, Secret, error){
			"usedCode": func() (Session, Secret, error) { return h.SignIn(ctx, "li.wei", password, code, home, "") },
			"wrongPassword": func() (Session, Secret, error) {
				return h.SignIn(ctx, "li.wei", "wrong horse battery", h.code(p), home, "")
			},
			"wrongCode":    func() (Session, Secret, error) { return h.SignIn(ctx, "li.wei", password, "000000", home, "") },
			"unknownLogin": func() (Session, Secret, error) { return h.SignIn(ctx, "nobody", password, h.code(p), home, "") },
		} {
			s, token, err := try()
			wantKey(t, name, err, "error.identity.wrong")
			if token != "" || s.ID != "" {
				t.Errorf("%s: a session was opened", name)
			}
		}
	})
}

func TestOneCodeOpensOneSessionEvenAtOnce(t *testing.T) {
	onBoth(t, func(h *house) {
		p := h.first()
		code := h.code(p)
		var wg sync.WaitGroup
		var mu sync.Mutex
		opened := 0
		for range 4 {
			wg.Go(func() {
				if _, _, err := h.SignIn(h.t.Context(), p.account.Login, password, code, home, ""); err == nil {
					mu.Lock()
					opened++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if opened != 1 {
			h.t.Errorf("one code opened %d sessions", opened)
		}
	})
}

func TestWrongGuessesLockTheirAddressAndNobodyElse(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		p := h.first()
		for n := range h.cfg.LockAfter {
			_, _, err := h.SignIn(ctx, p.account.Login, "a wrong guess", "000000", away, "")
			wantKey(t, fmt.Sprint("guess ", n), err, "error.identity.wrong")
		}
		_, _, err := h.SignIn(ctx, p.account.Login, password, h.code(p), away, "")
		wantKey(t, "locked address", err, "error.identity.locked")
		if err := h.signIn(p, home); err != nil {
			t.Errorf("the owner is locked out: %v", err)
		}
		h.clock.advance(h.cfg.LockFor)
		if err := h.signIn(p, away); err != nil {
			t.Errorf("after the lock: %v", err)
		}
		// A login that does not exist answers the same way.
		for range h.cfg.LockAfter {
			_, _, err = h.SignIn(ctx, "nobody", "a wrong guess", "000000", away, "")
			wantKey(t, "unknown login", err, "error.identity.wrong")
		}
		_, _, err = h.SignIn(ctx, "nobody", "a wrong guess", "000000", away, "")
		wantKey(t, "unknown login, locked", err, "error.identity.locked")
	})
}

func TestGuessesFromManyAddressesAreSlowedButTheOwnerIsNot(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	p := h.first() // enrolled from home
	address := netip.MustParseAddr("203.0.113.1")
	slowed := false
	for range h.cfg.SlowAfter + 5 {
		_, _, err := h.SignIn(t.Context(), p.account.Login, "a wrong guess", "000000", address, "")
		var e *garrison.Error
		slowed = errors.As(err, &e) && e.Key == "error.identity.locked"
		address = address.Next()
	}
	if !slowed {
		t.Error("guesses from ever new addresses were not slowed")
	}
	if err := h.signIn(p, home); err != nil {
		t.Errorf("the owner at the usual address is slowed too: %v", err)
	}
	_, _, err := h.SignIn(t.Context(), p.account.Login, "a wrong guess", "000000", address, "")
	wantKey(t, "a new address while guesses go on", err, "error.identity.locked")
	h.clock.advance(slowPause)
	if err := h.signIn(p, address); err != nil {
		t.Errorf("a new address must wait longer than the pause: %v", err)
	}
}

func TestIPv6GuesserIsOnePrefix(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8:1:2::1"), netip.MustParseAddr("2001:db8:1:2:ffff::9")
	if place(a) != place(b) || place(a) == place(netip.MustParseAddr("2001:db8:1:3::1")) {
		t.Errorf("places %s %s", place(a), place(b))
	}
	if place(netip.MustParseAddr("::ffff:192.0.2.10")) != place(home) {
		t.Error("a mapped address is another place")
	}
}

func TestUnknownLoginCostsTheSameHash(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	p := h.first()
	known, err := h.candidate(t.Context(), p.account.Login)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := h.candidate(t.Context(), "nobody")
	if err != nil {
		t.Fatal(err)
	}
	_, a, errA := matchPassword("x", known.secret.password)
	_, b, errB := matchPassword("x", unknown.secret.password)
	if a != b || errA != nil || errB != nil || unknown.exists {
		t.Errorf("known costs %+v (%v), unknown %+v (%v)", a, errA, b, errB)
	}
}

func TestPasswordsAreRehashedWhenTheCostRises(t *testing.T) {
	db := statetest.OpenSQLite(t)
	h := open(t, db)
	p := h.first()
	cfg := h.cfg
	cfg.Hash.MemoryKiB = 128
	dearer := openWith(t, db, cfg)
	dearer.clock.advance(time.Hour)
	if err := dearer.signIn(p, home); err != nil {
		t.Fatal(err)
	}
	c, err := dearer.candidate(t.Context(), p.account.Login)
	if err != nil || !strings.Contains(c.secret.password, "m=128,") {
		t.Errorf("hash %q, %v", c.secret.password, err)
	}
	if err := dearer.signIn(p, home); err != nil {
		t.Errorf("after the rehash: %v", err)
	}
}

func TestHashIsArgon2idInPHCForm(t *testing.T) {
	phc, err := hashPassword(password, DefaultHashCost())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q", phc)
	}
	if ok, _, err := matchPassword(password, phc); !ok || err != nil {
		t.Errorf("right password: %v, %v", ok, err)
	}
	if ok, _, err := matchPassword(password+"x", phc); ok || err != nil {
		t.Errorf("wrong password: %v, %v", ok, err)
	}
	for _, bad := range []string{"", "$argon2id$v=19$m=99999999,t=2,p=1$AAAA$AAAA", "$argon2i$v=19$m=64,t=1,p=1$AAAA$AAAA", strings.Replace(phc, "v=19", "v=16", 1)} {
		if _, _, err := matchPassword(password, bad); garrison.CodeOf(err) != garrison.Damaged {
			t.Errorf("hash %q: %v, expected code damaged", bad, err)
		}
	}
}

func TestSessionsEndByIdlenessAgeAndOrder(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		p := h.first()
		for range 30 { // used now and then it lives on
			h.clock.advance(h.cfg.IdleLimit - time.Minute)
			if _, err := h.Session(ctx, p.token); err != nil {
				if h.clock.now().Sub(p.account.Created) < h.cfg.AbsoluteLimit {
					t.Fatalf("a session in use ended: %v", err)
				}
				break
			}
		}
		_, err := h.Session(ctx, p.token)
		wantKey(t, "past the absolute limit", err, "error.identity.no_session")

		_, token, err := h.SignIn(ctx, p.account.Login, password, h.code(p), home, "Firefox\x1b[2J")
		if err != nil {
			t.Fatal(err)
		}
		h.clock.advance(h.cfg.IdleLimit)
		_, err = h.Session(ctx, token)
		wantKey(t, "idle", err, "error.identity.no_session")

		_, token, err = h.SignIn(ctx, p.account.Login, password, h.code(p), home, "Firefox\x1b[2J")
		if err != nil {
			t.Fatal(err)
		}
		all, err := h.Sessions(ctx, p.account.ID)
		if err != nil || len(all) != 1 || all[0].Device != "Firefox[2J" || all[0].From != home {
			t.Errorf("sessions %+v, %v", all, err)
		}
		if err := h.SignOut(ctx, token); err != nil {
			t.Fatal(err)
		}
		_, err = h.Session(ctx, token)
		wantKey(t, "signed out", err, "error.identity.no_session")
		if err := h.removeExpired(ctx); err != nil {
			t.Fatal(err)
		}
		h.mustBeSound()
	})
}

func TestRevokeEndsSessionsOfOneAccountOnly(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		p, q := h.first(), h.second(RoleOperator)
		if n, err := h.Revoke(ctx, q.account.ID, "", boss); n != 1 || err != nil {
			t.Errorf("revoked %d, %v", n, err)
		}
		_, err := h.Session(ctx, q.token)
		wantKey(t, "revoked", err, "error.identity.no_session")
		if _, err := h.Session(ctx, p.token); err != nil {
			t.Errorf("somebody else's session: %v", err)
		}
	})
}

func TestStepUpNeedsAFreshCode(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	ctx := t.Context()
	p := h.first()
	h.clock.advance(h.cfg.StrongFor)
	s, err := h.Session(ctx, p.token)
	if err != nil || h.clock.now().Before(s.StrongUntil) {
		t.Fatalf("session %+v, %v: expected one that is no longer strong", s, err)
	}
	_, err = h.StepUp(ctx, p.token, "000000", home)
	wantKey(t, "wrong code", err, "error.identity.wrong")
	s, err = h.StepUp(ctx, p.token, h.code(p), home)
	if err != nil || !h.clock.now().Before(s.StrongUntil) {
		t.Errorf("stepped up %+v, %v", s, err)
	}
}

func TestRolesHaveEffectBetweenTheirDatesOnly(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		p, q := h.first(), h.second(RoleInspector)
		from, until := h.clock.now().Add(5*time.Minute), h.clock.now().Add(15*time.Minute)
		a, err := h.SetRoles(ctx, q.account.ID, q.account.Version, []Grant{{Role: RoleOperator, From: from, Until: until}}, p.account.Actor())
		if err != nil {
			t.Fatal(err)
		}
		may := func() bool {
			s, err := h.Session(ctx, q.token)
			if err != nil {
				t.Fatal(err)
			}
			return s.Principal().May(PermCasesAct)
		}
		if may() {
			t.Error("before the first day")
		}
		h.clock.advance(10 * time.Minute)
		if !may() {
			t.Error("not during the grant")
		}
		h.clock.advance(10 * time.Minute)
		if may() {
			t.Error("after the last day")
		}
		_, err = h.SetRoles(ctx, q.account.ID, a.Version-1, nil, boss)
		wantKey(t, "stale change", err, "error.identity.changed_meanwhile")
		if err := h.Disable(ctx, q.account.ID, boss); err != nil {
			t.Fatal(err)
		}
		_, err = h.Session(ctx, q.token)
		wantKey(t, "disabled", err, "error.identity.no_session")
		wantKey(t, "disabled signs in", h.signIn(q, home), "error.identity.wrong")
		if err := h.Enable(ctx, q.account.ID, boss); err != nil {
			t.Fatal(err)
		}
		_, token, err := h.SignIn(ctx, q.account.Login, password, h.code(q), home, "")
		if err != nil {
			t.Fatalf("enabled again: %v", err)
		}
		// Even a session that outlived its account opens nothing.
		_, err = h.change(ctx, q.account.ID, "disabled", boss, func(_ *state.Tx, a *Account, _ []Account) error {
			a.State = StateDisabled
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.Session(ctx, token)
		wantKey(t, "session of a disabled account", err, "error.identity.no_session")
	})
}

func TestThreeDutiesStayApart(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	ctx := t.Context()
	p := h.first()
	if all, err := h.MustSplit(ctx); err != nil || len(all) != 0 {
		t.Errorf("alone: %v, %v", all, err)
	}
	_, err := h.SetRoles(ctx, p.account.ID, p.account.Version, []Grant{{Role: RoleSystem}, {Role: RoleAudit}}, boss)
	wantKey(t, "system and audit", err, "error.identity.duties")
	_, _, err = h.CreateAccount(ctx, NewAccount{Login: "x.y", Name: "X", Grants: []Grant{{Role: RoleSystem}, {Role: RoleSecurity}}}, boss)
	wantKey(t, "second person with two duties", err, "error.identity.duties")
	now := h.clock.now()
	_, _, err = h.CreateAccount(ctx, NewAccount{Login: "x.y", Name: "X", Grants: []Grant{
		{Role: RoleAudit, From: now, Until: now.Add(time.Hour)}, {Role: RoleSecurity, From: now.Add(time.Hour)}}}, boss)
	if err != nil {
		t.Errorf("one duty after the other: %v", err)
	}
	if all, err := h.MustSplit(ctx); err != nil || len(all) != 1 || all[0].ID != p.account.ID {
		t.Errorf("with somebody else there: %v, %v", all, err)
	}
	_, err = h.SetRoles(ctx, p.account.ID, p.account.Version, []Grant{{Role: RoleSecurity}}, boss)
	wantKey(t, "last administrator", err, "error.identity.last_administrator")
	wantKey(t, "last administrator", h.Disable(ctx, p.account.ID, boss), "error.identity.last_administrator")
}

func TestInvitationsWorkOnceAndExpire(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		h.first()
		a, secret, err := h.CreateAccount(ctx, NewAccount{Login: "wang.fang", Name: "王芳", Grants: []Grant{{Role: RoleOperator}}}, boss)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = h.CreateAccount(ctx, NewAccount{Login: "WANG.fang", Name: "王芳"}, boss)
		wantKey(t, "same login", err, "error.identity.login_taken")
		newer, err := h.Invite(ctx, a.ID, boss)
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.Enrol(ctx, EnrolRequest{Secret: secret, Password: password})
		wantKey(t, "replaced invitation", err, "error.identity.secret_wrong")
		_, err = h.Enrol(ctx, EnrolRequest{Secret: newer, Login: "somebody.else", Password: password})
		wantKey(t, "other login", err, "error.identity.login_invited")
		h.enrol(newer, "", "")
		_, err = h.Enrol(ctx, EnrolRequest{Secret: newer, Password: password})
		wantKey(t, "used invitation", err, "error.identity.secret_wrong")
		_, late, err := h.CreateAccount(ctx, NewAccount{Login: "zhao", Name: "赵"}, boss)
		if err != nil {
			t.Fatal(err)
		}
		h.clock.advance(inviteFor)
		_, err = h.Enrol(ctx, EnrolRequest{Secret: late, Password: password})
		wantKey(t, "expired invitation", err, "error.identity.secret_wrong")
		h.mustBeSound()
	})
}

func TestChangedPasswordEndsOtherSessions(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	ctx := t.Context()
	p := h.first()
	_, other, err := h.SignIn(ctx, p.account.Login, password, h.code(p), home, "")
	if err != nil {
		t.Fatal(err)
	}
	const fresh = Secret("seven new green bottles")
	wantKey(t, "wrong old one", h.ChangePassword(ctx, p.token, "not the old one", fresh), "error.identity.wrong")
	if err := h.ChangePassword(ctx, p.token, password, fresh); err != nil {
		t.Fatal(err)
	}
	_, err = h.Session(ctx, other)
	wantKey(t, "other session", err, "error.identity.no_session")
	if _, err := h.Session(ctx, p.token); err != nil {
		t.Errorf("own session: %v", err)
	}
	wantKey(t, "old password", h.signIn(p, home), "error.identity.wrong")
	if _, _, err := h.SignIn(ctx, p.account.Login, fresh, h.code(p), home, ""); err != nil {
		t.Errorf("new password: %v", err)
	}
}

func TestTokensStandForTheirRoleUntilTheyEnd(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		secret, token, err := h.CreateToken(ctx, RoleIntake, "collector 1", h.clock.now().Add(time.Hour), boss)
		if err != nil || !strings.HasPrefix(secret.Reveal(), "grt_") {
			t.Fatalf("create: %v", err)
		}
		p, err := h.CheckToken(ctx, secret)
		if err != nil || !p.May(PermDeliver) || p.May(PermTrace) || p.Actor.Kind != garrison.ByToken || p.Actor.ID != string(token.ID) {
			t.Errorf("principal %+v, %v", p, err)
		}
		for _, wrong := range []Secret{"", "grt_", secret + "x", Secret(strings.TrimPrefix(secret.Reveal(), "grt_"))} {
			_, err := h.CheckToken(ctx, wrong)
			wantKey(t, "wrong secret", err, "error.identity.no_token")
		}
		if err := h.RevokeToken(ctx, token.ID, boss); err != nil {
			t.Fatal(err)
		}
		_, err = h.CheckToken(ctx, secret)
		wantKey(t, "revoked", err, "error.identity.no_token")
		secret, _, err = h.CreateToken(ctx, RoleAudit, "report", time.Time{}, boss)
		if err != nil {
			t.Fatal(err)
		}
		h.clock.advance(defaultTokenIn)
		_, err = h.CheckToken(ctx, secret)
		wantKey(t, "expired", err, "error.identity.no_token")
		for _, role := range []Role{RoleLocal, "root", ""} {
			_, _, err := h.CreateToken(ctx, role, "x", time.Time{}, boss)
			wantKey(t, "role "+string(role), err, "error.identity.role_unknown")
		}
		h.mustBeSound()
	})
}

func TestLocalTokenIsKeptPrivateAndRenewed(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "token")
	first, err := h.LocalToken(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file mode %v, %v", info.Mode(), err)
	}
	if again, err := h.LocalToken(ctx, path); err != nil || again.ID != first.ID {
		t.Errorf("a good token was replaced: %v", err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	second, err := h.LocalToken(ctx, path)
	if err != nil || second.ID == first.ID {
		t.Errorf("a token that others could read was kept: %v", err)
	}
	_, err = h.CheckToken(ctx, Secret(strings.TrimSpace(string(raw))))
	wantKey(t, "the copy", err, "error.identity.no_token")
}

func TestPermissionTable(t *testing.T) {
	all := append(TokenRoles(), RoleLocal)
	for _, permission := range Permissions() {
		held := false
		for _, r := range all {
			held = held || (Principal{Roles: []Role{r}, Session: &Session{}}).May(permission)
		}
		if !held {
			t.Errorf("nobody holds %s", permission)
		}
	}
	for _, r := range all {
		if len(PermissionsOf(r)) == 0 {
			t.Errorf("role %s may do nothing", r)
		}
		// Opening an identity and approving it are a person's, whatever the role.
		for _, p := range []Principal{{Roles: []Role{r}}, {Roles: []Role{r}, Token: &Token{}}, {Roles: []Role{r}, Token: &Token{}, Session: &Session{}}} {
			if p.May(PermEnvelopesOpen) || p.May(PermApprove) {
				t.Errorf("a token of role %s may open envelopes or approve", r)
			}
		}
		if (Principal{Roles: []Role{r}, Session: &Session{}}).May("no.such.permission") {
			t.Errorf("role %s holds a permission that does not exist", r)
		}
	}
	local := Principal{Roles: []Role{RoleLocal}, Session: &Session{}}
	for _, permission := range Permissions() {
		if got := local.May(permission); got == (permission == PermEnvelopesOpen || permission == PermApprove) {
			t.Errorf("local may %s: %v", permission, got)
		}
	}
	if got := (Principal{}).May(PermOverview); got {
		t.Error("nobody in particular may see the overview")
	}
	audit := Principal{Roles: []Role{RoleAudit}, Session: &Session{}}
	for _, changing := range []string{PermRegistryWrite, PermProfileWrite, PermMeasuresRun, PermMeasuresSwitch, PermCasesAct, PermAccountsWrite, PermTokensWrite, PermSettingsWrite, PermDemo} {
		if audit.May(changing) {
			t.Errorf("audit may %s", changing)
		}
	}
}

func (h *house) guessRows() (n int) {
	h.t.Helper()
	err := h.db.Read(h.t.Context(), func(q state.Querier) error { return q.QueryRow(h.t.Context(), countGuesses).Scan(&n) })
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestMadeUpHandlesFillNothing(t *testing.T) {
	h := open(t, statetest.OpenSQLite(t))
	h.first()
	before := h.guessRows()
	for n := range 20 {
		_, _, err := h.ConfirmTOTP(t.Context(), Secret(fmt.Sprint("grh_made-up-", n)), "000000", away, "")
		wantKey(t, "made-up handle", err, "error.identity.secret_wrong")
	}
	if n := h.guessRows(); n != before {
		t.Errorf("%d rows of guesses, %d before", n, before)
	}
}

func TestFloodOfGuessesFreesNobodyWhoIsLocked(t *testing.T) {
	onBoth(t, func(h *house) {
		t, ctx := h.t, h.t.Context()
		p := h.first()
		g := guess{login: h.ring.blind("login", p.account.Login), prefix: h.ring.blind("place", place(away)), fails: 20}
		g.until = state.Micros(h.now().Add(maxLock))
		if err := h.db.Write(ctx, func(tx *state.Tx) error { return h.saveGuesses(ctx, tx, g, h.now()) }); err != nil {
			t.Fatal(err)
		}
		h.clock.advance(2 * time.Hour)
		err := h.db.Write(ctx, func(tx *state.Tx) error { // what removeGuesses does when the table is full
			_, err := tx.Exec(ctx, deleteGuesses, state.Micros(h.now().Add(-time.Minute)), state.Micros(h.now().Add(-familiarFor)), state.Micros(h.now()))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = h.SignIn(ctx, p.account.Login, password, h.code(p), away, "")
		wantKey(t, "locked address after a flood", err, "error.identity.locked")
	})
}
