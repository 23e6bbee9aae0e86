package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/server"
)

// hostile is a text that tries to run a script in the reader's browser.
const hostile = `"'></textarea></title><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>{{.}}<a href=javascript:alert(4)>x</a>`

const trusting = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  parameters: [{name: note}]
  traffic:
    traefikFile: {path: ../dynamic/shop.yaml, rule: PathPrefix("/"), entryPoints: [web], verify: {for: 1s, unconfirmed: trust}}
  stable: {servers: [http://127.0.0.1:8081]}
  canary: {servers: [http://127.0.0.1:8082]}
  analysis: traefik-web
  steps:
    - gate: {name: tested}
    - gate: {name: full-release}
    - promote: {}
`

// quietHouse is a daemon without Traefik and Prometheus: nothing is judged, and writes are trusted.
func quietHouse(t *testing.T) (h *house, operator string) {
	h = &house{dir: t.TempDir()}
	var tokens []server.Token
	for name, role := range map[string]string{"vera": server.RoleViewer, "otto": server.RoleOperator} {
		secret, token, err := server.NewToken(name, []string{role})
		require.NoError(t, err)
		tokens = append(tokens, token)
		if name == "vera" {
			h.viewer = secret
		} else {
			operator = secret
		}
	}
	h.quiet(t, tokens...)
	h.write(t, "rollouts/shop.yaml", trusting)
	require.NoError(t, os.Mkdir(filepath.Join(h.dir, "dynamic"), 0o700))
	h.run(t)
	return h, operator
}

// quiet configures a daemon without a Prometheus and with these tokens.
func (h *house) quiet(t *testing.T, tokens ...server.Token) {
	require.NoError(t, server.SaveTokens(filepath.Join(h.dir, "tokens.yaml"), tokens))
	port, err := testbed.FreePort()
	require.NoError(t, err)
	h.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	h.write(t, "serin.yaml", fmt.Sprintf(`apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: 127.0.0.1:%d
  config: rollouts/
  prometheus: {url: "http://127.0.0.1:1"}
  auth: {tokens: tokens.yaml}
`, port))
}

// enters signs in with a token and waits until the overview shows something.
func (c *chromium) enters(token string, shows ...string) {
	c.t.Helper()
	c.open("/")
	c.write("#token", token)
	c.click(".sign-in form button")
	c.shows(shows...)
}

// TestEverythingButLiveUpdatesWorksWithoutScripts takes a release from start to end in a browser that runs no scripts.
func TestEverythingButLiveUpdatesWorksWithoutScripts(t *testing.T) {
	t.Parallel()
	h, operator := quietHouse(t)
	c := newChromium(t, h.url)
	_, err := chromedp.Call(c.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(t, err)
	c.enters(operator, "Rollouts", "shop")
	c.shows("without scripts this page stays as it is")
	c.click(".c-name a")
	c.shows("Start a release")
	c.write("input[name=p-note]", "tuesday")
	c.click(".start button.primary")
	c.shows("The release is started.", "tuesday")
	require.True(t, js[bool](c, `document.querySelector("#live").hidden`), "nothing claims to be live")
	release := c.path()
	c.until(release, "Gate tested")

	c.click("details.ask:first-of-type summary")
	c.write("#why-pause", "lunch")
	c.click("details.ask:first-of-type form button")
	c.shows("Paused.", "Paused by otto: lunch")
	c.click("details.ask:first-of-type summary")
	c.click("details.ask:first-of-type form button")
	c.shows("Resumed.")
	c.write("#gate-reason", "the checklist is done")
	c.click(".decide button[value=approve]")
	c.shows("Approved.")
	c.until(release, "Gate full-release")
	c.shows("the checklist is done")
	c.click(".decide button[value=approve]")
	c.shows("Approved.")
	c.until(release, "serves everybody")

	c.click(`form[action="/theme"] button`)
	c.comes(`document.documentElement.dataset.theme === "dark"`)
	require.Equal(t, release, c.path())
	for _, link := range []string{"/history", "/audit"} {
		c.click(fmt.Sprintf(`.bar nav a[href="%s"]`, link))
		c.shows("otto")
	}
	c.click(`form[action="/sign-out"] button`)
	c.shows("You are signed out.")
	c.clean()
}

// comes waits until an expression becomes true.
func (c *chromium) comes(expression string) {
	c.t.Helper()
	await.True(c.t, func() bool {
		v, err := chromedp.Run(c.ctx, chromedp.Evaluate[bool](expression))
		return err == nil && v
	}, expression)
}

// until reloads a page until it shows a text, as a person without scripts would.
func (c *chromium) until(path, words string) {
	c.t.Helper()
	await.True(c.t, func() bool {
		if chromedp.Do(c.ctx, chromedp.Navigate(c.base+path)) != nil {
			return false // between two pages
		}
		text, err := chromedp.Run(c.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		return err == nil && strings.Contains(text, words)
	}, "%s never shows %s", path, words)
}

// TestHostileTextsAndFormsDoNothingInABrowser puts hostile text wherever people may write and opens every page in a browser
// that would run it. A page on another port of the same machine, which gets the cookies, sends the forms.
func TestHostileTextsAndFormsDoNothingInABrowser(t *testing.T) {
	t.Parallel()
	h, operator := quietHouse(t)
	c := newChromium(t, h.url)
	c.enters(operator, "Rollouts", "shop")
	c.open("/rollouts/shop")
	c.write("input[name=p-note]", hostile)
	c.click(".start button.primary")
	c.shows("The release is started.", hostile, "Gate tested")
	release := c.path()
	id := strings.TrimPrefix(release, "/releases/")
	c.write("#gate-reason", hostile)
	c.click(".decide button[value=approve]")
	c.shows("Gate full-release", hostile)
	h.write(t, "rollouts/bad.yaml", "apiVersion: serin.dev/v1alpha1\nkind: Rollout\nmetadata:\n  name: '"+strings.ReplaceAll(hostile, "'", "''")+"'\nspec: {}\n")
	c.until("/problems", "bad.yaml")
	c.shows("alert(2)")
	c.inspect("problems")
	q := strings.NewReplacer("%", "%25", "#", "%23", "&", "%26", "+", "%2B").Replace(hostile)
	for _, path := range []string{
		"/", "/?q=" + q, "/rollouts/shop", release, release + "?done=" + q, "/history?rollout=" + q, "/compare?a=" + id + "&b=" + id,
		"/compare?a=" + q + "&b=" + q, "/audit", "/audit?by=" + q, "/" + q, "/releases/" + q, "/history?outcome=" + q,
	} {
		c.open(path)
		c.shows("Serin")
		require.Zero(t, js[int](c, `document.querySelectorAll("main script, main img, main [onload], main [onerror], a[href^=javascript]").length`), path)
	}
	c.clean("404", "400") // it reports any script, dialog or breach of the policy

	theForms(t, c, h, id)
	report := filepath.Join(t.TempDir(), "report.html")
	code := (&app{stdout: t.Output(), stderr: t.Output(), getenv: func(name string) string {
		return map[string]string{"SERIN_SERVER": h.url, "SERIN_TOKEN": h.viewer}[name]
	}}).run(t.Context(), []string{"report", id, "-o", report})
	require.Equal(t, exitOK, code)
	c.do(navigate("file://" + report))
	c.shows("Report of", hostile)
	c.clean()
}

// theForms sends forms from a page on the same machine: the same site for cookies, another origin for the daemon.
func theForms(t *testing.T, c *chromium, h *house, id string) {
	c.open("/releases/" + id)
	word := js[string](c, `document.querySelector("input[name=csrf]").value`) // an attacker would not even have this
	paths := []string{"/releases/" + id + "/do/rollback", "/releases/" + id + "/do/pause", "/releases/" + id + "/answer", "/rollouts/shop/start", "/sign-out", "/theme", "/sign-in"}
	next := 0
	enemy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<form method=post action="%s%s"><input name=csrf value="%s"><input name=gate value=full-release>
			<input name=theme value=dark><button name=answer value=approve>free shoes</button></form>`, h.url, paths[next], word)
	}))
	defer enemy.Close()
	for next = range paths {
		c.do(navigate(enemy.URL))
		c.click("button")
		c.shows("This request comes from another site's page, and was refused")
	}
	c.do(navigate(enemy.URL))
	status := js[string](c, fmt.Sprintf(`fetch("%s/", {credentials: "include"}).then(r => "read: " + r.status, () => "not read")`, h.url))
	require.Equal(t, "not read", status, "it cannot read a page either")
	c.clean("403", "CORS", "Failed to load resource", "favicon")
	c.open("/releases/" + id)
	c.shows("Gate full-release", "Roll back")
	require.Empty(t, js[string](c, `document.documentElement.dataset.theme || ""`))
}
