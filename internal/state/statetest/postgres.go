package statetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"garrison"
	"garrison/internal/state"
)

// OpenPostgres returns a started database of its own on a PostgreSQL server that
// the test process starts once. Without server programs it skips; under CI it fails.
func OpenPostgres(t *testing.T) *state.DB {
	t.Helper()
	return Start(t, PostgresConfig(t), state.Deps{})
}

// PostgresConfig returns the configuration of a new, empty database.
func PostgresConfig(t *testing.T) state.Config {
	t.Helper()
	if programs() == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no PostgreSQL server programs under /usr/lib/postgresql; install the package postgresql")
		}
		t.Skip("no PostgreSQL server programs under /usr/lib/postgresql")
	}
	running, err := server()
	if err != nil {
		t.Fatal(err)
	}
	dir := running.dir
	name := garrison.NewID("test")[:20]
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	conn, err := pgx.Connect(ctx, dsn(dir, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the database is made or the test has failed
	if _, err := conn.Exec(ctx, `CREATE DATABASE "`+name+`"`); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte(dsn(dir, name)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return state.Config{Engine: state.Postgres, DSNFile: file}
}

func dsn(dir, name string) string {
	return fmt.Sprintf("host=%s user=garrison dbname=%s sslmode=disable", dir, name)
}

// programs returns the directory of the newest PostgreSQL server on this machine.
func programs() string {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

// server starts the one server of this process. It is asked for only in tests, so
// one package variable is the simplest owner.
var server = sync.OnceValues(start)

type postgres struct {
	dir string         // its sockets and data
	in  io.WriteCloser // held open, or the server ends
}

// The shell that runs the server waits for the end of its input, which comes with
// the end of this process however that ends, and then clears everything away.
const supervise = `cd "$2" || exit 1
"$1"/postgres -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c full_page_writes=off \
	-c shared_buffers=32MB -c max_connections=200 -c autovacuum=off >"$2/log" 2>&1 &
pid=$!
cat >/dev/null
kill -QUIT $pid 2>/dev/null
wait $pid
rm -rf "$2"`

func start() (postgres, error) {
	dir, err := os.MkdirTemp("", "gpg")
	if err != nil {
		return postgres{}, err
	}
	cred, err := account(dir)
	if err != nil {
		return postgres{}, err
	}
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...) //nolint:gosec // programs found under /usr/lib/postgresql
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true}
		return cmd
	}
	bin := programs()
	common := []string{"-D", filepath.Join(dir, "data"), "-A", "trust", "-U", "garrison", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"}
	// A dictionary order, because that is what installations have and SQLite has not.
	out, err := run(filepath.Join(bin, "initdb"), append(common, "--locale-provider=icu", "--icu-locale=en-US")...).CombinedOutput()
	if err != nil {
		return postgres{}, fmt.Errorf("initdb: %w: %s", err, out)
	}
	cmd := run("/bin/sh", "-c", supervise, "sh", bin, dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		return postgres{}, err
	}
	if err := cmd.Start(); err != nil {
		return postgres{}, err
	}
	return postgres{dir, in}, ready(dir, in)
}

// ready waits until the server answers. in stays open until this process ends.
func ready(dir string, in io.WriteCloser) error {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	for {
		conn, err := pgx.Connect(ctx, dsn(dir, "postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			in.Close()
			return fmt.Errorf("PostgreSQL does not answer: %w: %s", err, log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// account returns whom to run the server as: initdb refuses the superuser.
func account(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.Atoi(u.Uid)
		gid, errG := strconv.Atoi(u.Gid)
		if errU != nil || errG != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
	}
	return nil, fmt.Errorf("no account postgres or nobody to run PostgreSQL as")
}
