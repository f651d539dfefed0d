package probe

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneHostIsAskedByOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(8, time.Now, sleep)
		leave, err := g.enter(t.Context(), "a.example", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the request takes long: the pace alone would let others in
		var in bool
		go func() {
			leave, err := g.enter(t.Context(), "a.example", time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			in = true
			leave()
		}()
		synctest.Wait()
		if in {
			t.Error("a second request began while the first was under way")
		}
		leave()
		synctest.Wait()
		if !in {
			t.Error("the second request did not begin after the first had ended")
		}
	})
}

func TestTheGateBoundsAllRequestsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, time.Now, sleep)
		leave, err := g.enter(t.Context(), "a.example", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.enter(ctx, "b.example", time.Second); err == nil {
			t.Error("two requests at once where one is allowed")
		}
		leave()
		// What was given up holds nothing.
		leave, err = g.enter(t.Context(), "b.example", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		leave()
	})
}

func TestTheGateForgetsIdleHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, time.Now, sleep)
		for i := range 3 * maxIdleHosts {
			leave, err := g.enter(t.Context(), time.Duration(i).String(), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			leave()
			if i%1000 == 0 {
				time.Sleep(2 * time.Minute)
			}
		}
		if n := len(g.hosts); n > maxIdleHosts+1000 {
			t.Errorf("%d hosts remembered", n)
		}
	})
}
