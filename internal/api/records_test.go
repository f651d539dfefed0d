package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"garrison"
	"garrison/client"
)

func natLine(port int) string {
	return fmt.Sprintf(`{"start":"2026-11-22T10:00:00.000+08:00","end":"2026-11-22T10:00:09.500+08:00","proto":"tcp","inside_ip":"100.64.0.7",`+
		`"inside_port":%d,"outside_ip":"203.0.113.5","outside_port":%d,"line":"ADSL7","device":"cgn-1","dst_ip":"198.51.100.1","dst_port":443}`, port, port)
}

func lines(first, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(natLine(first+i) + "\n")
	}
	return b.String()
}

func (in *installation) stored(name string) (stored, refused int64) {
	in.t.Helper()
	s, err := in.client.Sources(context.Background(), false)
	if err != nil {
		in.t.Fatal(err)
	}
	for _, x := range s.Sources {
		if x.Name == name {
			stored, refused = stored+x.Stored, refused+x.Refused
		}
	}
	return stored, refused
}

func TestImportRepeatedStoresNothingTwice(t *testing.T) {
	in := start(t)
	ctx := context.Background()
	body := "not a record\n" + lines(1024, 9000) + "{}\n"
	var first client.ImportSum
	for try := range 3 {
		var refused bytes.Buffer
		sum, err := in.client.Import(ctx, strings.NewReader(body), client.ImportOptions{Kind: "nat", Format: "jsonl", Refused: &refused})
		if err != nil {
			t.Fatal(err)
		}
		if sum.Read != 9002 || sum.Stored != 9000 || sum.Refused != 2 {
			t.Errorf("try %d: %+v", try, sum)
		}
		if try == 0 {
			first = sum
			if sum.Already != 0 {
				t.Errorf("a first import found %d there already", sum.Already)
			}
		} else if sum.Already != first.Stored {
			t.Errorf("try %d: already %d, want %d", try, sum.Already, first.Stored)
		}
		var numbers []int
		for dec := json.NewDecoder(&refused); ; {
			var l struct {
				Number    int
				Why, Line string
			}
			if dec.Decode(&l) != nil {
				break
			}
			numbers = append(numbers, l.Number)
			if l.Why == "" {
				t.Errorf("refused line %+v has no reason", l)
			}
		}
		if len(numbers) != 2 || numbers[0] != 1 || numbers[1] != 9002 {
			t.Errorf("try %d: refused lines %v, want 1 and 9002", try, numbers)
		}
	}
	if s, r := in.stored("import"); s != 9000 || r != 2 {
		t.Errorf("the source counts %d stored, %d refused; want 9000 and 2", s, r)
	}
	// What was reported stored, the next trace finds.
	a, err := in.client.Trace(ctx, "203.0.113.5", "9000", "tcp", "2026-11-22T10:00:03+08:00", 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Candidates) != 1 || a.Candidates[0].Line != "ADSL7" || len(a.Candidates[0].Why) == 0 {
		t.Errorf("answer %+v", a)
	}
}

func TestImportCSVNumbersLinesOfTheFile(t *testing.T) {
	in := start(t)
	var b, refused bytes.Buffer
	b.WriteString("start,end,proto,inside_ip,inside_port,outside_ip,outside_port,line,device\n")
	for i := range 5000 {
		if i == 4500 {
			b.WriteString("nonsense\n")
			continue
		}
		fmt.Fprintf(&b, "2026-11-22T10:00:00.000+08:00,2026-11-22T10:00:09.000+08:00,udp,100.64.0.9,%d,203.0.113.6,%d,L9,cgn-1\n", 1024+i, 1024+i)
	}
	sum, err := in.client.Import(context.Background(), &b, client.ImportOptions{Kind: "nat", Format: "csv", Source: "ledger-9", Refused: &refused})
	if err != nil || sum.Read != 5000 || sum.Stored != 4999 || sum.Refused != 1 {
		t.Fatalf("%+v %v", sum, err)
	}
	if !strings.Contains(refused.String(), `"number":4502,`) { // the header is line 1
		t.Errorf("refused %s, want line 4502", refused.String())
	}
}

func TestDeliveryWithAKeyIsAnsweredOnce(t *testing.T) {
	in := start(t)
	intake, other := in.token("intake"), in.token("intake")
	send := func(token, key, ctype, body string) (client.Delivery, int) {
		req, err := http.NewRequest("POST", in.base+"/api/records?format=jsonl", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Idempotency-Key", key)
		if ctype != "" {
			req.Header.Set("Content-Type", ctype)
		}
		resp, err := in.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var d client.Delivery
		if err := json.NewDecoder(resp.Body).Decode(&d); err != nil {
			t.Fatal(err)
		}
		return d, resp.StatusCode
	}
	d, status := send(intake, "k1", "application/x-ndjson", lines(2000, 10)+"x\n")
	if status != 200 || d.Read != 11 || d.Stored != 10 || d.Refused != 1 || d.Already || len(d.Refusals) != 1 || d.Refusals[0].Number != 11 {
		t.Errorf("first: %d %+v", status, d)
	}
	for _, ctype := range []string{"", "text/plain", "application/json", "application/x-www-form-urlencoded"} {
		if d, status := send(intake, "k1", ctype, lines(2000, 10)+"x\n"); status != 200 || !d.Already || d.Stored != 10 {
			t.Errorf("again as %q: %d %+v", ctype, status, d)
		}
	}
	if d, status := send(other, "k1", "", lines(2000, 10)); status != 200 || d.Already {
		t.Errorf("another sender's key counted: %d %+v", status, d)
	}
	if s, r := in.stored("intake"); s != 20 || r != 1 { // both senders are called so
		t.Errorf("stored %d, refused %d", s, r)
	}
}

func TestProblemsOfRequests(t *testing.T) {
	in := start(t)
	local := "Bearer " + in.local
	for name, c := range map[string]struct {
		method, path, ctype, body string
		status                    int
		code                      string
	}{
		"no such path":       {"GET", "/api/nothing", "", "", 404, "notFound"},
		"wrong method":       {"PATCH", "/api/me", "", "", 404, "notFound"},
		"no such case":       {"GET", "/api/cases/C-0000-0000", "", "", 404, "notFound"},
		"no such duty":       {"GET", "/api/duties/none-1", "", "", 404, "notFound"},
		"no such bundle":     {"GET", "/api/duties/none-1/bundle", "", "", 404, "notFound"},
		"no such subject":    {"GET", "/api/subjects/sub-none", "", "", 404, "notFound"},
		"no such run":        {"GET", "/api/runs/run-none", "", "", 404, "notFound"},
		"no such finding":    {"GET", "/api/findings/f-none", "", "", 404, "notFound"},
		"no such token":      {"DELETE", "/api/tokens/token-none", "", "", 404, "notFound"},
		"no such measure":    {"PUT", "/api/measures/none/mode", "application/json", `{"mode":"off","reason":"x"}`, 404, "notFound"},
		"no such source":     {"GET", "/api/sources/none/refused", "", "", 404, "notFound"},
		"beyond the log":     {"GET", "/api/ledger/entries/99999999", "", "", 404, "notFound"},
		"no index":           {"GET", "/api/ledger/entries/-1", "", "", 422, "invalid"},
		"bad json":           {"POST", "/api/subjects", "application/json", "{", 400, "invalid"},
		"not json":           {"POST", "/api/subjects", "text/html", "<p>", 415, "invalid"},
		"no body":            {"POST", "/api/subjects", "application/json", "", 400, "invalid"},
		"unknown field":      {"POST", "/api/subjects", "application/json", `{"kind":"unit","name":"a","colour":"red"}`, 422, "invalid"},
		"unknown attribute":  {"POST", "/api/subjects", "application/json", `{"kind":"unit","name":"a","attributes":{"colour":"red"}}`, 422, "invalid"},
		"bad limit":          {"GET", "/api/subjects?limit=0", "", "", 422, "invalid"},
		"bad kind":           {"GET", "/api/subjects?kind=ship", "", "", 422, "invalid"},
		"bad address":        {"GET", "/api/trace?ip=203.0.113.300&port=1&at=2026-11-22T10:00:03%2B08:00", "", "", 422, "invalid"},
		"no zone":            {"GET", "/api/trace?ip=203.0.113.5&port=1&at=2026-11-22T10:00:03", "", "", 422, "invalid"},
		"bad port":           {"GET", "/api/trace?ip=203.0.113.5&port=70000&at=2026-11-22T10:00:03%2B08:00", "", "", 422, "invalid"},
		"negative skew":      {"GET", "/api/trace?ip=203.0.113.5&port=1&at=2026-11-22T10:00:03%2B08:00&skew=-1s", "", "", 422, "invalid"},
		"empty delivery":     {"POST", "/api/records?format=jsonl", "text/plain", "", 400, "invalid"},
		"unknown format":     {"POST", "/api/records?format=xml", "text/plain", "x\n", 422, "invalid"},
		"bad header row":     {"POST", "/api/records?format=csv", "text/plain", "a,b\n1,2\n", 422, "invalid"},
		"bad zone":           {"POST", "/api/records?format=syslog&zone=Mars", "text/plain", "x\n", 422, "invalid"},
		"too large":          {"POST", "/api/records?format=jsonl", "text/plain", strings.Repeat("x", 9<<20), 413, "tooLarge"},
		"period upside down": {"GET", "/api/coverage?from=2026-11-22T10:00:03Z&until=2026-11-22T10:00:01Z", "", "", 422, "invalid"},
	} {
		r := in.do(c.method, c.path, local, c.ctype, []byte(c.body))
		p := in.problem(name, r)
		if r.status != c.status || p.Code != c.code {
			t.Errorf("%s: %d %q (%+v), want %d %q", name, r.status, p.Code, p, c.status, c.code)
		}
		if strings.HasPrefix(p.Detail, "error.") || strings.HasPrefix(p.Title, "error.") {
			t.Errorf("%s: the reader gets a key instead of a text: %+v", name, p)
		}
	}
}

func TestClientTellsCodesApart(t *testing.T) {
	in := start(t)
	ctx := context.Background()
	err := in.client.Do(ctx, "GET", "/api/cases/C-0000-0000", nil, nil)
	var e *garrison.Error
	if garrison.CodeOf(err) != garrison.NotFound || !errors.As(err, &e) || e.Key == "" {
		t.Errorf("got %#v", err)
	}
	nobody, err := client.New(client.Config{Server: "https://127.0.0.1:1", Token: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.Do(ctx, "GET", "/api/me", nil, nil); garrison.CodeOf(err) != garrison.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
	stranger, err := client.New(client.Config{Server: in.base, Token: in.local}) // does not trust the local root
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Do(ctx, "GET", "/api/me", nil, nil); err == nil {
		t.Error("a certificate nobody vouches for was taken")
	}
	done, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	if err := in.client.Do(done, "GET", "/api/me", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
}

// A source is kept for ever: whoever can only deliver must not make them without end.
func TestOneTokenNamesABoundedNumberOfSources(t *testing.T) {
	in := start(t)
	intake := in.token("intake")
	send := func(token, source string) int {
		return in.do("POST", "/api/records?source="+source, "Bearer "+token, "text/plain", []byte("x\n")).status
	}
	for n := range 100 {
		if s := send(intake, fmt.Sprint("s", n)); s != 200 {
			t.Fatalf("source %d: %d", n, s)
		}
	}
	if r := in.do("POST", "/api/records?source=one-more", "Bearer "+intake, "text/plain", []byte("x\n")); r.status != 413 {
		t.Errorf("one more source: %d %s, want 413", r.status, r.body)
	} else {
		in.problem("one more source", r)
	}
	if s := send(intake, "s7"); s != 200 {
		t.Errorf("a known source after the limit: %d", s)
	}
	if s := send(in.token("intake"), "s100"); s != 200 {
		t.Errorf("another token: %d", s)
	}
}

func TestDeliveryOfTooManyLinesIsRefusedEarly(t *testing.T) {
	in := start(t)
	var before, after runtime.MemStats
	body := bytes.Repeat([]byte("x\n"), 4<<20-1)
	runtime.ReadMemStats(&before)
	r := in.do("POST", "/api/records", "Bearer "+in.token("intake"), "text/plain", body)
	runtime.ReadMemStats(&after)
	if p := in.problem("too many lines", r); r.status != 413 || p.Code != "tooLarge" {
		t.Errorf("%d %+v", r.status, p)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
		t.Errorf("%d MiB were allocated for it", used>>20)
	}
}
