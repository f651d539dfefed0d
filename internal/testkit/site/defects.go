package site

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Path is an address that every host answers with one particular defect.
type Path = string

// The defects.
const (
	OK         Path = "/ok"
	Dead       Path = "/dead"        // 404
	Gone       Path = "/gone"        // 410
	Forbidden  Path = "/forbidden"   // 403
	Login      Path = "/login"       // 401
	Legal      Path = "/legal"       // 451
	Busy       Path = "/busy"        // 429
	Broken     Path = "/broken"      // 500
	NotHead    Path = "/not-head"    // 200 to GET, 404 to HEAD
	Hang       Path = "/hang"        // never answers
	HalfBody   Path = "/half"        // promises more than it sends, then hangs
	Drip       Path = "/drip"        // a byte now and then, for ever
	Reset      Path = "/reset"       // closes without an answer
	NotHTTP    Path = "/not-http"    // answers in another language
	Endless    Path = "/endless"     // a body without end
	BigHead    Path = "/big-head"    // a head without end
	Bomb       Path = "/bomb"        // a small gzip that becomes very large
	FakeGzip   Path = "/fake-gzip"   // says gzip and is not
	ManyLinks  Path = "/many-links"  // 10 MB of links
	Loop       Path = "/loop"        // redirects to itself by way of another
	Deep       Path = "/deep/0"      // redirects to /deep/1, /deep/2 … without end
	Moved      Path = "/moved"       // redirects to the next host's /ok
	MovedHere  Path = "/moved-here"  // redirects to its own /ok
	ToPrivate  Path = "/to-private"  // redirects to 10.0.0.1
	ToMetadata Path = "/to-metadata" // redirects to 169.254.169.254
	ToFile     Path = "/to-file"     // redirects to file:///etc/passwd
	ToLogin    Path = "/to-login"    // redirects to an address with credentials
	To         Path = "/to"          // redirects to ?u=
	Refresh    Path = "/refresh"     // a page that leads to the next host by <meta refresh>
	Parked     Path = "/parked"      // a page that offers the domain for sale
	MaybeDead  Path = "/maybe-dead"  // 404 until Repair
)

func (s *Site) handler(n int) http.Handler {
	mux := http.NewServeMux()
	status := map[Path]int{Dead: 404, Gone: 410, Forbidden: 403, Login: 401, Legal: 451, Busy: 429, Broken: 500}
	for path, code := range status {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { page(w, code, http.StatusText(code)) })
	}
	mux.HandleFunc(OK, func(w http.ResponseWriter, _ *http.Request) { page(w, 200, "一切正常") })
	mux.HandleFunc(NotHead, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			page(w, 404, "no")
			return
		}
		page(w, 200, "yes")
	})
	mux.HandleFunc(MaybeDead, func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		ok := s.repaired
		s.mu.Unlock()
		if ok {
			page(w, 200, "办事指南")
			return
		}
		page(w, 404, "页面不存在")
	})
	mux.HandleFunc(Parked, func(w http.ResponseWriter, _ *http.Request) {
		page(w, 200, `This domain is for sale`, `<p>Buy this domain. 该域名正在出售，欢迎联系购买。</p>
<script src="https://img1.wsimg.com/parking-lander/static/js/main.js"></script>`)
	})
	s.hostile(mux)
	s.redirects(mux, n)
	mux.HandleFunc("/robots.txt", func(w http.ResponseWriter, r *http.Request) { s.serveRobots(w, r, n) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.servePage(w, r, n) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if len(s.hits) < 100_000 {
			s.hits = append(s.hits, Hit{At: time.Now(), Host: n, Path: r.URL.Path, Agent: r.UserAgent()})
		}
		s.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
}

func (s *Site) serveRobots(w http.ResponseWriter, r *http.Request, n int) {
	s.mu.Lock()
	ro, ok := s.robots[n]
	s.mu.Unlock()
	switch {
	case !ok:
		http.NotFound(w, r)
	case ro.status == 0:
		s.hang(r)
	case ro.status >= 300 && ro.status < 400:
		http.Redirect(w, r, ro.body, ro.status)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(ro.status)
		fmt.Fprint(w, ro.body)
	}
}

func (s *Site) servePage(w http.ResponseWriter, r *http.Request, n int) {
	if n == 0 && r.Method == http.MethodPost && (r.URL.Path == "/-/repair" || r.URL.Path == "/-/break") {
		s.setRepaired(r.URL.Path == "/-/repair")
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.mu.Lock()
	html, ok := s.pages[r.URL.Path]
	s.mu.Unlock()
	switch {
	case n == 0 && ok:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, html)
	case n > 0 && r.URL.Path == "/":
		page(w, 200, fmt.Sprintf("外部网站 %d", n))
	default:
		page(w, 404, "页面不存在")
	}
}

func page(w http.ResponseWriter, status int, title string, body ...string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\"><title>%s</title></head><body><h1>%s</h1>%s</body></html>",
		title, title, strings.Join(body, "\n"))
}

// hang waits until the asker or the site gives up.
func (s *Site) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.quit:
	}
}

func (s *Site) hostile(mux *http.ServeMux) {
	mux.HandleFunc(Hang, func(_ http.ResponseWriter, r *http.Request) { s.hang(r) })
	mux.HandleFunc(HalfBody, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "<title>half")
		_ = http.NewResponseController(w).Flush()
		s.hang(r)
	})
	mux.HandleFunc(Drip, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		for s.alive(r, 20*time.Millisecond) {
			fmt.Fprint(w, ".")
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc(Endless, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		block := strings.Repeat("<p>no end in sight</p>\n", 1000)
		for s.alive(r, 0) {
			if _, err := fmt.Fprint(w, block); err != nil {
				return
			}
		}
	})
	mux.HandleFunc(BigHead, func(w http.ResponseWriter, _ *http.Request) {
		raw(w, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-Filler: "+strings.Repeat("x", 1000)+"\r\n", 1000))
	})
	mux.HandleFunc(NotHTTP, func(w http.ResponseWriter, _ *http.Request) { raw(w, "220 mail.example ESMTP\r\n") })
	mux.HandleFunc(Reset, func(w http.ResponseWriter, _ *http.Request) { raw(w, "") })
	mux.HandleFunc(Bomb, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Encoding", "gzip")
		bomb(w)
	})
	mux.HandleFunc(FakeGzip, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, "this is not gzip at all")
	})
	mux.HandleFunc(ManyLinks, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		for i := range 160_000 { // more than 10 MB
			if _, err := fmt.Fprintf(w, "<a href=\"http://n%d.many.example/somewhere/%d\">link %d</a>\n", i, i, i); err != nil {
				return
			}
		}
	})
}

func (s *Site) alive(r *http.Request, pause time.Duration) bool {
	select {
	case <-r.Context().Done():
		return false
	case <-s.quit:
		return false
	case <-time.After(pause):
		return true
	}
}

// raw writes bytes to the connection as they are and closes it.
func raw(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(text))
}

// bomb writes 64 MiB of zeros in about 300 KB, as long as somebody reads.
func bomb(w io.Writer) {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return
	}
	zeros := make([]byte, 1<<20)
	for range 64 {
		if _, err := z.Write(zeros); err != nil {
			return
		}
	}
	_ = z.Close() // whoever still reads sees the end missing
}

func (s *Site) redirects(mux *http.ServeMux, n int) {
	to := func(path, target string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusFound)
		})
	}
	next := func() string {
		if n+1 < len(s.hosts) {
			return s.hosts[n+1].base
		}
		return s.hosts[1].base
	}
	to(Loop, Loop+"/again")
	to(Loop+"/again", Loop)
	to(MovedHere, OK)
	to(ToPrivate, "http://10.0.0.1/")
	to(ToMetadata, "http://169.254.169.254/latest/meta-data/")
	to(ToFile, "file:///etc/passwd")
	to(ToLogin, "http://user:secret@127.0.0.1/")
	mux.HandleFunc(To, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("u"))
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc(Moved, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", next()+OK)
		w.WriteHeader(http.StatusMovedPermanently)
	})
	mux.HandleFunc(Refresh, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<html><head><meta http-equiv="refresh" content="0; url=%s%s"></head></html>`, next(), OK)
	})
	mux.HandleFunc("/deep/{n}", func(w http.ResponseWriter, r *http.Request) {
		at, _ := strconv.Atoi(r.PathValue("n")) // anything else starts again at 1
		w.Header().Set("Location", fmt.Sprintf("/deep/%d", at+1))
		w.WriteHeader(http.StatusFound)
	})
}
