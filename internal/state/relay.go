package state

import (
	"context"
	"fmt"
	"time"

	"garrison"
)

const (
	relayBatch = 256
	relayPoll  = time.Second // for what another node wrote and did not carry
	relayFirst = 50 * time.Millisecond
	relayMost  = 5 * time.Second // between tries while the ledger fails
)

// Appender is the ledger as the relay needs it. Append returns when the entries are
// durable, with one reference for each.
type Appender interface {
	Append(ctx context.Context, entries ...[]byte) ([]garrison.EvidenceRef, error)
}

// Relay carries the outbox to the ledger until ctx ends. A crash between appending
// and marking makes an entry appear twice, byte for byte, which the audit accepts.
func (db *DB) Relay(ctx context.Context, to Appender) error {
	retry := relayFirst
	for {
		pause := relayPoll
		_, err := db.Drain(ctx, to)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // told to end: what waits is carried at the next start
		case err != nil:
			// The outbox keeps everything; saying so and trying again is all there is.
			db.log.ErrorContext(ctx, "entries wait for the ledger", "err", err)
			pause = retry
			retry = min(2*retry, relayMost)
		default:
			retry = relayFirst
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-db.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Drain carries what the outbox holds now to the ledger and returns how many
// entries that were. Call it once more before the ledger stops.
func (db *DB) Drain(ctx context.Context, to Appender) (int, error) {
	db.relaying.Lock()
	defer db.relaying.Unlock()
	total := 0
	for {
		batch, damaged, err := db.waiting(ctx)
		if err == nil && len(batch) == 0 && damaged > 0 {
			err = garrison.Errorf(garrison.Damaged, "%d outbox rows are not as they were written; they are not signed", damaged)
		}
		if err != nil || len(batch) == 0 {
			return total, err
		}
		if err := db.carry(ctx, batch, to); err != nil {
			return total, err
		}
		total += len(batch)
	}
}

// Pending says how many entries wait for the ledger and since when the oldest does.
func (db *DB) Pending(ctx context.Context) (n int, oldest time.Time, err error) {
	var at int64
	err = db.Read(ctx, func(q Querier) error { return q.QueryRow(ctx, countWaiting).Scan(&n, &at) })
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count the outbox: %w", err)
	}
	return n, Time(at), nil
}

type parcel struct {
	seq, at int64
	digest  string
	body    []byte
}

// waiting returns the next entries. Rows that are not as they were written stay
// where they are and are counted: nothing damaged is ever handed on to be signed.
func (db *DB) waiting(ctx context.Context) (batch []parcel, damaged int, err error) {
	err = db.Read(ctx, func(q Querier) error {
		return Each(ctx, q, func(row Scanner) error {
			var p parcel
			if err := row.Scan(&p.seq, &p.at, &p.digest, &p.body); err != nil {
				return err
			}
			if entryDigest(p.body) != p.digest {
				damaged++
				return nil
			}
			batch = append(batch, p)
			return nil
		}, waiting, relayBatch)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the outbox: %w", err)
	}
	return batch, damaged, nil
}

func (db *DB) carry(ctx context.Context, batch []parcel, to Appender) error {
	bodies := make([][]byte, len(batch))
	for i, p := range batch {
		bodies[i] = p.body
	}
	refs, err := to.Append(ctx, bodies...)
	if err != nil {
		return fmt.Errorf("append %d entries to the ledger: %w", len(batch), err)
	}
	if len(refs) != len(batch) {
		return fmt.Errorf("the ledger answered %d references for %d entries", len(refs), len(batch))
	}
	// What is in the ledger is marked even when ctx ends now.
	ctx = context.WithoutCancel(ctx)
	return db.Write(ctx, func(tx *Tx) error {
		for i, p := range batch {
			ref := refs[i]
			if ref.Digest != p.digest {
				return garrison.Errorf(garrison.Damaged, "the ledger answered for entry %q, not %q", ref.Digest, p.digest)
			}
			idx := int64(ref.Index)
			if _, err := tx.Exec(ctx, markSent, p.seq, ref.Log, idx, outboxSum(p.seq, p.at, p.digest, ref.Log, idx)); err != nil {
				return fmt.Errorf("mark outbox row %d: %w", p.seq, err)
			}
		}
		return nil
	})
}
