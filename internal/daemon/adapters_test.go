package daemon

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"garrison/internal/probe"
)

// What stands in for a web site may lie: a redirect from there opens nothing beyond
// this machine.
func TestDemonstrationLeadsNoFurtherThanThisMachine(t *testing.T) {
	away := httptest.NewServer(http.RedirectHandler("http://10.255.255.1/", http.StatusFound))
	defer away.Close()
	p := &demoProbe{Prober: probe.New(probe.DefaultConfig(), probe.Deps{})}
	p.reach([]string{strings.TrimPrefix(away.URL, "http://")})
	ex := p.Fetch(t.Context(), probe.Request{URL: away.URL})
	if ex.Err == nil || ex.Err.Kind != probe.PolicyRefused || len(ex.Hops) != 2 {
		t.Errorf("%d hops, %+v; want the second refused by policy", len(ex.Hops), ex.Err)
	}
}
