package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"garrison"
	"garrison/client"
	"garrison/internal/daemon"
)

// maxSmallFile bounds ready file, token and certificates.
const maxSmallFile = 1 << 20

// dataDir is the data directory in effect.
func (a *app) dataDir() string { return firstOf(a.data, os.Getenv("GARRISON_DATA"), "data") }

// remote is the server's address when one was named; --data beats the environment.
func (a *app) remote() string {
	if a.server != "" || a.data != "" {
		return a.server
	}
	return os.Getenv("GARRISON_SERVER")
}

// connect returns a client for the server named, or for the instance that runs on the
// data directory.
func (a *app) connect() (*client.Client, error) {
	if server := a.remote(); server != "" {
		return a.connectTo(server)
	}
	return a.connectLocal()
}

func (a *app) connectTo(server string) (*client.Client, error) {
	tokenFile := firstOf(a.tokenFile, os.Getenv("GARRISON_TOKEN_FILE"))
	if tokenFile == "" {
		return nil, a.usage("cli.usage.token_file")
	}
	token, err := readSmall(tokenFile)
	if err != nil {
		return nil, garrison.Errorf(garrison.Invalid, "%s: %w", a.t("cli.token.unreadable"), err)
	}
	roots, err := a.roots(filepath.Join(filepath.Dir(tokenFile), "ca.pem"))
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Server: strings.TrimSuffix(strings.TrimSuffix(server, "/"), "/api"),
		Token: strings.TrimSpace(string(token)), Roots: roots, Lang: a.lang})
}

// roots reads the certificate authority named, or the one that may stand at beside.
func (a *app) roots(beside string) ([]byte, error) {
	if a.ca != "" {
		raw, err := readSmall(a.ca)
		if err != nil {
			return nil, garrison.Errorf(garrison.Invalid, "--ca: %w", err)
		}
		return raw, nil
	}
	raw, err := readSmall(beside)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, garrison.Errorf(garrison.Invalid, "%w", err)
	}
	return raw, nil
}

func (a *app) connectLocal() (*client.Client, error) {
	dir := a.dataDir()
	ready, err := a.ready(dir)
	if err != nil {
		return nil, err
	}
	tokenFile := firstOf(a.tokenFile, filepath.Join(dir, "token"))
	token, err := readSmall(tokenFile)
	if err != nil {
		return nil, garrison.Errorf(garrison.Denied, "%s: %w", a.t("cli.token.local_unreadable"), err)
	}
	roots, err := a.roots(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Server: ready.Console, Token: strings.TrimSpace(string(token)), Roots: roots, Lang: a.lang,
		Find: func() (string, bool) {
			r, err := a.ready(dir)
			return r.Console, err == nil
		}})
}

// ready returns what the instance on a data directory says of itself; an error tells
// what to do when none runs.
func (a *app) ready(dir string) (daemon.Ready, error) {
	var r daemon.Ready
	raw, err := readSmall(daemon.ReadyPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return r, a.notRunning(dir)
	} else if err != nil {
		return r, garrison.Errorf(garrison.Denied, "%w", err)
	}
	if err := json.Unmarshal(raw, &r); err != nil || r.Console == "" {
		return r, garrison.Errorf(garrison.Unavailable, "%s: %w", daemon.ReadyPath(dir), err)
	}
	// What a killed instance left behind is no instance.
	if r.PID > 0 && errors.Is(syscall.Kill(r.PID, 0), syscall.ESRCH) {
		return r, a.notRunning(dir)
	}
	return r, nil
}

func (a *app) notRunning(dir string) error {
	return garrison.Errorf(garrison.Unavailable, "%s", a.t("cli.not_running", "dir", dir))
}

// readSmall reads a small file whole.
func readSmall(path string) ([]byte, error) {
	st, err := os.Stat(path) //nolint:gosec // the operator names the files
	if err != nil {
		return nil, err
	}
	if st.Size() > maxSmallFile {
		return nil, garrison.Errorf(garrison.TooLarge, "%q has %d bytes", path, st.Size())
	}
	return os.ReadFile(path) //nolint:gosec // the same file
}

// get asks the API and decodes the answer.
func (a *app) get(ctx context.Context, path string, out any) error {
	return a.call(ctx, "GET", path, nil, out)
}

func (a *app) call(ctx context.Context, method, path string, in, out any) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	return c.Do(ctx, method, path, in, out)
}
