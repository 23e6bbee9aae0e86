package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
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
	messages    <-chan message
}

// message is what a chat shows of a notification.
type message struct{ Kind, Title, Link string }

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
	messages, chat := listener(t)
	h.messages = messages
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
  grafana: {url: https://grafana.example.com}
  notify:
    - webhook: {url: "%s", secret: sixteen bytes or more}
      on: [gate, rollback, finished]
`, port, h.url, prometheus.URL, h.idp.Issuer, oidctest.ClientID, chat))
	file := filepath.Join(traefik.Directory, "shop.yaml")
	shop, err := os.ReadFile("../../daemon/testdata/shop.yaml")
	require.NoError(t, err)
	h.write(t, "rollouts/shop.yaml", strings.NewReplacer("{{file}}", file, "{{verify}}", fmt.Sprintf("{api: %q}", traefik.API),
		"{{stable}}", h.blue.URL, "{{canary}}", h.green.URL,
		"  analysis: quick\n", "  parameters: [{name: tag}]\n  analysis: quick\n").Replace(string(shop)))
	h.run(t)
	for _, header := range []http.Header{nil, {"X-User-Group": {"beta"}}} {
		testbed.NewLoad(t, testbed.LoadConfig{URL: traefik.URL("web"), Rate: 150, Header: header})
	}
	return h
}

// listener is a program that gets messages.
func listener(t *testing.T) (<-chan message, string) {
	out := make(chan message, 100)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var event struct{ Data message }
		if assert.NoError(t, json.NewDecoder(r.Body).Decode(&event)) {
			out <- event.Data
		}
	}))
	t.Cleanup(s.Close)
	return out, s.URL
}

// told waits for the next message of a kind and returns it.
func (h *house) told(t *testing.T, kind string) message {
	t.Helper()
	for {
		if m := await.Receive(t, h.messages, "no message: %s", kind); m.Kind == kind {
			return m
		}
	}
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
	await.True(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/readyz", nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// TestAPersonWatchesDecidesAndSeesARollback follows a release manager from start to end, in a real browser.
func TestAPersonWatchesDecidesAndSeesARollback(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := newChromium(t, h.url)
	c.in("Asia/Kolkata") // its offset is not a whole number of hours
	bobSignsIn(t, c)

	good := watchToTheGate(t, c)
	onAPhone(t, c, h.told(t, "gate"), "Shall everybody get 1.4.2?", `.decide button[value=approve]`, `.decide button[value=reject]`)
	c.open("/")
	c.shows("waiting for a person", "Waiting for you: decide")
	c.inspect("overview")
	t.Log("first paint of the overview: ", c.firstPaint())
	c.open("/releases/" + good)
	withoutRights(t, h, good)
	const reason = `<img src=x onerror=alert(1)> looks good`
	c.write("#gate-reason", reason)
	c.click(`.decide button[value=approve]`)
	c.shows("Released: 1.4.2 serves everybody", reason)
	c.clean()

	h.blue.Set(func(b *testbed.Behaviour) { b.ErrorRate = 0.25 }) // blue is the canary after the first release
	terminal := sit(t, 120, 50, []string{"SERIN_SERVER=" + h.url, "SERIN_TOKEN=" + h.viewer}, "watch", "shop")
	terminal.shows("Released: 1.4.2 serves everybody")
	c.open("/rollouts/shop")
	c.write("#p0", "1.4.3")
	c.click(".start button.primary")
	c.shows("The release is started.", "1.4.2 →")
	bad := strings.TrimPrefix(c.path(), "/releases/")
	js[bool](c, "window.stays = true")
	terminal.shows("Release "+bad+" of 1.4.3", "▶ ab, A/B test", "Share of the traffic on the new version")
	rates := regexp.MustCompile(`errors +\d[\d.]*% +\d+ of [\d,]+ +\d[\d.]*% +\d+ of `) // of real requests
	await.True(t, func() bool { return rates.MatchString(terminal.sees()) }, "%s", terminal.sees)
	c.comes(`document.querySelector("[data-key=stats-errors] summary") !== null`)
	js[bool](c, `(document.querySelector("[data-key=stats-errors] summary").focus(), true)`)
	c.shows("Rolled back: the canary is worse: errors", "Safe: all traffic on stable since", "requests reached 1.4.3", "Ended: rolled back", "What now: nothing for your users; fix 1.4.3.")
	require.True(t, js[bool](c, `/^\d\d:\d\d:\d\d$/.test(document.querySelector(".users time").textContent)`), "a time today is shown without a date")
	require.True(t, js[bool](c, `/ ago$/.test(document.querySelector(".headline time").textContent)`))
	require.Positive(t, js[int](c, `document.querySelectorAll("#timeline svg rect.hover[data-says]").length`), "values appear under the pointer")
	require.True(t, js[bool](c, "window.stays"), "it was watched live, on one page")
	require.True(t, js[bool](c, `document.activeElement.matches("[data-key=stats-errors] summary")`), "the keyboard's focus stays where it was")
	terminal.shows("Rolled back: the canary is worse: errors", "What happened", "ended: rolled back")
	terminal.types("q")
	terminal.leaves()
	statusAgrees(t, c, h)
	c.inspect("rolled-back")
	c.picture("rolled-back")
	chartsAnswer(t, c)
	onAPhone(t, c, h.told(t, "rollback"), "Rolled back: the canary is worse: errors", ".users", ".now")
	c.open("/releases/" + bad)
	t.Log("first paint of a release: ", c.firstPaint())

	h.write(t, "rollouts/a-name-that-is-longer-than-the-screen-of-a-phone.yaml", "apiVersion: serin.dev/v1alpha1\nkind: Rollouts\n")
	await.True(t, func() bool {
		c.open("/problems")
		return js[bool](c, `document.querySelector(".problem") !== null`)
	})
	inspectTheOthers(c, good, bad)
	daysAreTheReaders(t, c)
	theReport(t, c, h, bad)
}

// inspectTheOthers inspects the pages that the release manager has not opened.
func inspectTheOthers(c *chromium, good, bad string) {
	for name, path := range map[string]string{
		"rollout-released": "/rollouts/shop",
		"history":          "/history", "compare": "/compare?a=" + good + "&b=" + bad, "audit": "/audit", "error": "/nope", "released": "/releases/" + good, "problems": "/problems",
	} {
		c.open(path)
		c.inspect(name)
	}
	c.clean("404")
}

// bobSignsIn takes a person who is not signed in from a rollout's page to the provider and back.
func bobSignsIn(t *testing.T, c *chromium) {
	t.Helper()
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
}

// daysAreTheReaders filters by yesterday and today in the reader's own time zone.
func daysAreTheReaders(t *testing.T, c *chromium) {
	t.Helper()
	for path, rows := range map[string]int{"/history": 2, "/audit": 6} {
		c.open(path)
		c.unfolds("details.fold")
		require.Regexp(t, `^Asia/(Kolkata|Calcutta)$`, js[string](c, `document.querySelector("label[for=from] .zone").textContent`))
		js[bool](c, `(() => {
			const day = d => d.getFullYear() + "-" + String(d.getMonth() + 1).padStart(2, 0) + "-" + String(d.getDate()).padStart(2, 0);
			document.getElementById("from").value = day(new Date(Date.now() - 86400000)); // the test may have begun before midnight
			document.getElementById("to").value = day(new Date());
			return true;
		})()`)
		c.click(".filters .submit button")
		c.comes(`/[?&]zone=Asia%2F/.test(location.search) && document.querySelector("details.fold").open`)
		require.Equal(t, rows, js[int](c, `document.querySelectorAll("table.log tbody tr").length`))
	}
	c.clean()
}

// watchToTheGate starts a release and watches it until it waits at its gate, without reloading the page.
func watchToTheGate(t *testing.T, c *chromium) string {
	c.write("#p0", "1.4.2")
	c.click(".start button.primary")
	c.shows("The release is started.")
	js[bool](c, "window.stays = true")
	c.shows("live") // how far it has come by then depends on the machine
	c.inspect("under-way")
	c.unfolds(".ask.danger")
	c.write("#why-rollback", "half a sen")
	c.shows("Roll back now?")
	c.inspect("asked")
	c.shows("Shall everybody get 1.4.2?", "Gate full-release", "So far: errors pass.", "Who may answer", "Approve: all users get 1.4.2", "20% of traffic on the canary")
	require.True(t, js[bool](c, "window.stays"), "the page was not loaded again")
	require.Equal(t, "half a sen", js[string](c, `document.querySelector("#why-rollback").value`), "text that is being typed is left alone")
	c.click(".ask.danger summary")
	require.Positive(t, js[int](c, `document.querySelectorAll("svg.serin-chart path.line").length`))
	require.Positive(t, js[int](c, `document.querySelectorAll("svg.serin-chart path.band").length`))
	require.Equal(t, 1, js[int](c, `document.querySelectorAll(".line li.gate.now").length`), "a gate has a shape of its own")
	c.inspect("gate")
	c.picture("gate")
	aChartIsWalkedWhileItIsLive(t, c)
	for _, l := range ways {
		c.as(l)
		bottom := js[float64](c, `document.querySelector(".decide button[value=reject]").getBoundingClientRect().bottom`)
		require.LessOrEqual(t, bottom, float64(l.height), "both answers are on the first screen: "+l.name)
	}
	c.as(ways[0])
	c.clean()
	return strings.TrimPrefix(c.path(), "/releases/")
}

// aChartIsWalkedWhileItIsLive moves through a chart by keyboard while live updates draw it again.
func aChartIsWalkedWhileItIsLive(t *testing.T, c *chromium) {
	t.Helper()
	const readout = ".timeline figure:nth-of-type(2) .readout"
	js[bool](c, `(new MutationObserver(() => window.drawn = (window.drawn || 0) + 1).observe(document.querySelector("#timeline"), {childList: true}), true)`)
	c.tabsTo(readout)
	c.presses(kb.Home + kb.ArrowRight + kb.ArrowRight)
	js[bool](c, "(window.drawn = 0, true)")
	c.comes("window.drawn > 0")
	// An update may come between any two calls, so everything that is compared is read in one.
	require.Equal(t, "the next one after the one that was chosen", js[string](c, `(() => {
		const says = document.activeElement, at = () => +says.closest("figure").querySelector(".on-desk .hover.on")?.dataset.at;
		if (!says.matches("`+readout+`")) return "the focus is elsewhere";
		const times = [...says.closest("figure").querySelectorAll(".on-desk .hover")].map(e => +e.dataset.at), before = times.indexOf(at());
		if (before < 0) return "no time is chosen";
		if (before + 1 >= times.length) return "it went to the end";
		says.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
		return times.indexOf(at()) === before + 1 ? "the next one after the one that was chosen" : "it began again, at " + times.indexOf(at());
	})()`))
}

// chartsAnswer points at the charts of a release with a real mouse, and drags over them.
func chartsAnswer(t *testing.T, c *chromium) {
	c.as(ways[0])
	const first, field = ".timeline figure:first-of-type .readout", ".timeline figure:nth-of-type(2) .on-desk .hover:nth-of-type(4)"
	js[bool](c, `(document.querySelector(".timeline").scrollIntoView(), true)`)
	c.tabsTo(".timeline figure:nth-of-type(2) .readout")
	require.True(t, js[bool](c, `document.activeElement.getAttribute("aria-valuenow") === document.activeElement.getAttribute("aria-valuemax")`), "it begins with the newest time")
	c.presses(kb.Home)
	const readout = `document.querySelector(".timeline figure:nth-of-type(2) .readout")`
	begin := js[string](c, readout+".ariaValueNow") // two looks in a second may say the same
	require.Regexp(t, `^\d\d:\d\d:\d\d: `, js[string](c, readout+".textContent"), "the arrow keys show values too")
	c.presses(kb.ArrowRight)
	require.NotEqual(t, begin, js[string](c, readout+".ariaValueNow"))
	require.Regexp(t, `^slider 1 errors.* \d\d:\d\d:\d\d: .*new version `, js[string](c, `(e => [e.role, e.ariaValueNow, e.ariaLabel, e.ariaValueText].join(" "))(document.activeElement)`),
		"what a screen reader reads")
	c.mouse(input.DispatchMouseEventTypeMouseMoved, field, .5)
	c.shows("new version ") // in the line that follows the pointer
	require.Regexp(t, `^\d\d:\d\d:\d\d: asked for \d.*, served \d`, js[string](c, fmt.Sprintf("document.querySelector(%q).textContent", first)), "all charts of one axis answer")
	require.Equal(t, js[string](c, fmt.Sprintf(`new Date(+document.querySelector(%q).dataset.at).toTimeString().slice(0, 8)`, field)),
		js[string](c, fmt.Sprintf("document.querySelector(%q).textContent.slice(0, 8)", first)), "in the reader's own time")
	ticks := `[...document.querySelectorAll(".timeline .on-desk .tick[data-at]")]`
	require.True(t, js[bool](c, ticks+`.length > 4 && `+ticks+`.every(e => new Date(+e.dataset.at).toTimeString().startsWith(e.textContent))`), "so are the axes")
	before := js[int](c, `document.querySelector(".timeline svg").dataset.to - document.querySelector(".timeline svg").dataset.from`)

	const plot = ".timeline figure:nth-of-type(2) .on-desk svg"
	c.mouse(input.DispatchMouseEventTypeMouseMoved, plot, .2)
	c.mouse(input.DispatchMouseEventTypeMousePressed, plot, .2)
	c.mouse(input.DispatchMouseEventTypeMouseMoved, plot, .4)
	c.mouse(input.DispatchMouseEventTypeMouseMoved, plot, .75)
	c.mouse(input.DispatchMouseEventTypeMouseReleased, plot, .75)
	await.True(t, func() bool { return js[bool](c, `location.search.startsWith("?from=")`) })
	c.shows("all of it", "earlier", "later")
	require.Less(t, js[int](c, `document.querySelector(".timeline svg").dataset.to - document.querySelector(".timeline svg").dataset.from`), before*3/4)
	c.inspect("zoomed")
	c.click(".zoom a")
	await.True(t, func() bool { return js[bool](c, `location.search === ""`) })
	c.clean()
}

// onAPhone opens a message's link on a phone with one tap, and reads the first screen without scrolling: what has happened,
// whether users are safe, and what to do now. wants lists what has to be on that screen. Two more taps act.
func onAPhone(t *testing.T, c *chromium, m message, headline string, wants ...string) {
	require.Contains(t, m.Title, "shop")
	phone := ways[2]
	c.as(phone)
	c.do(navigate(m.Link))
	c.shows(headline)
	for _, css := range append([]string{".head [data-announce]"}, wants...) {
		bottom := js[float64](c, fmt.Sprintf(`document.querySelector(%q).getBoundingClientRect().bottom`, css))
		require.LessOrEqual(t, bottom, float64(phone.height), css)
	}
	// Two hundred and forty words a minute, as adults read silently, are forty in ten seconds.
	read := js[string](c, `[...document.querySelectorAll(".head [data-announce], .head .users, .head .now, .decide > p, .decide button")].map(e => e.innerText).join(" ")`)
	t.Log("read in ten seconds: ", read)
	require.LessOrEqual(t, len(strings.Fields(read)), 42) // two more if some requests were not judged
	c.as(ways[0])
}

// withoutRights tries the page as a user who may only read.
func withoutRights(t *testing.T, h *house, id string) {
	c := newChromium(t, h.url)
	c.open("/releases/" + id)
	c.write("#token", h.viewer)
	c.click(".sign-in form button")
	c.shows("Gate full-release", "is answered by operator, not by vera")
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

// statusAgrees compares what status and the release's page say about users, to the second.
func statusAgrees(t *testing.T, c *chromium, h *house) {
	t.Helper()
	since, err := time.Parse(time.RFC3339, js[string](c, `document.querySelector(".users time").dateTime`))
	require.NoError(t, err)
	var out bytes.Buffer
	code := (&app{stdout: &out, stderr: t.Output(), getenv: func(name string) string {
		return map[string]string{"SERIN_SERVER": h.url, "SERIN_TOKEN": h.viewer}[name]
	}}).run(t.Context(), []string{"status", "shop"})
	require.Equal(t, exitOK, code)
	require.Regexp(t, `users +safe: all traffic on stable since `+at(since)+`, .+ after it was found worse`, out.String())
}

// theReport opens a report from a file in the browser, as one would open the attachment of a ticket.
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
