package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"garrison/client"
	"garrison/internal/testkit/natlines"
)

// serving is an installation run by "garrison serve" with a configuration file.
func serving(t *testing.T, records string) *instance {
	t.Helper()
	in := newInstance(t)
	in.configure(records)
	return in
}

func (in *instance) configure(records string) {
	in.t.Helper()
	file := in.file("garrison.yaml")
	text := "version: 1\ndata: " + in.data + "\nlisten: {console: \"127.0.0.1:0\", syslog_udp: \"127.0.0.1:0\", syslog_tcp: \"127.0.0.1:0\", metrics: \"\"}\n" +
		"records: {" + records + "}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		in.t.Fatal(err)
	}
	in.args = []string{"serve", "--config", file}
}

// kindOf sorts the files of a data directory into what is told apart by verify.
func kindOf(rel string) string {
	base := filepath.Base(rel)
	switch {
	case base == "lock" || strings.HasSuffix(base, ".lock"):
		return ""
	case strings.HasPrefix(rel, "records/days/"):
		return "days"
	case strings.HasPrefix(rel, "records/"):
		return cmp.Or(strings.TrimPrefix(filepath.Ext(base), "."), base) // parquet, tree, wal, json
	case strings.HasPrefix(rel, "ledger/tile/entries/"):
		return "ledger entries"
	case strings.HasPrefix(rel, "ledger/tile/"):
		return "ledger tiles"
	case strings.HasPrefix(rel, "ledger/.state/"):
		return "ledger state"
	case strings.HasPrefix(rel, "ledger/"):
		return "ledger " + base
	case strings.HasPrefix(rel, "evidence/"):
		return "evidence"
	case strings.HasPrefix(rel, "state/"):
		return "state"
	}
	return "" // tokens, ready file and the like keep no evidence
}

func filesByKind(t *testing.T, dir string) map[string][]string {
	t.Helper()
	kinds := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if kind := kindOf(rel); kind != "" && err == nil && info.Size() > 0 {
			kinds[kind] = append(kinds[kind], rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

// flip changes one byte of a file and returns what puts it back.
func flip(t *testing.T, path string, at int64, bit byte) (undo func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= bit
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	return func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b[0] ^= bit
		if _, err := f.WriteAt(b[:], at); err != nil {
			t.Fatal(err)
		}
	}
}

func verifyAt(t *testing.T, dir string) (client.Verification, result) {
	t.Helper()
	r := run(t, "garrison", "verify", "--json", "--data", dir)
	var v client.Verification
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("verify: exit %d, %v\n%s%s", r.code, err, r.out, r.err)
	}
	return v, r
}

// flipped flips one byte of a file of a copy and judges what verify says.
func flipped(t *testing.T, dir, kind, rel string, rnd *rand.Rand) {
	t.Helper()
	st, err := os.Stat(filepath.Join(dir, rel))
	if err != nil {
		t.Fatal(err)
	}
	at, bit := rnd.Int64N(st.Size()), byte(1)<<rnd.IntN(8)
	undo := flip(t, filepath.Join(dir, rel), at, bit)
	defer undo()
	v, r := verifyAt(t, dir)
	where := fmt.Sprintf("%s: bit %#02x of byte %d of %d of %s", kind, bit, at, st.Size(), rel)
	if r.code != 1 {
		t.Errorf("%s: verify exits with %d: %+v", where, r.code, v.CouldNot)
		return
	}
	for _, d := range v.Damages {
		if strings.Contains(d.File, filepath.Base(rel)) {
			if d.Part == "records" && d.Range == "" && d.Records < 0 {
				t.Errorf("%s: neither how many records nor which: %+v", where, d)
			}
			return
		}
	}
	t.Errorf("%s: verify does not name the file: %+v", where, v.Damages)
}

// filled is an installation that has something of every kind.
func filled(t *testing.T, rnd *rand.Rand, records string) *instance {
	t.Helper()
	in := serving(t, records)
	in.start()
	in.must(nil, clean, "demo")
	g := natlines.New(natlines.Options{Seed: rnd.Uint64(), Start: time.Now().Add(-3 * time.Second), Noise: 300})
	if err := sendTCP(in.ready.Listeners["syslog_tcp"], g.Fill(3000)); err != nil {
		t.Fatal(err)
	}
	return in
}

func TestOneAlteredByteIsNamed(t *testing.T) {
	rnd := seeded(t)
	in := filled(t, rnd, "segment_every: 1s")
	within(t, 30*time.Second, "segments of more than one cut", func() bool {
		k := filesByKind(t, in.data)
		return len(k["tree"]) >= 2 && len(k["days"]) > 0 && len(k["evidence"]) > 0
	})
	in.stop()
	dir := filepath.Join(t.TempDir(), "copy")
	copyTree(t, in.data, dir)
	// The keys of a copy are its own: those of the original are away.
	if err := os.Rename(in.data, in.data+".away"); err != nil {
		t.Fatal(err)
	}
	if v, r := verifyAt(t, dir); r.code != 0 {
		t.Fatalf("the copy as it is: exit %d %+v", r.code, v)
	}
	kinds := filesByKind(t, dir)
	for _, kind := range []string{"parquet", "tree", "json", "days", "evidence", "ledger entries", "ledger tiles", "ledger checkpoint"} {
		if len(kinds[kind]) == 0 {
			t.Errorf("nothing of kind %q to alter", kind)
		}
	}
	each, flips := 12, 0
	if testing.Short() {
		each = 2
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if kind == "state" || kind == "wal" {
			continue
		}
		for range each {
			flipped(t, dir, kind, kinds[kind][rnd.IntN(len(kinds[kind]))], rnd)
			flips++
		}
	}
	if v, r := verifyAt(t, dir); r.code != 0 {
		t.Errorf("with every byte put back: exit %d %+v", r.code, v)
	}
	t.Logf("%d flips in %d kinds of files", flips, len(kinds))
	if want := 60; flips < want && !testing.Short() {
		t.Errorf("only %d flips, want %d", flips, want)
	}
}

func TestOneAlteredByteOfTheWriteAheadFileIsNamed(t *testing.T) {
	rnd := seeded(t)
	in := serving(t, "segment_every: 1h")
	in.start()
	g := natlines.New(natlines.Options{Seed: rnd.Uint64(), Start: time.Now().Add(-3 * time.Second)})
	if err := sendTCP(in.ready.Listeners["syslog_tcp"], g.Fill(3000)); err != nil {
		t.Fatal(err)
	}
	within(t, 20*time.Second, "everything is sealed", func() bool { v := in.verify(); return v.Records == 3000 && v.Unsealed == 0 })
	in.kill()
	dir := filepath.Join(t.TempDir(), "copy")
	copyTree(t, in.data, dir)
	if v, r := verifyAt(t, dir); r.code != 0 || v.Records != 3000 {
		t.Fatalf("the copy as it is: exit %d %+v", r.code, v)
	}
	wals := filesByKind(t, dir)["wal"]
	if len(wals) == 0 {
		t.Fatal("no write-ahead file to alter")
	}
	each := 25
	if testing.Short() {
		each = 4
	}
	for range each {
		flipped(t, dir, "wal", wals[rnd.IntN(len(wals))], rnd)
	}
}

// answers are what people go by; a start of the copy gives them. Only what does not
// change by itself: findings do, for the copy's stand-in listens elsewhere and is looked
// at; package state compares every row there is.
func answers(t *testing.T, dir string) (string, error) {
	t.Helper()
	in := newInstance(t)
	in.data = dir
	in.configure("segment_every: 1h")
	in.launch()
	defer in.kill()
	for end := time.Now().Add(startLimit); !in.isReady(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-in.done:
			return "", fmt.Errorf("does not start: %s%s", in.out, in.err)
		default:
		}
		if time.Now().After(end) {
			return "", fmt.Errorf("not ready: %s", in.err)
		}
	}
	var b bytes.Buffer
	for _, q := range [][]string{{"register", "list"}, {"profile", "show"}} {
		r := in.garrison(append(q, "--json")...)
		if r.code != 0 {
			return "", fmt.Errorf("%v: exit %d %s", q, r.code, r.err)
		}
		b.WriteString(r.out)
	}
	for _, id := range []string{"mps82-13", "govqa-9b"} {
		d := in.duty(id)
		fmt.Fprintln(&b, d.ID, d.Standing)
	}
	return b.String(), nil
}

func TestOneAlteredByteOfTheStateIsNamedOrChangesNoAnswer(t *testing.T) {
	rnd := seeded(t)
	in := filled(t, rnd, "segment_every: 1h")
	in.stop()
	copyOf := func() string {
		dir := filepath.Join(t.TempDir(), "copy")
		copyTree(t, in.data, dir)
		return dir
	}
	want, err := answers(t, copyOf())
	if err != nil {
		t.Fatal(err)
	}
	dir := copyOf()
	file := filepath.Join(dir, "state", "garrison.db")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	each, named, harmless := 40, 0, 0
	if testing.Short() {
		each = 6
	}
	for range each {
		at := rnd.Int64N(int64(len(raw)))
		for raw[at] == 0 { // unused space is dull
			at = rnd.Int64N(int64(len(raw)))
		}
		undo := flip(t, file, at, byte(1)<<rnd.IntN(8))
		v, r := verifyAt(t, dir)
		switch r.code {
		case 1:
			named++
			if !slices.ContainsFunc(v.Damages, func(d client.Damage) bool { return d.Part == "state" && (d.File != "" || d.Object != "") }) {
				t.Errorf("byte %d: damage without a place: %+v", at, v.Damages)
			}
		case 0:
			other := filepath.Join(t.TempDir(), "started")
			copyTree(t, dir, other)
			got, err := answers(t, other)
			if err != nil && strings.Contains(err.Error(), "does not start") {
				t.Logf("byte %d is not noticed by verify; the start refuses, and so gives no answer: %v", at, err)
			} else if err != nil || got != want {
				t.Errorf("byte %d (of %d) is not noticed, and the answers differ: %v\n%s", at, len(raw), err, got)
			}
			harmless++
		default:
			t.Errorf("byte %d: verify exits with %d: %v", at, r.code, v.CouldNot)
		}
		undo()
	}
	t.Logf("of %d flips in the state database %d were named, %d changed no answer", each, named, harmless)
}
