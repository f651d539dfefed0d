package records

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"testing"
)

func TestBenchmarksRun(t *testing.T) {
	n := 20_000
	if v := os.Getenv("GARRISON_BENCH_RECORDS"); v != "" {
		n, _ = strconv.Atoi(v)
	}
	for _, run := range []func(context.Context, BenchOptions) (BenchResult, error){BenchIngest, BenchTrace} {
		res, err := run(context.Background(), BenchOptions{Records: n, Dir: t.TempDir(), Queries: 500})
		if err != nil {
			t.Fatal(err)
		}
		if res.Wrong != 0 || res.Records != int64(n) || res.BytesPerRecord == 0 {
			t.Errorf("%+v", res)
		}
		b, err := json.Marshal(res)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", b)
	}
}
