package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/oidc/oidctest"
)

// house is a complete daemon on real servers, with an identity provider.
type house struct {
	blue, green *testbed.Backend
	idp         *oidctest.Provider
	url, dir    string
	viewer      string // a token
}

func newHouse(t *testing.T) *house {
	h := &house{dir: t.TempDir()}
	h.blue = testbed.NewBackend(t, testbed.Behaviour{Version: "blue", ErrorRate: 0.01})
	h.green = testbed.NewBackend(t, testbed.Behaviour{Version: "green", ErrorRate: 0.01})
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{})
	prometheus := testbed.NewPrometheus(t, testbed.PrometheusConfig{
		ScrapeInterval: 250 * time.Millisecond, Jobs: []testbed.ScrapeJob{{Name: "traefik", Targets: []string{traefik.MetricsAddr}}},
	})
	port, err := testbed.FreePort()
	require.NoError(t, err)
	h.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	h.idp = oidctest.Start(t, h.url+"/sign-in/callback", oidctest.Person{Name: "bob", Email: "bob@example.com", Groups: []string{"sre"}})
	var token server.Token
	h.viewer, token, err = server.NewToken("vera", []string{server.RoleViewer})
	require.NoError(t, err)
	require.NoError(t, server.SaveTokens(filepath.Join(h.dir, "tokens.yaml"), []server.Token{token}))
	h.write(t, "secret", oidctest.ClientSecret+"\n")
	h.write(t, "serin.yaml", fmt.Sprintf(`apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: 127.0.0.1:%d
  externalURL: %s
  config: rollouts/
  prometheus: {url: "%s", scrapeInterval: 500ms}
  auth:
    tokens: tokens.yaml
    oidc: {issuer: "%s", clientID: %s, clientSecretFile: secret, roles: {sre: [operator]}}
`, port, h.url, prometheus.URL, h.idp.Issuer, oidctest.ClientID))
	file := filepath.Join(traefik.Directory, "shop.yaml")
	shop, err := os.ReadFile("../../daemon/testdata/shop.yaml")
	require.NoError(t, err)
	h.write(t, "rollouts/shop.yaml", strings.NewReplacer("{{file}}", file, "{{verify}}", fmt.Sprintf("{api: %q}", traefik.API),
		"{{stable}}", h.blue.URL, "{{canary}}", h.green.URL).Replace(string(shop)))
	h.run(t)
	for _, header := range []http.Header{nil, {"X-User-Group": {"beta"}}} {
		testbed.NewLoad(t, testbed.LoadConfig{URL: traefik.URL("web"), Rate: 150, Header: header})
	}
	return h
}

func (h *house) write(t *testing.T, name, text string) {
	path := filepath.Join(h.dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// run runs the daemon until the test ends.
func (h *house) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- runDaemon(ctx, filepath.Join(h.dir, "serin.yaml"), "", t.Output()) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/readyz", nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, pageTakes, 50*time.Millisecond)
}

// TestAPersonWatchesDecidesAndSeesARollback follows a release manager from start to end, in a real browser.
func TestAPersonWatchesDecidesAndSeesARollback(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := newChromium(t, h.url)
	c.open("/rollouts/shop")
	require.Equal(t, "/sign-in", c.path())
	c.inspect("sign-in")
	c.click(".sign-in .button")
	c.write("#username", "bob")
	c.write("#password", oidctest.Password)
	c.click("button[type=submit]")
	c.shows("shop", "bob@example.com", "Start a release")
	c.clean("favicon") // the provider has none
	c.inspect("rollout")

	good := watchToTheGate(t, c)
	c.open("/")
	c.shows("waiting for a person", "operator: answer full-release", "It waits for you")
	c.inspect("overview")
	t.Log("first paint of the overview: ", c.firstPaint())
	c.open("/releases/" + good)
	withoutRights(t, h, good)
	const reason = `<img src=x onerror=alert(1)> looks good`
	c.write("#gate-reason", reason)
	c.click(`.decide button[value=approve]`)
	c.shows("Released: the new version serves everybody", reason)
	c.clean()

	h.blue.Set(func(b *testbed.Behaviour) { b.ErrorRate = 0.25 }) // blue is the canary after the first release
	c.open("/rollouts/shop")
	c.click(".start button.primary")
	c.shows("The release is started.")
	bad := strings.TrimPrefix(c.path(), "/releases/")
	js[bool](c, "window.stays = true")
	c.shows("Rolled back: the canary is worse: errors", "All traffic has been on stable since", "requests reached the new version", "Ended: rolled back")
	require.True(t, js[bool](c, `/^\d\d:\d\d:\d\d$/.test(document.querySelector(".users time").textContent)`), "a time of today is one of the day")
	require.True(t, js[bool](c, `/ ago$/.test(document.querySelector(".headline time").textContent)`))
	require.Positive(t, js[int](c, `document.querySelectorAll("#timeline svg rect.hover title").length`), "values appear where one points at them")
	require.True(t, js[bool](c, "window.stays"), "it was watched live, on one page")
	c.inspect("rolled-back")
	t.Log("first paint of a release: ", c.firstPaint())

	for name, path := range map[string]string{
		"history": "/history", "compare": "/compare?a=" + good + "&b=" + bad, "audit": "/audit", "error": "/nope", "released": "/releases/" + good, "problems": "/problems",
	} {
		c.open(path)
		c.inspect(name)
	}
	c.clean("404")
	theReport(t, c, h, bad)
}

// watchToTheGate starts a release and watches it until it waits at its gate, without reloading the page.
func watchToTheGate(t *testing.T, c *chromium) string {
	c.click(".start button.primary")
	c.shows("The release is started.")
	js[bool](c, "window.stays = true")
	c.shows("live", "of the traffic is on the new version")
	c.inspect("under-way")
	c.click(".ask.danger summary")
	c.write("#why-rollback", "half a sen")
	c.shows("Roll back now?")
	c.inspect("asked")
	c.shows("Shall everybody get the new version?", "Gate full-release", "To be answered by operator", "Approve: all users get the new version", "errors: pass")
	require.True(t, js[bool](c, "window.stays"), "the page was not loaded again")
	require.Equal(t, "half a sen", js[string](c, `document.querySelector("#why-rollback").value`), "what somebody is writing is left alone")
	c.click(".ask.danger summary")
	require.Positive(t, js[int](c, `document.querySelectorAll("svg.serin-chart path.line").length`))
	require.Positive(t, js[int](c, `document.querySelectorAll("svg.serin-chart path.band").length`))
	c.inspect("gate")
	for _, l := range ways {
		c.as(l)
		bottom := js[float64](c, `document.querySelector(".decide button[value=reject]").getBoundingClientRect().bottom`)
		require.LessOrEqual(t, bottom, float64(l.height), "both answers are on the first screen: "+l.name)
	}
	c.as(ways[0])
	c.clean()
	return strings.TrimPrefix(c.path(), "/releases/")
}

// withoutRights is a user who may only read.
func withoutRights(t *testing.T, h *house, id string) {
	c := newChromium(t, h.url)
	c.open("/releases/" + id)
	c.write("#token", h.viewer)
	c.click(".sign-in form button")
	c.shows("Gate full-release", "is answered by [operator], not by vera")
	require.Zero(t, js[int](c, `document.querySelectorAll(".decide button, .ask").length`), "no button")
	c.clean()
	word := js[string](c, `document.querySelector("input[name=csrf]").value`)
	for path, form := range map[string]string{"answer": "gate=full-release&answer=approve", "do/rollback": "", "do/pause": ""} {
		status := js[int](c, fmt.Sprintf(`fetch("/releases/%s/%s", {method: "POST", body: new URLSearchParams("csrf=%s&%s")}).then(r => r.status)`, id, path, word, form))
		require.Equal(t, http.StatusForbidden, status, path)
	}
	c.clean("403")
	// A page of another origin in the same browser, with the same cookies.
	c.do(navigate("data:text/html,<form method=post action='" + h.url + "/releases/" + id + "/do/rollback'><button>x</button></form>"))
	c.click("button")
	c.shows("You are not signed in") // the browser keeps the session's cookie to itself
	c.clean("401")
	c.open("/releases/" + id)
	c.shows("Gate full-release")
}

// theReport is opened from a file in the browser, as an attachment of a ticket would be.
func theReport(t *testing.T, c *chromium, h *house, id string) {
	file := filepath.Join(t.TempDir(), "report.html")
	code := (&app{stdout: t.Output(), stderr: t.Output(), getenv: func(name string) string {
		return map[string]string{"SERIN_SERVER": h.url, "SERIN_TOKEN": h.viewer}[name]
	}}).run(t.Context(), []string{"report", id, "-o", file})
	require.Equal(t, exitOK, code)
	info, err := os.Stat(file)
	require.NoError(t, err)
	t.Logf("the report has %d KB", info.Size()/1000)
	c.do(navigate("file://" + file))
	c.shows("Rolled back: the canary is worse: errors", "Report of")
	c.clean()
	c.inspect("report")
}
