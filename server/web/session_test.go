package web_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/oidc"
	"github.com/serindev/serin/server/oidc/oidctest"
	"github.com/serindev/serin/server/web"
	"github.com/serindev/serin/store"
)

func TestAFormOfAnotherSiteDoesNothing(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop", nil)
	olga, otto := d.as("olga"), d.as("otto")
	mine, theirs := hidden(olga.get("/"), "csrf"), hidden(otto.get("/"), "csrf")
	require.NotEqual(t, mine, theirs)
	for _, path := range []string{"/releases/" + id + "/do/rollback", "/releases/" + id + "/do/pause", "/releases/" + id + "/answer", "/rollouts/cart/start", "/sign-out"} {
		for name, c := range map[string]struct {
			form   url.Values
			header http.Header
		}{
			"without the session's token":        {},
			"with a wrong token":                 {form: url.Values{"csrf": {mine + "x"}}},
			"with another user's token":          {form: url.Values{"csrf": {theirs}}},
			"from another site, with the token":  {form: url.Values{"csrf": {mine}}, header: http.Header{"Sec-Fetch-Site": {"cross-site"}}},
			"from a sister site, with the token": {form: url.Values{"csrf": {mine}}, header: http.Header{"Sec-Fetch-Site": {"same-site"}}},
			"from another origin, with it":       {form: url.Values{"csrf": {mine}}, header: http.Header{"Origin": {"https://evil.example"}}},
			"from nowhere, with it":              {form: url.Values{"csrf": {mine}}, header: http.Header{"Origin": {"null"}}},
			"in the address, not in the form":    {header: http.Header{"X-Csrf": {mine}}},
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+path+"?csrf="+url.QueryEscape(mine), strings.NewReader(c.form.Encode()))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			maps.Copy(r.Header, c.header)
			require.Equal(t, http.StatusForbidden, olga.do(r).status, "%s %s", path, name)
		}
	}
	for _, path := range []string{"/sign-in", "/theme"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+path, strings.NewReader("theme=dark"))
		require.NoError(t, err)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		require.Equal(t, http.StatusForbidden, olga.do(r).status, path)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/api/v1/releases/"+id+"/pause", strings.NewReader("{}"))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	require.Equal(t, http.StatusUnauthorized, olga.do(r).status, "the API knows no cookies")
	v, err := d.engine.Release(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, rollout.Active, v.State.Phase)
	require.Nil(t, v.State.Pause)
	require.Equal(t, http.StatusOK, olga.get("/").status, "and nobody was signed out")
}

func TestEveryPageSaysWhatABrowserMayDoWithIt(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop", nil)
	vera := d.as("vera")
	for _, path := range []string{"/", "/releases/" + id, "/history", "/audit", "/problems", "/nope", "/sign-in", "/assets/serin.js"} {
		h := vera.get(path).header
		policy := h.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'", path)
		require.NotContains(t, policy, "unsafe")
		require.Contains(t, policy, "frame-ancestors 'none'")
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
		require.Equal(t, "same-origin", h.Get("Referrer-Policy"))
		if !strings.HasPrefix(path, "/assets") {
			require.Equal(t, "no-store", h.Get("Cache-Control"), path)
		}
	}
	p := vera.get("/")
	_, address, _ := strings.Cut(p.body, `rel="stylesheet" href="`)
	address, _, _ = strings.Cut(address, `"`)
	require.Contains(t, vera.get(address).header.Get("Cache-Control"), "immutable")
}

func TestARedirectAfterSigningInStaysOnTheSite(t *testing.T) {
	d := newDaemon(t)
	secrets, _ := roster()
	for to, want := range map[string]string{
		"/history?rollout=shop": "/history?rollout=shop", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/",
		"javascript:alert(1)": "/", "": "/", "evil": "/", "/\t/evil.example": "/", "http:/history": "/",
	} {
		p := d.browser().post("/sign-in", url.Values{"token": {secrets["vera"]}, "to": {to}})
		require.Equal(t, want, p.path, to)
	}
}

func TestARevokedTokenEndsItsSessions(t *testing.T) {
	d := newDaemon(t)
	vera := d.as("vera")
	require.Equal(t, http.StatusOK, vera.get("/").status)
	_, tokens := roster()
	var others []server.Token
	for _, token := range tokens {
		if token.Name != "vera" {
			others = append(others, token)
		}
	}
	require.NoError(t, server.SaveTokens(d.tokens, others))
	require.Contains(t, vera.get("/").path, "/sign-in")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/live", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, vera.do(r).status, "an open page is told so")
}

func TestGuessingTokensIsSlow(t *testing.T) {
	d := newDaemon(t)
	b := d.browser()
	status := 0
	for range 12 {
		status = b.post("/sign-in", url.Values{"token": {"serin.otto.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}).status
	}
	require.Equal(t, http.StatusTooManyRequests, status)
}

func TestPeopleSignInThroughAnIdentityProvider(t *testing.T) {
	var idp *oidctest.Provider
	d := newDaemon(t, func(o *web.Options) {
		idp = oidctest.Start(t, o.ExternalURL+"/sign-in/callback",
			oidctest.Person{Name: "bob", Email: "bob@example.com", Groups: []string{"sre"}}, oidctest.Person{Name: "eve", Email: "eve@example.com", Groups: []string{"sales"}})
		o.Provider = oidc.New(oidc.Config{Issuer: idp.Issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, Roles: map[string][]string{"sre": {"operator"}}})
	})
	id := d.start("shop", nil)
	// toProvider returns the address that a browser is sent to.
	toProvider := func(b *browser) string {
		follow := b.http.CheckRedirect
		b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		defer func() { b.http.CheckRedirect = follow }()
		p := b.get("/sign-in/provider?to=%2Freleases%2F" + id)
		require.Equal(t, http.StatusSeeOther, p.status)
		return p.header.Get("Location")
	}
	bob := d.browser()
	require.Contains(t, bob.get("/releases/"+id).body, "Continue with single sign-on")
	back := idp.SignIn(t, toProvider(bob), "bob")
	require.Equal(t, http.StatusForbidden, d.browser().get(back.RequestURI()).status, "another browser cannot end what this one began")
	back = idp.SignIn(t, toProvider(bob), "bob")
	p := bob.get(back.RequestURI())
	require.Equal(t, "/releases/"+id, p.path, "and led back")
	require.Contains(t, p.body, "bob@example.com")
	bob.submit(p, "Yes, pause", url.Values{"reason": {"lunch"}})
	audit := bob.get("/audit?kind=all").body
	require.Contains(t, audit, "by identity provider")
	require.Regexp(t, `bob@example.com</th><td role="cell" class="action"><span title="pauseRelease">Pause</span></td>.*<td role="cell" class="from id"><span title="127\.0\.0\.1:\d+">127\.0\.0\.1</span></td>`, audit)
	require.Equal(t, http.StatusForbidden, bob.get(back.RequestURI()).status, "an answer is good once")

	eve := d.browser()
	p = eve.get(idp.SignIn(t, toProvider(eve), "eve").RequestURI())
	require.Equal(t, http.StatusForbidden, p.status)
	require.Contains(t, p.body, "eve@example.com is in no group that has a role here")
	require.Contains(t, eve.get("/").path, "/sign-in")

	elsewhere := d.browser()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/sign-in/provider", nil)
	require.NoError(t, err)
	r.Host = "127.0.0.1.nip.example"
	require.Equal(t, "/sign-in", elsewhere.do(r).path, "anyone who came by another name starts at the one that the provider knows")
}

// alone makes the pages of a daemon without an engine, which is enough to sign in. The store takes the audit log.
func alone(t *testing.T, edit func(*web.Options)) http.Handler {
	_, tokens := roster()
	path := t.TempDir() + "/tokens.yaml"
	require.NoError(t, server.SaveTokens(path, tokens))
	verify, err := server.OpenTokens(path, testLog(t))
	require.NoError(t, err)
	s := server.New(server.Options{
		Tokens: verify, Store: noStore{}, Log: testLog(t), Registry: prometheus.NewRegistry(), Engine: noEngine{},
		Pages: func(s *server.Server) http.Handler {
			o := web.Options{Server: s, Engine: noEngine{}, Store: noStore{}, Key: []byte(strings.Repeat("k", 32)), Log: testLog(t)}
			if edit != nil {
				edit(&o)
			}
			h, err := web.New(o)
			require.NoError(t, err)
			return h
		},
	})
	return s.Handler()
}

// ask sends one request with cookies and returns the answer.
func ask(t *testing.T, h http.Handler, method, target string, form url.Values, cookies []*http.Cookie, header ...string) *http.Response {
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestASessionEnds(t *testing.T) {
	secrets, _ := roster()
	synctest.Test(t, func(t *testing.T) {
		h := alone(t, func(o *web.Options) { o.MaxAge, o.Idle = 10*time.Hour, time.Hour })
		signIn := func() []*http.Cookie {
			return ask(t, h, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}}, nil).Cookies()
		}
		in := func(cookies []*http.Cookie, header ...string) (*http.Response, bool) {
			r := ask(t, h, http.MethodGet, "/", nil, cookies, header...)
			return r, r.StatusCode == http.StatusOK
		}
		cookies := signIn()
		_, ok := in(cookies)
		require.True(t, ok)
		time.Sleep(time.Hour)
		_, ok = in(cookies)
		require.False(t, ok, "an hour without a click")

		cookies = signIn()
		for range 11 { // less than an hour between clicks
			time.Sleep(54 * time.Minute)
			r, ok := in(cookies)
			require.True(t, ok)
			require.Len(t, r.Cookies(), 1, "a click keeps it alive")
			cookies = r.Cookies()
		}
		time.Sleep(6 * time.Minute)
		_, ok = in(cookies)
		require.False(t, ok, "ten hours in all")

		cookies = signIn()
		for range 2 {
			time.Sleep(31 * time.Minute)
			r, _ := in(cookies, "X-Serin-Live", "1")
			require.Empty(t, r.Cookies(), "what a page does by itself keeps nothing alive")
		}
		_, ok = in(cookies)
		require.False(t, ok)
	})
}

func TestACookieIsSealed(t *testing.T) {
	secrets, _ := roster()
	h := alone(t, nil)
	cookies := ask(t, h, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}}, nil).Cookies()
	require.Len(t, cookies, 1)
	c := cookies[0]
	require.NotContains(t, c.Value, "vera")
	require.True(t, c.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, c.SameSite)
	require.Equal(t, "serin-session", c.Name)
	is := func(h http.Handler, c *http.Cookie) int {
		return ask(t, h, http.MethodGet, "/", nil, []*http.Cookie{c}).StatusCode
	}
	require.Equal(t, http.StatusOK, is(h, c))
	require.Equal(t, http.StatusOK, is(alone(t, nil), c), "a restart, or another daemon with the same key")
	require.Equal(t, http.StatusSeeOther, is(alone(t, func(o *web.Options) { o.Key = []byte(strings.Repeat("x", 32)) }), c), "another key")
	for i := range len(c.Value) {
		b := []byte(c.Value)
		if b[i] ^= 1; i == len(b)-1 {
			b[i] = 'x' // the last bits may carry nothing
		}
		other := *c
		other.Value = string(b)
		if other.Value != c.Value && i < len(b)-1 {
			require.Equal(t, http.StatusSeeOther, is(h, &other), "byte %d", i)
		}
	}
	ticket := *c
	ticket.Name = "serin-sign-in"
	require.Equal(t, http.StatusSeeOther, is(h, &ticket))

	page := ask(t, h, http.MethodGet, "/", nil, cookies)
	var body strings.Builder
	require.NoError(t, page.Write(&body))
	word := hidden(newPage(t, body.String()), "csrf")
	require.Equal(t, http.StatusSeeOther, ask(t, h, http.MethodPost, "/sign-out", url.Values{"csrf": {word}}, cookies).StatusCode)
	require.Equal(t, http.StatusSeeOther, is(h, c), "a copy of it is worth nothing after signing out")

	over := ask(t, h, http.MethodPost, "https://serin.example.com/sign-in", url.Values{"token": {secrets["vera"]}}, nil)
	require.Equal(t, "__Host-serin-session", over.Cookies()[0].Name)
	require.True(t, over.Cookies()[0].Secure)
	require.NotEmpty(t, over.Header.Get("Strict-Transport-Security"))

	_, err := web.New(web.Options{Key: []byte("short")})
	require.ErrorContains(t, err, "expected 32 or more")
}

func TestASessionThatWasEndedStaysEndedAfterARestart(t *testing.T) {
	s, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/serin.db")
	require.NoError(t, err)
	defer s.Close()
	remembered := func(o *web.Options) { o.Sessions = s }
	secrets, _ := roster()
	before := alone(t, remembered)
	in := ask(t, before, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}, "to": {"/"}}, nil)
	require.Equal(t, http.StatusSeeOther, in.StatusCode)
	stays, ends := in.Cookies(), ask(t, before, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}, "to": {"/"}}, nil).Cookies()
	csrf := hidden(newPage(t, text(t, ask(t, before, http.MethodGet, "/", nil, ends))), "csrf")
	out := ask(t, before, http.MethodPost, "/sign-out", url.Values{"csrf": {csrf}}, ends)
	require.Equal(t, "/sign-in?done=signOut", out.Header.Get("Location"))

	after := alone(t, remembered)
	require.Equal(t, http.StatusOK, ask(t, after, http.MethodGet, "/", nil, stays).StatusCode, "a restart signs nobody out")
	require.Equal(t, http.StatusSeeOther, ask(t, after, http.MethodGet, "/", nil, ends).StatusCode, "a copy of the cookie is worth nothing")
}

func text(t *testing.T, r *http.Response) string {
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

func TestRolesFollowTheGroups(t *testing.T) {
	var idp *oidctest.Provider
	provider := func(roles map[string][]string) *oidc.Provider {
		return oidc.New(oidc.Config{Issuer: idp.Issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, Roles: roles})
	}
	sre := map[string][]string{"sre": {"operator"}, "readers": {"viewer"}}
	d := newDaemon(t, func(o *web.Options) {
		idp = oidctest.Start(t, o.ExternalURL+"/sign-in/callback", oidctest.Person{Name: "bob", Email: "bob@example.com", Groups: []string{"sre"}})
		o.Provider = provider(sre)
	})
	bob := d.browser()
	bob.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	signIn := func() page {
		p := bob.get("/sign-in/provider?to=%2F")
		return bob.get(idp.SignIn(t, p.header.Get("Location"), "bob").RequestURI())
	}
	require.Equal(t, "/", signIn().header.Get("Location"))
	p := bob.get("/rollouts/shop")
	require.True(t, p.has("Start"))
	csrf := hidden(p, "csrf")

	// at is the same browser at a daemon with the same key: cookies know no ports.
	at := func(edit func(*web.Options)) *browser { return &browser{newDaemon(t, edit), bob.http} }
	stale := at(func(o *web.Options) { o.Provider, o.Recheck = provider(sre), time.Nanosecond })
	require.Equal(t, "/sign-in/provider?to=%2Frollouts%2Fshop", stale.get("/rollouts/shop").header.Get("Location"), "the provider is asked again")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, stale.d.url+"/rollouts/shop", nil)
	require.NoError(t, err)
	r.Header.Set("X-Serin-Live", "1")
	p = stale.do(r)
	require.Equal(t, http.StatusUnauthorized, p.status)
	require.Equal(t, "again", p.header.Get("Serin-Sign-In"), "an open page learns that it has to reload")
	r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, stale.d.url+"/rollouts/shop/start", strings.NewReader("csrf="+csrf))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Referer", stale.d.url+"/rollouts/shop")
	require.Equal(t, "/sign-in/provider?to=%2Frollouts%2Fshop%3Fdone%3Dconfirm", stale.do(r).header.Get("Location"), "nothing is done, and the page says so")
	require.Equal(t, http.StatusOK, stale.get("/sign-in").status, "a token helps where the provider is down")

	require.Equal(t, "/", signIn().header.Get("Location"))
	require.Equal(t, csrf, hidden(bob.get("/rollouts/shop"), "csrf"), "confirmed, it is still the same session: forms in other windows stay good")
	less := at(func(o *web.Options) { o.Provider = provider(map[string][]string{"sre": {"viewer"}}) })
	require.False(t, less.get("/rollouts/shop").has("Start"), "what the configuration says now counts at once")
	none := at(func(o *web.Options) { o.Provider = provider(map[string][]string{"readers": {"viewer"}}) })
	require.Contains(t, none.get("/").header.Get("Location"), "/sign-in?")

	idp.Move("bob", "readers")
	require.Equal(t, "/", signIn().header.Get("Location"))
	require.False(t, bob.get("/rollouts/shop").has("Start"), "and what the provider says of the groups from the next time on that it is asked")
}
