package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"garrison"
	"garrison/internal/state"
)

// Profile is who we are: which kinds of body in the catalogue's "binds" vocabulary.
type Profile struct {
	Name  string
	Binds []string // sorted
	Set   bool     // false: nobody has said yet
	Demo  bool     // said by the demonstration
}

// Bodies lists what an operator can be, in the order of the catalogue. "authority"
// is not among them: what binds only an authority is nobody's duty here.
func Bodies() []string {
	return []string{"isp", "idc", "content", "access_place", "connected_unit", "government",
		"app_store", "dns", "telecom", "vendor", "industry_body"}
}

// Profile returns who we are.
func (r *Registry) Profile(ctx context.Context) (p Profile, err error) {
	err = r.db.Read(ctx, func(q state.Querier) (err error) { p, err = loadProfile(ctx, q); return err })
	return p, err
}

// SetProfile says who we are. It replaces what was said before; Set is ignored.
func (r *Registry) SetProfile(ctx context.Context, p Profile, by garrison.Actor) error {
	p, err := cleanProfile(p)
	if err != nil {
		return err
	}
	return r.db.Write(ctx, func(tx *state.Tx) error {
		old, err := loadProfile(ctx, tx)
		if err != nil {
			return err
		}
		if old.Set && old.Name == p.Name && old.Demo == p.Demo && slices.Equal(old.Binds, p.Binds) {
			return nil
		}
		if _, err := tx.Exec(ctx, upsertProfile, p.Name, strings.Join(p.Binds, ","), p.Demo); err != nil {
			return fmt.Errorf("save who we are: %w", err)
		}
		_, err = tx.Record(ctx, state.Change{Kind: kindProfile, ID: profileID, Doc: profileDoc{p.Name, p.Binds, p.Demo}, By: by, What: "set"})
		return err
	})
}

func cleanProfile(p Profile) (Profile, error) {
	var err error
	if p.Name, err = cleanText("name", p.Name, maxName); err != nil {
		return p, err
	}
	if p.Name == "" {
		return p, refuse("profile_name")
	}
	if len(p.Binds) == 0 {
		return p, refuse("binds_missing")
	}
	known := Bodies()
	for _, b := range p.Binds {
		if !slices.Contains(known, b) {
			return p, refuse("binds_unknown", "value", b)
		}
	}
	p.Binds = slices.Clone(p.Binds)
	slices.Sort(p.Binds)
	p.Binds = slices.Compact(p.Binds)
	return p, nil
}

// RemoveDemo removes everything the demonstration made and returns how many
// subjects that were. What is real but was given to a demonstration's unit loses
// that owner and shows among the ownerless.
func (r *Registry) RemoveDemo(ctx context.Context, by garrison.Actor) (n int, err error) {
	err = r.db.Write(ctx, func(tx *state.Tx) error {
		n = 0
		demo, err := listRows(ctx, tx, selectDemo)
		if err != nil {
			return fmt.Errorf("list the demonstration's subjects: %w", err)
		}
		for _, d := range demo {
			if err := r.disown(ctx, tx, d.Subject, by); err != nil {
				return err
			}
			if err := r.remove(ctx, tx, d.Subject, by); err != nil {
				return err
			}
			n++
		}
		p, err := loadProfile(ctx, tx)
		if err != nil || !p.Demo {
			return err
		}
		if _, err := tx.Exec(ctx, deleteProfile); err != nil {
			return fmt.Errorf("forget who the demonstration was: %w", err)
		}
		_, err = tx.Record(ctx, state.Change{Kind: kindProfile, ID: profileID, By: by, What: "removed"})
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (r *Registry) disown(ctx context.Context, tx *state.Tx, unit garrison.Subject, by garrison.Actor) error {
	if unit.Kind != garrison.Unit {
		return nil
	}
	owned, err := listRows(ctx, tx, selectOwned, string(unit.ID))
	if err != nil {
		return fmt.Errorf("list what %q answers for: %w", unit.ID, err)
	}
	for _, o := range owned {
		o.Owner = ""
		o.Version++
		if err := r.put(ctx, tx, &o.Subject, by, "owner_removed"); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) remove(ctx context.Context, tx *state.Tx, s garrison.Subject, by garrison.Actor) error {
	if _, err := tx.Exec(ctx, deleteAddresses, string(s.ID)); err != nil {
		return fmt.Errorf("free the addresses of %q: %w", s.ID, err)
	}
	if _, err := tx.Exec(ctx, deleteByID, string(s.ID)); err != nil {
		return fmt.Errorf("remove subject %q: %w", s.ID, err)
	}
	if _, err := tx.Record(ctx, state.Change{Kind: kindSubject, ID: string(s.ID), By: by, What: "removed"}); err != nil {
		return err
	}
	tx.OnCommit(func() {
		r.index.remove(s)
		s.Retired = true
		r.changed(s)
	})
	return nil
}
