package web_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/web"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traffictest/trusted"
)

// evil is a text that must never be more than a text.
const evil = `"'><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}` + "`${1}\u202e\x1b[2K\u009b"

var people = map[string][]string{
	"vera": {"viewer"}, "otto": {"operator"}, "olga": {"operator"}, "quinn": {"qa"}, "judy": {"judge"}, "ada": {"admin"},
}

// roster makes the tokens, once for all tests.
var roster = sync.OnceValues(func() (secrets map[string]string, tokens []server.Token) {
	secrets = map[string]string{}
	for name, roles := range people {
		secret, token, err := server.NewToken(name, roles)
		if err != nil {
			panic(err)
		}
		secrets[name], tokens = secret, append(tokens, token)
	}
	return secrets, tokens
})

// daemon is the real engine and the real store behind a real listener. There is no Traefik: what is written to the
// gateway is trusted at once.
type daemon struct {
	t      *testing.T
	url    string
	tokens string
	engine *engine.Engine
	store  *store.Store
}

func plans() map[string]record.Plan {
	shop := rollout.Definition{
		Name: "shop", Revision: "a1",
		Parameters: []rollout.Parameter{{Name: "image", Default: "shop:1"}, {Name: "note"}},
		Stable:     traffic.Backend{Servers: []string{"http://127.0.0.1:1"}}, Canary: traffic.Backend{Servers: []string{"http://127.0.0.1:2"}},
		Steps:    rollout.Steps{rollout.Gate{Name: "start", Approvers: []string{"qa"}}, rollout.Gate{Name: "full", FourEyes: true}, rollout.Promote{Name: "promote"}},
		Verify:   rollout.Verify{Trust: true},
		Rollback: rollout.Rollback{Deadline: time.Minute},
	}
	cart, big, later := shop, shop, shop
	cart.Name, big.Name, later.Name = "cart", "big", "later"
	later.Steps = rollout.Steps{rollout.Wait{Name: "lunch", For: time.Hour}, rollout.Promote{Name: "promote"}}
	return map[string]record.Plan{
		"shop": {Rollout: shop}, "cart": {Rollout: cart},
		"later": {Rollout: later}, "big": {Rollout: big},
	}
}

func newDaemon(t *testing.T, edit ...func(*web.Options)) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{t: t, tokens: filepath.Join(dir, "tokens.yaml")}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	_, tokens := roster()
	require.NoError(t, server.SaveTokens(d.tokens, tokens))
	var err error
	d.store, err = store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "serin.db"))
	require.NoError(t, err)
	registry := prometheus.NewRegistry()
	d.engine = engine.New(engine.Options{
		Store: d.store, Log: log, Registerer: registry, ObserveEvery: 20 * time.Millisecond,
		NewRouter: func(name string, _ record.Gateway) (engine.Router, error) { return trusted.New(name), nil },
		NewJudge:  func(s judge.Settings) (judge.Judge, error) { return sequential.New(s) },
		Call:      func(context.Context, engine.Call) error { return nil },
	})
	d.engine.SetPlans(plans())
	d.serve(log, registry, edit)
	await.True(t, func() bool { return len(d.engine.Rollouts()) == len(plans()) })
	return d
}

func (d *daemon) serve(log *slog.Logger, registry *prometheus.Registry, edit []func(*web.Options)) {
	t := d.t
	verify, err := server.OpenTokens(d.tokens, log)
	require.NoError(t, err)
	listener, err := server.Listen(t.Context(), server.ListenConfig{Address: "127.0.0.1:0"})
	require.NoError(t, err)
	d.url = "http://" + listener.Addr().String()
	problems := func() []server.ConfigProblem {
		return []server.ConfigProblem{{File: evil, Line: 3, Path: evil, Text: evil, Source: evil}}
	}
	s := server.New(server.Options{
		Engine: d.engine, Store: d.store, Tokens: verify, Problems: problems, Version: "v1", Log: log, Registry: registry, Heartbeat: 50 * time.Millisecond,
		Pages: func(s *server.Server) http.Handler {
			o := web.Options{Server: s, Engine: d.engine, Store: d.store, Problems: problems, Key: []byte(strings.Repeat("k", 32)), ExternalURL: d.url, Version: "v1", Log: log}
			for _, f := range edit {
				f(&o)
			}
			h, err := web.New(o)
			require.NoError(t, err)
			return h
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- d.engine.Run(ctx) }()
	go func() { done <- s.Run(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, errors.Join(<-done, <-done, d.store.Close()))
	})
}

// browser is a browser without scripts: it keeps cookies and follows redirects.
type browser struct {
	d    *daemon
	http *http.Client
}

// page is what came back.
type page struct {
	t      *testing.T
	status int
	path   string
	header http.Header
	body   string
}

func (d *daemon) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(d.t, err)
	return &browser{d, &http.Client{Jar: jar}}
}

// as returns the browser of a person who has signed in.
func (d *daemon) as(who string) *browser {
	d.t.Helper()
	b := d.browser()
	secrets, _ := roster()
	p := b.post("/sign-in", url.Values{"token": {secrets[who]}, "to": {"/"}})
	require.Less(d.t, p.status, 404, p.body)
	return b
}

func (b *browser) get(path string) page {
	b.d.t.Helper()
	r, err := http.NewRequestWithContext(b.d.t.Context(), http.MethodGet, b.d.url+path, nil)
	require.NoError(b.d.t, err)
	return b.do(r)
}

func (b *browser) post(path string, form url.Values) page {
	b.d.t.Helper()
	r, err := http.NewRequestWithContext(b.d.t.Context(), http.MethodPost, b.d.url+path, strings.NewReader(form.Encode()))
	require.NoError(b.d.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

func (b *browser) do(r *http.Request) page {
	b.d.t.Helper()
	resp, err := b.http.Do(r)
	require.NoError(b.d.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.d.t, err)
	p := page{b.d.t, resp.StatusCode, resp.Request.URL.RequestURI(), resp.Header, string(body)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && resp.Header.Get("Location") == "" {
		harmless(b.d.t, p.body)
	}
	return p
}

// submit sends the form of the page that has a button with these words, with the given fields.
func (b *browser) submit(p page, button string, fill url.Values) page {
	b.d.t.Helper()
	for _, form := range regexp.MustCompile(`(?s)<form[^>]*method="post".*?</form>`).FindAllString(p.body, -1) {
		pressed := regexp.MustCompile(`<button([^>]*)>` + regexp.QuoteMeta(button) + `</button>`).FindStringSubmatch(form)
		if pressed == nil {
			continue
		}
		values := url.Values{}
		for _, hidden := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(form, -1) {
			values.Set(hidden[1], html.UnescapeString(hidden[2]))
		}
		if m := regexp.MustCompile(`name="([^"]*)" value="([^"]*)"`).FindStringSubmatch(pressed[1]); m != nil {
			values.Set(m[1], m[2])
		}
		maps.Copy(values, fill)
		action := regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(form)
		return b.post(html.UnescapeString(action[1]), values)
	}
	b.d.t.Fatalf("there is no button %q on %s", button, p.path)
	return page{}
}

// has reports whether a page has a button.
func (p page) has(button string) bool { return strings.Contains(p.body, ">"+button+"</button>") }

// configured reports whether a link comes from a rollout's document: it leads to an http or https address, without a referrer.
func configured(a *html.Node) bool {
	is := map[string]string{}
	for _, attr := range a.Attr {
		is[attr.Key] = attr.Val
	}
	return len(is) == 2 && is["rel"] == "noopener noreferrer" && (strings.HasPrefix(is["href"], "https://") || strings.HasPrefix(is["href"], "http://"))
}

// harmless reads a page as browsers do, and checks that nothing in it runs, loads from elsewhere, or has an inline style.
func harmless(t require.TestingT, text string) {
	require.NotContains(t, text, "\u202e", "nothing turns the direction of what follows")
	require.NotContains(t, text, "\x1b", "nor is there any other control")
	doc, err := html.Parse(strings.NewReader(text))
	require.NoError(t, err)
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data == "a" && configured(n) {
			continue
		}
		require.NotContains(t, []string{"iframe", "object", "embed", "base", "foreignobject", "frame", "applet"}, n.Data)
		for _, a := range n.Attr {
			require.False(t, strings.HasPrefix(strings.ToLower(a.Key), "on"), "%s has %s", n.Data, a.Key)
			require.NotEqual(t, "style", a.Key, n.Data)
			switch a.Key {
			case "src", "href", "action", "formaction", "xlink:href":
				require.Regexp(t, `^(/[^/\\]|/$|#|report)`, a.Val, "%s leads elsewhere", n.Data)
				if n.Data == "script" || n.Data == "img" || n.Data == "link" {
					require.Regexp(t, `^/assets/serin\.(js|css|svg)\?v=[0-9a-f]{16}$`, a.Val)
				}
			}
		}
		if n.Data == "script" {
			require.Nil(t, n.FirstChild, "a script has a source, and nothing inside")
		}
	}
}

// start starts a release and waits for its first gate.
func (d *daemon) start(name string, parameters map[string]string) string {
	d.t.Helper()
	r, err := d.engine.Start(d.t.Context(), name, rollout.StartRequest{By: "otto", Parameters: parameters}, false)
	require.NoError(d.t, err)
	d.until(r.ID, func(v record.View) bool { return v.Gate == "start" && v.State.InForce })
	return r.ID
}

func (d *daemon) until(id string, f func(record.View) bool) record.View {
	d.t.Helper()
	var v record.View
	await.True(d.t, func() bool {
		var err error
		v, err = d.engine.Release(d.t.Context(), id)
		return err == nil && f(v)
	})
	return v
}

// tags counts the elements of a page. Only a report has a style of its own, and no page has a script of its own.
func tags(t require.TestingT, text string) map[string]int {
	doc, err := html.Parse(strings.NewReader(text))
	require.NoError(t, err)
	out := map[string]int{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data == "a" && configured(n) {
			continue
		}
		out[n.Data]++
		for _, a := range n.Attr {
			require.False(t, strings.HasPrefix(strings.ToLower(a.Key), "on"), "%s has %s", n.Data, a.Key)
			require.NotContains(t, []string{"src", "style"}, a.Key)
		}
	}
	require.Zero(t, out["script"])
	return out
}
