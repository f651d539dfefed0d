package segment

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"garrison/evidence"
)

// TestPlacesAndRowsAreThoseOfAScan finds the rows of two chunks in each file, written
// either way, and reads them one by one in any order.
func TestPlacesAndRowsAreThoseOfAScan(t *testing.T) {
	for _, lag := range []bool{false, true} {
		n := 9_000
		if !lag {
			n = 500_000 // more than one row group
		}
		dir, parts, _, _ := build(t, n, 300, lag)
		chunks := []Chunk{{Second: 1_790_000_107}, {Second: 1_790_000_150}, {Second: 1_790_000_150, Shard: 1}}
		search, few := NewPlaces(chunks, 0), NewPlaces(chunks, 3)
		pool := NewPool(16 << 20)
		found := 0
		for _, part := range parts {
			r, err := Open(dir, part)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(search.Search(context.Background(), r), few.Search(context.Background(), r)); err != nil {
				t.Fatal(err)
			}
			want := scanPlaces(t, r, chunks)
			for i := range chunks {
				got := search.Of(i)
				found += len(got)
				if !slices.Equal(got, keysInOrder(want[i])) {
					t.Fatalf("lag %v, %s, chunk %d: rows %v, want %v", lag, part.Class, i, got, keysInOrder(want[i]))
				}
				if !slices.Equal(few.Of(i), got[:min(3, len(got))]) {
					t.Errorf("lag %v, %s, chunk %d: first rows %v of %v", lag, part.Class, i, few.Of(i), got)
				}
				pickAll(t, r.Picker(pool), got, want[i])
			}
			pool.Forget(r)
			r.Close()
		}
		if found < n/100 {
			t.Fatalf("lag %v: %d rows found of %d", lag, found, n)
		}
	}
}

func scanPlaces(t *testing.T, r *Reader, chunks []Chunk) []map[int64]evidence.NAT {
	t.Helper()
	want := make([]map[int64]evidence.NAT, len(chunks))
	for i := range want {
		want[i] = map[int64]evidence.NAT{}
	}
	s := r.Stream()
	defer s.Close()
	for at := int64(0); ; {
		batch, tab, err := s.Next()
		if errors.Is(err, io.EOF) {
			return want
		} else if err != nil {
			t.Fatal(err)
		}
		for k := range batch {
			for i, c := range chunks {
				if int64(batch[k].Received) == c.Second && batch[k].Shard == c.Shard {
					var n evidence.NAT
					tab.NAT(&batch[k], &n)
					want[i][at] = n
				}
			}
			at++
		}
	}
}

func keysInOrder(m map[int64]evidence.NAT) []int64 {
	var list []int64
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func pickAll(t *testing.T, p *Picker, places []int64, want map[int64]evidence.NAT) {
	t.Helper()
	defer p.Close()
	order := slices.Clone(places)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, at := range append(order[:min(200, len(order))], places[:min(200, len(places))]...) {
		row, tab, err := p.Row(at)
		if err != nil {
			t.Fatal(err)
		}
		var n evidence.NAT
		if tab.NAT(row, &n); n != want[at] {
			t.Fatalf("row %d is %+v, want %+v", at, n, want[at])
		}
	}
}
