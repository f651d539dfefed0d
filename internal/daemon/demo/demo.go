package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	"garrison"
	"garrison/internal/cases"
	"garrison/internal/measures"
	"garrison/internal/registry"
	"garrison/internal/testkit/natlines"
	"garrison/internal/testkit/site"
)

// Deps are the parts the demonstration uses, as any user would.
type Deps struct {
	Registry *registry.Registry
	Runner   *measures.Runner
	Cases    *cases.Cases
	Syslog   func() string                   // where syslog over TCP is taken; empty: nowhere
	Reach    func(hosts []string)            // lets the probe visit the stand-ins
	Refresh  func(ctx context.Context) error // judges the clauses anew
	Log      *slog.Logger
	Now      func() time.Time
}

// Demo is the demonstration. Its methods may be called by one at a time.
type Demo struct {
	deps Deps
	mu   sync.Mutex // guards what follows
	site *site.Site
	stop context.CancelFunc
	done sync.WaitGroup
}

// New builds it; nothing runs before Fill or Resume.
func New(deps Deps) *Demo { return &Demo{deps: deps} }

// foreignHosts is how many other sites the portal links to.
const foreignHosts = 4

// senders are the devices that write translations, each from a loopback address.
var senders = []struct{ name, address, dialect string }{
	{"CGN-01（演示）", "127.0.0.11", natlines.Juniper},
	{"CGN-02（演示）", "127.0.0.12", natlines.Cisco},
	{"NAT-03（演示）", "127.0.0.13", natlines.Netfilter},
}

// pause between two lines of one sender.
const pause = 200 * time.Millisecond

// Fill enters the fictional operator and starts its stand-ins.
func (d *Demo) Fill(ctx context.Context, by garrison.Actor) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.deps.Registry.Counts(ctx)
	if err != nil {
		return err
	}
	held := 0
	for _, c := range n.ByKind {
		held += c
	}
	if held > 0 {
		return garrison.Refuse(garrison.Conflict, "error.demo.not_empty")
	}
	if err := d.startSite(ctx, site.Config{Addr: "127.0.0.1:0", Foreign: foreignHosts}); err != nil {
		return err
	}
	portal, err := d.enter(ctx, by)
	if err != nil {
		return err
	}
	d.startSenders(ctx)
	for range 2 { // two looks confirm what one look suspects
		if _, err := d.deps.Runner.RunNow(ctx, "links", portal, by); err != nil {
			return fmt.Errorf("look at the portal's links: %w", err)
		}
	}
	return d.deps.Refresh(ctx)
}

// enter writes the operator into the register.
func (d *Demo) enter(ctx context.Context, by garrison.Actor) (portal garrison.SubjectID, err error) {
	if err := d.deps.Registry.SetProfile(ctx, registry.Profile{Name: "檀溪宽带（演示）", Binds: []string{"government", "isp"}, Set: true, Demo: true}, by); err != nil {
		return "", err
	}
	add := func(s garrison.Subject) garrison.SubjectID {
		if err != nil {
			return ""
		}
		s.Demo = true
		var made garrison.Subject
		if made, err = d.deps.Registry.Create(ctx, s, by); err != nil {
			err = fmt.Errorf("enter %q: %w", s.Name, err)
		}
		return made.ID
	}
	isp := add(garrison.Subject{Kind: garrison.Unit, Name: "檀溪宽带网络有限公司", Responsible: "梁序"})
	noc := add(garrison.Subject{Kind: garrison.Unit, Name: "网络运行部", Owner: isp, Responsible: "周砚"})
	town := add(garrison.Subject{Kind: garrison.Unit, Name: "青檀县人民政府办公室", Owner: isp, Responsible: "陆川"})
	for _, p := range []struct {
		name string
		unit garrison.SubjectID
	}{{"梁序", isp}, {"周砚", noc}, {"沈遥", noc}, {"陆川", town}} {
		add(garrison.Subject{Kind: garrison.Person, Name: p.name, Owner: p.unit, Responsible: p.name})
	}
	portal = add(garrison.Subject{Kind: garrison.Site, Name: "青檀县人民政府门户网站（演示）", Owner: town, Responsible: "陆川",
		Attributes: map[string]string{"url": d.site.URL()}})
	for _, s := range senders {
		add(garrison.Subject{Kind: garrison.Sender, Name: s.name, Owner: noc, Responsible: "周砚",
			Attributes: map[string]string{"address": s.address, "zone": "Asia/Shanghai", "dialect": s.dialect}})
	}
	add(garrison.Subject{Kind: garrison.Pool, Name: "出口地址池一（演示）", Owner: noc, Responsible: "周砚",
		Attributes: map[string]string{"prefix": "203.0.113.0/24"}})
	for i := range 8 {
		owner, responsible := noc, "沈遥"
		if i == 7 {
			owner, responsible = "", "" // one that nobody answers for, which is a finding and no default
		}
		add(garrison.Subject{Kind: garrison.Line, Name: fmt.Sprintf("演示线路 %02d", i+1), Owner: owner, Responsible: responsible,
			Attributes: map[string]string{"number": fmt.Sprintf("TX-%05d", 10001+i), "inside": fmt.Sprintf("100.64.0.%d", i+1)}})
	}
	return portal, err
}

// Resume starts the stand-ins again where an earlier life of this installation was
// filled with the demonstration.
func (d *Demo) Resume(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	yes := true
	list, _, err := d.deps.Registry.List(ctx, registry.Filter{Kind: garrison.Site, Demo: &yes, Limit: 1})
	if err != nil || len(list) == 0 {
		return err
	}
	u, err := url.Parse(list[0].Attributes["url"])
	if err != nil {
		return fmt.Errorf("demonstration's portal %q: %w", list[0].Attributes["url"], err)
	}
	if err := d.startSite(ctx, site.Config{Addr: u.Host, Foreign: foreignHosts}); err != nil {
		// Another program has the port now: then the looks say so, which is true.
		d.deps.Log.Warn("the demonstration's web site cannot listen again", "address", u.Host, "error", err)
	}
	d.startSenders(ctx)
	return nil
}

func (d *Demo) startSite(ctx context.Context, cfg site.Config) error {
	s := site.New(cfg)
	if err := s.Start(ctx); err != nil {
		return fmt.Errorf("start the demonstration's web site: %w", err)
	}
	d.site = s
	var hosts []string
	for _, at := range append([]string{s.URL(), s.Refused()}, foreign(s)...) {
		if u, err := url.Parse(at); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	d.deps.Reach(hosts)
	return nil
}

func foreign(s *site.Site) []string {
	var out []string
	for n := 1; n <= foreignHosts; n++ {
		out = append(out, s.Foreign(n, "/"))
	}
	return out
}

func (d *Demo) startSenders(ctx context.Context) {
	if d.stop != nil {
		return
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	for i, s := range senders {
		d.done.Go(func() { d.send(run, uint64(i+1), s.address, s.dialect) })
	}
}

// send writes lines as one device does, and dials again when the listener was away.
func (d *Demo) send(ctx context.Context, seed uint64, address, dialect string) {
	for ctx.Err() == nil {
		if err := d.sendOver(ctx, seed, address, dialect); err != nil && ctx.Err() == nil {
			d.deps.Log.Debug("demonstration's sender", "address", address, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

func (d *Demo) sendOver(ctx context.Context, seed uint64, address, dialect string) error {
	to := d.deps.Syslog()
	if to == "" {
		return errors.New("syslog over TCP is switched off")
	}
	dial := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 5 * time.Second}
	conn, err := dial.DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	lines := natlines.New(natlines.Options{Seed: seed + uint64(d.deps.Now().UnixNano()), Start: d.deps.Now(), Step: pause, Dialects: []string{dialect}, Noise: 200})
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write([]byte(lines.Next().Text + "\n")); err != nil {
			return err
		}
	}
}

// Clear removes what the demonstration entered and stops its stand-ins. The records
// it sent stay, as any record does, until their retention ends.
func (d *Demo) Clear(ctx context.Context, by garrison.Actor) (int, error) {
	if err := d.Stop(ctx); err != nil {
		return 0, err
	}
	n, err := d.deps.Registry.RemoveDemo(ctx, by)
	if err != nil {
		return n, err
	}
	m, err := d.deps.Runner.RemoveDemo(ctx, by)
	if err != nil {
		return n + m, err
	}
	k, err := d.deps.Cases.RemoveDemo(ctx, by)
	return n + m + k, err
}

// Stop ends the stand-ins; Resume starts them again.
func (d *Demo) Stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		d.stop()
		d.done.Wait()
		d.stop = nil
	}
	d.deps.Reach(nil)
	if d.site == nil {
		return nil
	}
	err := d.site.Stop(ctx)
	d.site = nil
	return err
}
