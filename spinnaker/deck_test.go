package spinnaker_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/spinnaker"
)

// gate rewrites Deck's requests to Kayenta as Gate does (docs/spinnaker.md).
func gate(kayenta http.Handler) http.Handler {
	mux := http.NewServeMux()
	to := func(pattern, path string, rename ...string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			target := path
			for _, name := range []string{"id", "config"} {
				target = strings.ReplaceAll(target, "{"+name+"}", r.PathValue(name))
			}
			q := r.URL.Query()
			for i := 0; i < len(rename); i += 2 {
				value, fixed := strings.CutPrefix(rename[i], "=")
				if !fixed {
					value = q.Get(rename[i])
					q.Del(rename[i])
				}
				q.Set(rename[i+1], value)
			}
			out := r.Clone(r.Context())
			out.URL.Path, out.URL.RawQuery = target, q.Encode()
			out.Header = http.Header{"Content-Type": {"application/json"}} // Gate's own client, not the browser's
			kayenta.ServeHTTP(w, out)
		})
	}
	to("/gate/v2/canaryConfig", "/canaryConfig")
	to("/gate/v2/canaryConfig/{id}", "/canaryConfig/{id}")
	to("/gate/v2/canaries/judges", "/judges")
	to("/gate/v2/canaries/credentials", "/credentials")
	to("/gate/v2/canaries/metadata/metricsService", "/metadata/metricsService")
	to("GET /gate/v2/canaries/canary/{config}/{id}", "/canary/{id}")
	to("POST /gate/v2/canaries/canary/{config}", "/canary/{config}")
	to("GET /gate/v2/canaries/shop/executions", "/canary/executions", "=shop", "application")
	to("GET /gate/v2/canaries/metricSetPairList/{id}", "/metricSetPairList/{id}", "storageAccountName", "accountName")
	return mux
}

// deckPage serves a page with Deck's canary code: see testdata/deck.
func deckPage(t *testing.T, kayenta http.Handler) string {
	t.Helper()
	f, err := os.Open("testdata/deck/deck.js.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	script, err := io.ReadAll(z)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/gate/", gate(kayenta))
	mux.HandleFunc("/deck.js", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(script) })
	mux.HandleFunc("/favicon.ico", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<!doctype html><title>Deck</title><div id="root"></div><script src="/deck.js"></script>`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// browser is a real Chromium with a page open. Errors in the page's scripts fail the test.
type browser struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps its tab in it
}

func openBrowser(t *testing.T, url string) browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	require.NoError(t, err, "run `make deps`")
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.WSURLReadTimeout(await.Patience), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-dev-shm-usage", true),
	}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to start as root otherwise
	}
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, await.Patience)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("about:blank")))
	var mu sync.Mutex
	var wrong []string
	require.NoError(t, chromedp.Listen(ctx, func(e any) {
		if e, ok := e.(*runtime.EventExceptionThrown); ok {
			mu.Lock()
			defer mu.Unlock()
			wrong = append(wrong, fmt.Sprintf("%s: %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
		}
	}))
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		require.Empty(t, wrong)
	})
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(url)))
	return browser{t, ctx}
}

// run evaluates a script, which may be a promise, and decodes its value.
func (b browser) run(script string, into any) {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`(async () => JSON.stringify((await (`+script+`)) ?? null))()`, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, script)
	require.NoError(b.t, json.Unmarshal([]byte(text), into), text)
}

// Deck's own code (its requests, reducers, selectors and pages) reads what Serin answers, through Gate's paths, in a
// real browser.
func TestDeckReadsAndShowsWhatSerinAnswers(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, worse)})
	b := openBrowser(t, deckPage(t, s.Handler()))

	// Deck saves the config, reads it back, and lists it.
	c, err := json.Marshal(config("", nil, metric("latency", nil), metric("errors", nil)))
	require.NoError(t, err)
	var saved struct{ CanaryConfigID string }
	b.run(`deck.configs.createCanaryConfig(`+string(c)+`)`, &saved)
	var opened struct{ Configs, Judges int }
	b.run(`deck.open().then(() => ({configs: deck.state().data.configSummaries.length, judges: deck.state().data.judges.length}))`, &opened)
	require.Equal(t, 1, opened.Configs)
	require.Equal(t, 2, opened.Judges)
	var accounts []struct{ Name string }
	b.run(`deck.configs.listKayentaAccounts()`, &accounts)
	require.Len(t, accounts, 2)
	var names []struct{ Name string }
	b.run(`deck.metadata.listMetricsServiceMetadata("http", "prometheus")`, &names)
	require.Equal(t, "http_requests_total", names[0].Name)
	var refused struct{ Message string }
	b.run(`deck.configs.createCanaryConfig(`+string(c)+`).catch((e) => e.data)`, &refused)
	require.Contains(t, refused.Message, "already exists")

	for _, judge := range []string{"NetflixACAJudge-v1.0", sequentialJudge} {
		changed := config(judge, map[string]any{"passAfterMins": 0}, metric("latency", nil), metric("errors", nil))
		report, run := b.judged(s, saved.CanaryConfigID, changed)
		for _, want := range []string{"shop-baseline", "shop-canary", "latency", "errors"} {
			require.Contains(t, strings.ToLower(report), want, judge)
		}
		var pair struct{ Values map[string][]any }
		b.run(`(async () => {
			const r = deck.state().selectedRun.run.result.judgeResult.results[0];
			deck.store.dispatch(deck.Creators.selectReportMetric({metricId: r.id}));
			return deck.until((s) => s.selectedRun.metricSetPair.pair && s.selectedRun.metricSetPair.pair.id === r.id && s.selectedRun.metricSetPair.pair);
		})()`, &pair)
		require.Len(t, pair.Values["experiment"], 61)
		var list string
		b.run(`deck.list()`, &list)
		require.Contains(t, list, "shop-canary")
		require.NotEmpty(t, run)
	}
	report, _ := b.judged(s, saved.CanaryConfigID, config("Nobody", nil, metric("latency", nil)))
	require.Contains(t, report, "Unable to resolve canary judge 'Nobody'.", "a run without a verdict shows its reason")
}

// judged has Deck save a config, start a run and show its report, as text.
func (b browser) judged(s client, id string, c map[string]any) (report, run string) {
	b.t.Helper()
	c["id"] = id
	text, err := json.Marshal(c)
	require.NoError(b.t, err)
	request, err := json.Marshal(execution("shop-baseline", "shop-canary"))
	require.NoError(b.t, err)
	var started struct{ CanaryExecutionID string }
	b.run(`deck.configs.updateCanaryConfig(`+string(text)+`).then(() => deck.runs.startCanaryRun("`+id+`", `+string(request)+
		`, {application: "shop", metricsAccountName: "prometheus", storageAccountName: "serin"}))`, &started)
	s.ended(b.t, "/canary/"+started.CanaryExecutionID)
	b.run(`deck.report("`+id+`", "`+started.CanaryExecutionID+`")`, &report)
	return report, started.CanaryExecutionID
}
