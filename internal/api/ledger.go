package api

import (
	"context"
	"encoding/hex"
	"net/http"

	"garrison"
	"garrison/client"
	"garrison/evidence"
	"garrison/internal/identity"
)

func (a *API) declareLedger() {
	op(a, http.MethodGet, "/api/ledger", identity.PermLedgerRead, "The state of the log", 200, a.ledger)
	op(a, http.MethodGet, "/api/ledger/checkpoint", identity.PermLedgerRead, "The last signed checkpoint (C2SP tlog-checkpoint)", 200, a.checkpoint)
	op(a, http.MethodGet, "/api/ledger/entries", identity.PermLedgerRead, "Entries from an index on", 200, a.entries)
	op(a, http.MethodGet, "/api/ledger/entries/{index}", identity.PermLedgerRead, "One entry with its receipt (C2SP tlog-proof)", 200, a.entry)
	op(a, http.MethodPost, "/api/verify", identity.PermVerify, "Recompute everything that is kept and say what differs", 200, a.verify)
}

func (a *API) ledger(ctx context.Context, _ *struct{}) (*body[client.Ledger], error) {
	s, err := a.deps.Ledger.Status(ctx)
	if err != nil {
		return nil, err
	}
	cp, err := a.deps.Ledger.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return answer(client.Ledger{Origin: s.Origin, Size: s.Size, Root: s.Root, SealedUntil: stamp(s.SealedUntil),
		PublicKey: a.deps.Ledger.PublicKey(), Checkpoint: string(cp), SameDisk: s.SameDisk}), nil
}

type text struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func plain(b []byte) *text { return &text{"text/plain; charset=utf-8", b} }

func (a *API) checkpoint(ctx context.Context, _ *struct{}) (*text, error) {
	cp, err := a.deps.Ledger.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return plain(cp), nil
}

func (a *API) entries(ctx context.Context, in *struct {
	From  uint64 `query:"from"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*body[client.LedgerEntries], error) {
	s, err := a.deps.Ledger.Status(ctx)
	if err != nil {
		return nil, err
	}
	out := client.LedgerEntries{Entries: []client.LedgerEntry{}, Size: s.Size}
	for i := in.From; i < s.Size && len(out.Entries) < in.Limit; i++ {
		e, err := a.deps.Ledger.Entry(ctx, i)
		if err != nil {
			return nil, err
		}
		out.Entries = append(out.Entries, client.LedgerEntry{Index: i, Entry: string(e)})
	}
	return answer(out), nil
}

func (a *API) entry(ctx context.Context, in *struct {
	Index string `path:"index" maxLength:"20"`
}) (*body[client.LedgerEntry], error) {
	i, err := index(in.Index)
	if err != nil {
		return nil, err
	}
	s, err := a.deps.Ledger.Status(ctx)
	if err != nil {
		return nil, err
	}
	if i >= s.Size {
		return nil, garrison.Refuse(garrison.NotFound, "error.ledger.no_entry", "index", i, "size", s.Size)
	}
	e, err := a.deps.Ledger.Entry(ctx, i)
	if err != nil {
		return nil, err
	}
	h := evidence.EntryHash(e)
	r, err := a.deps.Ledger.Receipt(ctx, garrison.EvidenceRef{Log: s.Origin, Index: i, Digest: hex.EncodeToString(h[:])})
	if err != nil {
		return nil, err
	}
	proof, err := r.MarshalText()
	if err != nil {
		return nil, err
	}
	return answer(client.LedgerEntry{Index: i, Entry: string(e), Receipt: string(proof)}), nil
}

func (a *API) verify(ctx context.Context, _ *struct{}) (*body[client.Verification], error) {
	v, err := a.deps.Verify(ctx)
	if err != nil {
		return nil, err
	}
	return answer(v), nil
}
