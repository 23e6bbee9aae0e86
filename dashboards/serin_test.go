package dashboards

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// notShown lists the metrics without a panel, with the reasons.
var notShown = map[string]string{}

// stage is a real Serin with a release that waits at a gate, scraped by a real Prometheus.
type stage struct {
	prometheus *testbed.Prometheus
	address    string
	dir        string
	program    string
}

const daemonYAML = `apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: 127.0.0.1:%d
  config: rollouts.yaml
  prometheus: {url: "%s", scrapeInterval: 500ms}
  spinnaker: {listen: "127.0.0.1:%d"}
  notify:
    - webhook: {url: "%s", secret: sixteen bytes or more}
      on: [started, step, gate]
`

const rolloutsYAML = `apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: quick}
spec:
  interval: 1s
  warmUp: 0s
  passAfter: 2s
  settle: 500ms
  minRequests: 20
  metrics:
    - {name: errors, preset: traefik-errors, margin: {relative: 100%%, absolute: 20%%}}
---
apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  traffic:
    traefikFile: {path: %s, rule: PathPrefix("/"), entryPoints: [web], verify: {api: "%s"}}
  stable: {servers: ["%s"]}
  canary: {servers: ["%s"]}
  analysis: quick
  steps:
    - gray: {weights: [10%%, 30%%, 50%%], hold: 3s, decide: {on: no-fail, max: 5m, inconclusive: rollback}}
    - gate: {name: full}
    - promote: {}
`

func newStage(t *testing.T) *stage {
	s := &stage{dir: t.TempDir()}
	var err error
	s.program, err = testbed.Serin(s.dir)
	require.NoError(t, err)

	blue, green := testbed.NewBackend(t, testbed.Behaviour{Version: "blue"}), testbed.NewBackend(t, testbed.Behaviour{Version: "green"})
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{})
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(hook.Close)
	port, err := testbed.FreePort()
	require.NoError(t, err)
	kayenta, err := testbed.FreePort()
	require.NoError(t, err)
	rulesFile, err := filepath.Abs("rules.yaml")
	require.NoError(t, err)
	s.prometheus = testbed.NewPrometheus(t, testbed.PrometheusConfig{
		ScrapeInterval: 500 * time.Millisecond, Extra: "rule_files: [" + strconv.Quote(rulesFile) + "]\n",
		Jobs: []testbed.ScrapeJob{
			{Name: "traefik", Targets: []string{traefik.MetricsAddr}},
			{Name: "serin", Targets: []string{fmt.Sprintf("127.0.0.1:%d", port)}},
		},
	})
	s.address = fmt.Sprintf("http://127.0.0.1:%d", port)
	for name, text := range map[string]string{
		"serin.yaml":    fmt.Sprintf(daemonYAML, port, s.prometheus.URL, kayenta, hook.URL),
		"rollouts.yaml": fmt.Sprintf(rolloutsYAML, filepath.Join(traefik.Directory, "shop.yaml"), traefik.API, blue.URL, green.URL),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
	}
	testbed.New(t, testbed.Command{Name: "daemon", Path: s.program, Args: []string{"daemon", "--config", "serin.yaml"}, Dir: s.dir, Ready: func(context.Context) error {
		_, err := s.get(s.address + "/readyz")
		return err
	}})
	testbed.NewLoad(t, testbed.LoadConfig{URL: traefik.URL("web"), Rate: 100})
	return s
}

// get returns the body of a successful answer.
func (s *stage) get(address string) ([]byte, error) {
	res, err := http.Get(address) //nolint:gosec,noctx // of this test, which has a timeout
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it is only read
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}
	return b, err
}

func (s *stage) serin(t *testing.T, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), s.program, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "SERIN_SERVER="+s.address)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// values returns the finite values of an expression since the daemon started.
func (s *stage) values(t *testing.T, expr string, begin time.Time) []float64 {
	t.Helper()
	q := url.Values{"query": {expr}, "start": {fmt.Sprint(begin.Unix())}, "end": {fmt.Sprint(time.Now().Unix())}, "step": {"1"}}
	b, err := s.get(s.prometheus.URL + "/api/v1/query_range?" + q.Encode())
	require.NoError(t, err, expr)
	var answer struct {
		Data struct {
			Result []struct {
				Values [][2]any `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(b, &answer))
	var out []float64
	for _, series := range answer.Data.Result {
		for _, v := range series.Values {
			f, err := strconv.ParseFloat(v[1].(string), 64)
			require.NoError(t, err)
			if !math.IsNaN(f) && !math.IsInf(f, 0) {
				out = append(out, f)
			}
		}
	}
	return out
}

// inGrafana replaces variables as Grafana does.
var inGrafana = strings.NewReplacer("$__rate_interval", "10s", "$__interval", "1s", "$rollout", "shop", "$metric", ".*")

func TestEveryExpressionHasValuesForARealRelease(t *testing.T) {
	begin := time.Now()
	s := newStage(t)
	await.True(t, func() bool { _, err := s.serin(t, "start", "shop"); return err == nil })
	await.True(t, func() bool {
		out, err := s.serin(t, "status", "shop")
		return err == nil && strings.Contains(out, "at a gate")
	})

	for expr, where := range shown(t) {
		await.True(t, func() bool { return len(s.values(t, inGrafana.Replace(expr), begin)) > 0 }, "%s: %s is empty", where, expr)
	}
	s.rules(t)
	s.names(t)
	_, err := s.serin(t, "rollback", "shop")
	require.NoError(t, err)
	for file, d := range All() {
		for _, a := range read(t, d).Annotations.List {
			require.Equal(t, a.Expr, a.Target.Expr, "Grafana 10 reads the one, later ones the other")
			await.True(t, func() bool { return len(s.values(t, inGrafana.Replace(a.Expr), begin)) > 0 }, "%s: annotation %s is empty", file, a.Name)
		}
	}
}

func TestThePageHasTheQueriesOfTheAnnotations(t *testing.T) {
	b, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, a := range Annotations() {
		require.Contains(t, string(b), strings.ReplaceAll(a.Expr, "$rollout", "shop"))
	}
}

// rules checks that Prometheus evaluates every rule, and that no alert fires for a healthy release.
func (s *stage) rules(t *testing.T) {
	b, err := s.get(s.prometheus.URL + "/api/v1/rules")
	require.NoError(t, err)
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name   string `json:"name"`
					Health string `json:"health"`
					State  string `json:"state"`
					Error  string `json:"lastError"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(b, &answer))
	require.Len(t, answer.Data.Groups, len(readRules(t).Groups))
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			require.Equal(t, "ok", r.Health, "%s: %s", r.Name, r.Error)
			require.Contains(t, []string{"", "inactive"}, r.State, r.Name)
		}
	}
}

// names checks that the daemon has every metric that is used, and that every metric of the daemon is used.
func (s *stage) names(t *testing.T) {
	b, err := s.get(s.address + "/metrics")
	require.NoError(t, err)
	registered := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (serin_\w+) `).FindAllStringSubmatch(string(b), -1) {
		registered[m[1]] = true
	}
	require.NotEmpty(t, registered)
	var inPanels []string
	for expr := range shown(t) {
		inPanels = append(inPanels, expr)
	}
	used := map[string]bool{}
	for _, name := range families(inPanels...) {
		require.True(t, registered[name], "a panel shows %s, which Serin does not have", name)
		used[name] = true
	}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			for _, name := range families(r.Expr) {
				require.True(t, registered[name], "rule %s%s uses %s, which Serin does not have", r.Alert, r.Record, name)
			}
		}
	}
	for name := range registered {
		require.NotEqual(t, used[name], notShown[name] != "", "%s: either a panel shows it, or it is listed as not shown", name)
	}
}
