package daemon

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/analysis/scrape"
	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/notify"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/spinnaker"
)

var update = flag.Bool("update", false, "write what is generated again")

// described is how client_golang prints a metric.
var described = regexp.MustCompile(`fqName: "(serin_[^"]*)", help: ("(?:[^"\\]|\\.)*"),.*variableLabels: \{([^}]*)\}`)

func TestTheReferenceOfTheMetricsIsTheOneOfTheDaemon(t *testing.T) {
	log, r := slog.New(slog.DiscardHandler), newRegistry(true)
	_, err := promsource.New(promsource.Config{URL: "http://127.0.0.1:1"}, r)
	require.NoError(t, err)
	_, err = scrape.New(scrape.Config{Targets: []string{"http://127.0.0.1:1/metrics"}}, r)
	require.NoError(t, err)
	e := engine.New(engine.Options{Log: log, Registerer: r})
	notify.New(notify.Options{Registerer: r})
	server.New(server.Options{Registry: r})
	spinnaker.New(spinnaker.Options{Registry: r, Log: log})
	publish(e, nil, log, r)

	descs := make(chan *prometheus.Desc, 1000)
	r.Describe(descs)
	close(descs)
	var rows []string
	for d := range descs {
		if !strings.Contains(d.String(), `fqName: "serin_`) {
			continue // of the Go runtime, or of the process
		}
		m := described.FindStringSubmatch(d.String())
		require.NotNil(t, m, d.String())
		labels := "`" + strings.ReplaceAll(m[3], ",", "`, `") + "`"
		if m[3] == "" {
			labels = ""
		}
		var help string
		_, err := fmt.Sscanf(m[2], "%q", &help)
		require.NoError(t, err)
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", m[1], labels, strings.ReplaceAll(help, "|", "\\|")))
	}
	slices.Sort(rows)
	want := "<!-- Written by `go generate ./daemon` from the metrics themselves; a test fails if it is stale. -->\n\n# The metrics of the daemon\n\n" +
		"Served under `/metrics`, in addition to those of the Go runtime and of the process. Dashboards and alerts for them: [dashboards](../../dashboards/README.md).\n\n" +
		"| metric | labels | |\n|---|---|---|\n" + strings.Join(slices.Compact(rows), "\n") + "\n"
	const path = "../docs/reference/metrics.md"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644)) //nolint:gosec // for everybody to read
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "stale: go generate ./daemon")
}

// What Serin reads itself has the times of the daemon's clock: asked by another one, it would have nothing to say of now.
func TestWindowsFollowPrometheusClockUnlessTargetsAreRead(t *testing.T) {
	prom := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
	}))
	t.Cleanup(prom.Close)
	for more, follows := range map[string]bool{
		"": true,
		"  sources: {eu: {url: 'http://127.0.0.1:1'}}\n":                          true,
		"  sources: {own: {scrape: {targets: ['http://127.0.0.1:1/metrics']}}}\n": false,
	} {
		t.Run(more, func(t *testing.T) {
			o := options(t, more)
			o.Spec.Prometheus.URL = config.URL(prom.URL)
			m, err := newMetrics(o, nil, prometheus.NewRegistry())
			require.NoError(t, err)
			for range 3 {
				to := time.Now()
				m.Fetch(t.Context(), []analysis.Ask{{Template: analysis.Template{Name: "m"}, From: to.Add(-time.Minute), To: to}})
			}
			if !follows {
				require.Zero(t, m.frame.Behind())
				return
			}
			require.InDelta(t, time.Hour, m.frame.Behind(), float64(5*time.Second))
		})
	}
}
