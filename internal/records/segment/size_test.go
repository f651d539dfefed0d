package segment

import (
	"os"
	"testing"

	"garrison/internal/records/rows"
	"garrison/internal/records/storetest"
)

// TestSizeOfColumns prints what each column takes; it is there to be read.
func TestSizeOfColumns(t *testing.T) {
	if os.Getenv("GARRISON_SIZES") == "" {
		t.Skip("prints sizes; set GARRISON_SIZES=1")
	}
	sc := storetest.DefaultScale()
	sc.PerSecond, sc.Subscribers, sc.PublicIPs, sc.Destinations = 500, 200_000, 5000, 300_000
	g := storetest.NewGenerator(1, sc)
	tab := rows.NewSharing()
	var rs []rows.Row
	for i := range 5_000_000 {
		b := g.Batch(1)
		b[0].Received = 1_795_000_000 + int64(i/300_000)
		rs = append(rs, tab.Row(&b[0]))
	}
	tab.Sort(rs)
	dir := t.TempDir()
	b := NewBuilder(dir, "t", false)
	for i := range rs {
		if err := b.Add(tab, &rs[i]); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		r, err := Open(dir, p)
		if err != nil {
			t.Fatal(err)
		}
		sizes := map[string]int64{}
		names := []string{}
		for _, g := range r.pf.Metadata().RowGroups {
			for _, c := range g.Columns {
				n := c.MetaData.PathInSchema[0]
				if _, ok := sizes[n]; !ok {
					names = append(names, n)
				}
				sizes[n] += c.MetaData.TotalCompressedSize
			}
		}
		t.Logf("%s: %d rows, %.2f bytes a row, indexes %.3f", p.Class, p.Rows, float64(p.Bytes)/float64(p.Rows), float64(p.Bytes-p.Tail)/float64(p.Rows))
		for _, n := range names {
			t.Logf("  %-14s %.3f", n, float64(sizes[n])/float64(p.Rows))
		}
		r.Close()
	}
}
