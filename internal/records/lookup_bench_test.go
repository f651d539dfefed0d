package records

import (
	"context"
	"testing"
)

func BenchmarkTrace(b *testing.B) {
	bn, done, err := newBench(context.Background(), BenchOptions{Records: 2_000_000, Dir: b.TempDir(), Queries: 1000})
	if err != nil {
		b.Fatal(err)
	}
	defer done()
	var res BenchResult
	if err := bn.fill(context.Background(), &res); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := bn.store.Trace(context.Background(), bn.question(&bn.asked[i%1000])); err != nil {
			b.Fatal(err)
		}
	}
}
