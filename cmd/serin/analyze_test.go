package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/serindev/serin/daemon"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic/traefik"
)

// past is an hour of samples in a real Prometheus: a stable service, a good canary alongside it, and a bad one whose
// errors triple from minute 20 on. Each serves 50 requests a second, and has one error in a hundred.
type past struct {
	url        string
	begin, end time.Time
	dir        string
}

func (p past) args(more ...string) []string {
	return append([]string{"analyze"}, append(more, "--prometheus", p.url, "--from", p.begin.Format(time.RFC3339), "--to", p.end.Format(time.RFC3339))...)
}

func remembered(t *testing.T) past {
	dir := t.TempDir()
	p := past{dir: dir, end: time.Now().Add(-3 * time.Hour).Truncate(time.Minute)}
	p.begin = p.end.Add(-time.Hour)
	text := filepath.Join(dir, "past.txt")
	require.NoError(t, os.WriteFile(text, []byte(p.openMetrics()), 0o600))
	promtool, err := testbed.Tool("promtool")
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), promtool, "tsdb", "create-blocks-from", "openmetrics", text, filepath.Join(dir, "data")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	p.url = testbed.NewPrometheus(t, testbed.PrometheusConfig{Dir: dir}).URL
	return p
}

// openMetrics writes the counters of the hour, and of the five minutes before, every 15 s.
func (p past) openMetrics() string {
	families := map[string]*strings.Builder{}
	write := func(family, labels string, value float64, at time.Time) {
		b := families[family]
		if b == nil {
			b = &strings.Builder{}
			fmt.Fprintf(b, "# TYPE %s counter\n", family)
			families[family] = b
		}
		fmt.Fprintf(b, "%s_total{%s,job=\"traefik\",instance=\"a\"} %g %d\n", family, labels, value, at.Unix())
	}
	for name, version := range map[string]string{"stable": "v1", "good": "v2", "bad": "v3"} {
		requests, bad := 0.0, 0.0
		for at, n := p.begin.Add(-5*time.Minute), 0; !at.After(p.end); at, n = at.Add(15*time.Second), n+1 {
			requests += 750
			more := 7.0 + float64(n%2)
			if name == "bad" && at.After(p.begin.Add(20*time.Minute)) {
				more *= 3
			}
			bad += more
			write("traefik_service_requests", fmt.Sprintf(`service="shop-%s@file",code="200"`, name), requests-bad, at)
			write("traefik_service_requests", fmt.Sprintf(`service="shop-%s@file",code="500"`, name), bad, at)
			write("orders_failed", fmt.Sprintf("version=%q", version), bad, at)
			write("orders", fmt.Sprintf("version=%q", version), requests, at)
		}
	}
	for pod, version := range map[string]string{"a": "v1", "b": "v1", "c": "v2"} {
		bad := 0.0
		for at, n := p.begin.Add(-125*time.Minute), 0; !at.After(p.end); at, n = at.Add(15*time.Second), n+1 {
			bad += 7.0 + float64(n%2)
			for code, value := range map[string]float64{"200": 750*float64(n) - bad, "500": bad} {
				if n > 0 {
					write("served", fmt.Sprintf("version=%q,pod=%q,code=%q", version, pod, code), value, at)
				}
			}
		}
	}
	for pod := range 24 { // which differ by a sixth
		bad := 0.0
		for at, n := p.begin, 1; !at.After(p.end); at, n = at.Add(15*time.Second), n+1 {
			bad += 20 + 3*float64(pod%5)
			for code, value := range map[string]float64{"200": 2000*float64(n) - bad, "500": bad} {
				write("called", fmt.Sprintf("version=\"v1\",pod=\"%d\",code=%q", pod, code), value, at)
			}
		}
	}
	var out strings.Builder
	for _, b := range families {
		out.WriteString(b.String())
	}
	return out.String() + "# EOF\n"
}

const ordersAnalysis = `apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: orders}
spec:
  interval: 30s
  metrics:
    - name: failed-orders
      ratio:
        bad: 'orders_failed_total{version="${version}"}'
        total: 'orders_total{version="${version}"}'
`

const podsAnalysis = `apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: pods}
spec:
  interval: 30s
  metrics:
    - name: served
      replicas: %s
      ratio:
        bad: 'served_total{version="${version}",code="500"}'
        total: 'served_total{version="${version}"}'
`

const ordersConfig = `{"name": "orders", "applications": ["shop"], "judge": {"name": "NetflixACAJudge-v1.0"},
 "metrics": [{"name": "failures", "groups": ["orders"], "scopeName": "default",
   "analysisConfigurations": {"canary": {"direction": "increase", "critical": true}},
   "query": {"type": "prometheus", "customInlineTemplate": "PromQL:sum(rate(orders_failed_total{version=\"${scope}\"}[1m]))"}}],
 "classifier": {"groupWeights": {"orders": 100}}}`

const unlikeAnalysis = `apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: unlike}
spec:
  metrics:
    - name: called
      replicas: pod
      margin: {relative: 25%}
      ratio:
        bad: 'called_total{version="${version}",code="500"}'
        total: 'called_total{version="${version}"}'
`

func TestAPastHourIsAnalysedWithoutADaemon(t *testing.T) {
	t.Parallel()
	p := remembered(t)
	analysis, config := filepath.Join(p.dir, "orders.yaml"), filepath.Join(p.dir, "orders.json")
	require.NoError(t, os.WriteFile(analysis, []byte(ordersAnalysis), 0o600))
	require.NoError(t, os.WriteFile(config, []byte(ordersConfig), 0o600))

	t.Run("a canary that is no worse passes, selected by its label, with a chart", func(t *testing.T) {
		svg := filepath.Join(t.TempDir(), "orders.svg")
		code, out, errs := serin(t, nil, p.args(analysis, "--canary", "version=v2", "--baseline", "version=v1", "--chart", svg)...)
		require.Equal(t, exitOK, code, errs)
		require.Contains(t, out, "orders: pass")
		require.Contains(t, out, "failed-orders: canary 1,800 of 180,000 (1.0%) against baseline 1,800 of 180,000 (1.0%)")
		require.Contains(t, out, "120 looks of 30s")
		require.Contains(t, out, "passed first at "+at(p.begin.Add(31*time.Minute+30*time.Second)))
		picture, err := os.ReadFile(svg)
		require.NoError(t, err)
		require.Contains(t, string(picture), "orders: failed-orders")
		require.Contains(t, string(picture), "margin")
	})
	t.Run("a canary that becomes worse fails soon after, selected by its label", func(t *testing.T) {
		code, out, errs := serin(t, nil, p.args(analysis, "--canary", "version=v3", "--baseline", "version=v1", "-o", "json")...)
		require.Equal(t, exitNotLive, code, errs)
		var said analyzed
		require.NoError(t, json.Unmarshal([]byte(out), &said))
		require.Equal(t, 120, said.Looks)
		require.WithinRange(t, *said.FailedAt, p.begin.Add(20*time.Minute), p.begin.Add(26*time.Minute))
		require.Equal(t, "failed-orders", said.Verdict.Decisive)
		require.Contains(t, said.Explanation[0], "→ fail")
		require.InDelta(t, 3, said.Verdict.Metrics[0].Leading, 0.5, "since minute 20")
	})
	t.Run("the baseline's history is known, with its replicas or without", func(t *testing.T) {
		for _, label := range []string{"pod", "node"} {
			code, out, errs := serin(t, strings.NewReader(fmt.Sprintf(podsAnalysis, label)), p.args("-", "--canary", "version=v2", "--baseline", "version=v1", "-o", "json")...)
			require.Equal(t, exitOK, code, errs)
			var said analyzed
			require.NoError(t, json.Unmarshal([]byte(out), &said))
			require.True(t, said.Verdict.Learned)
			require.WithinRange(t, *said.PassedAt, p.begin.Add(10*time.Minute), p.begin.Add(time.Hour))
			require.Empty(t, errs)
		}
	})
	t.Run("services are told apart by Traefik's names, and the split is tested if a weight is given", func(t *testing.T) {
		code, out, errs := serin(t, strings.NewReader(strings.ReplaceAll(ordersAnalysis, "'orders_failed_total{version=\"${version}\"}'", "'traefik_service_requests_total{service=\"${service}\",code=~\"5..\"}'")),
			p.args("-", "--canary", "shop-bad@file", "--canary", "version=v3", "--baseline", "shop-stable@file", "--baseline", "version=v1", "--weight", "20%")...)
		require.Equal(t, exitNotLive, code, errs)
		require.Contains(t, out, "orders: fail (failed-orders)")
		require.Contains(t, out, "asked for 20%: alarm")
	})
	p.judgeConfig(t, config)
	p.count(t, analysis)
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now": now, "-2h": now.Add(-2 * time.Hour), "-1h30m": now.Add(-90 * time.Minute), "2026-01-02T15:04:05Z": time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
		"2026-01-02 15:04": time.Date(2026, 1, 2, 15, 4, 0, 0, time.Local), "2026-01-02 15:04:05": time.Date(2026, 1, 2, 15, 4, 5, 0, time.Local),
	} {
		got, err := when(text, now)
		require.NoError(t, err)
		require.True(t, want.Equal(got), text)
	}
	for _, text := range []string{"", "2h", "--2h", "yesterday", "2026-13-01 00:00"} {
		_, err := when(text, now)
		require.ErrorContains(t, err, "expected 2026-01-02T15:04:05Z")
	}
}

func TestADayMeansItsBeginningOrItsEnd(t *testing.T) {
	for text, want := range map[string]string{
		"2026-01-31 2026-01-31":             "2026-01-31 00:00 2026-02-01 00:00",
		"2026-12-31 2026-12-31":             "2026-12-31 00:00 2027-01-01 00:00",
		"2026-01-31T14:00:00Z 2026-01-31":   "2026-01-31 14:00 2026-02-01 00:00",
		"2026-01-31 2026-01-31T14:00:00.5Z": "2026-01-31 00:00 2026-01-31 14:00",
	} {
		var since, until time.Time
		from, to, _ := strings.Cut(text, " ")
		require.NoError(t, (&moment{at: &since}).Set(from))
		require.NoError(t, (&moment{at: &until, end: true}).Set(to))
		require.Equal(t, want, since.Format("2006-01-02 15:04")+" "+until.Format("2006-01-02 15:04"), text)
	}
	require.ErrorContains(t, (&moment{at: new(time.Time)}).Set("2026-02-30"), "or a day such as 2026-01-02")
}

func (p past) judgeConfig(t *testing.T, config string) {
	t.Run("a canary config of Kayenta is judged unchanged", func(t *testing.T) {
		svg := filepath.Join(t.TempDir(), "orders.svg")
		code, out, errs := serin(t, nil, p.args(config, "--canary", "v3", "--baseline", "v1", "--chart", svg)...)
		require.Equal(t, exitNotLive, code, errs)
		require.Regexp(t, `failures +High`, out)
		require.Contains(t, out, "score 0: Fail (Canary Failed: The metric failures was classified as High (Critical))")
		require.FileExists(t, svg)

		code, out, errs = serin(t, nil, p.args(config, "--canary", "v2", "--baseline", "v1", "-o", "json")...)
		require.Equal(t, exitOK, code, errs)
		require.Contains(t, out, `"classification": "Pass"`)
	})
	t.Run("a config in YAML and one within a request are judged alike", func(t *testing.T) {
		text, err := yaml.JSONToYAML([]byte(ordersConfig))
		require.NoError(t, err)
		for _, text := range []string{string(text), `{"executionRequest": {}, "canaryConfig": ` + ordersConfig + `}`} {
			code, out, errs := serin(t, strings.NewReader(text), p.args("-", "--canary", "v3", "--baseline", "v1")...)
			require.Equal(t, exitNotLive, code, errs)
			require.Contains(t, out, "NetflixACAJudge-v1.0")
		}
	})
	t.Run("the judge is the one that the config names", func(t *testing.T) {
		named := func(judge string) string {
			return strings.Replace(ordersConfig, `{"name": "NetflixACAJudge-v1.0"}`, `{"name": "`+judge+`", "judgeConfigurations": {"passAfterMins": 0}}`, 1)
		}
		_, out, errs := serin(t, strings.NewReader(named("SerinSequentialJudge-v1.0")), p.args("-", "--canary", "v3", "--baseline", "v1")...)
		require.Contains(t, out, ", says SerinSequentialJudge-v1.0", errs)
		code, _, errs := serin(t, strings.NewReader(named("StaticBaselineJudge-v1.0")), p.args("-", "--canary", "v3", "--baseline", "v1")...)
		require.Equal(t, exitError, code)
		require.Contains(t, errs, "Unable to resolve canary judge 'StaticBaselineJudge-v1.0'.")
	})
	t.Run("arms with the same queries are reported", func(t *testing.T) {
		_, _, errs := serin(t, strings.NewReader(strings.ReplaceAll(ordersConfig, "${scope}", "v1")), p.args("-", "--canary", "v3", "--baseline", "v1")...)
		require.Contains(t, errs, "the query and the time are the same for both arms")
	})
	t.Run("an error of Prometheus is reported", func(t *testing.T) {
		broken := strings.ReplaceAll(ordersConfig, "sum(rate(", "sum(rat(")
		code, _, errs := serin(t, strings.NewReader(broken), p.args("-", "--canary", "v3", "--baseline", "v1")...)
		require.Equal(t, exitError, code)
		require.Contains(t, errs, `metric failures: query sum(rat(`)
	})
}

func (p past) count(t *testing.T, file string) {
	t.Run("a service that does not exist does not pass", func(t *testing.T) {
		code, out, _ := serin(t, nil, p.args("--canary", "shop-none@file", "--baseline", "shop-stable@file", "--step", "5m")...)
		require.Equal(t, exitTooLong, code)
		require.Contains(t, out, "no new data")
		require.Contains(t, out, `there is service="shop-good@file"`)
	})
	t.Run("plan says how many pods it takes where stable's differ", func(t *testing.T) {
		unlike := filepath.Join(p.dir, "unlike.yaml")
		require.NoError(t, os.WriteFile(unlike, []byte(unlikeAnalysis), 0o600))
		planned := &planning{subject: subject{weights: "50%", hold: time.Minute}, rate: 100, effect: 2}
		a := &app{}
		plan, err := planned.load(a, daemon.NewLoader(0), []string{unlike})
		require.NoError(t, err)
		source := reach{url: p.url}
		s, err := source.source()
		require.NoError(t, err)
		stable, err := arm("baseline", "stable", []string{"version=v1"})
		require.NoError(t, err)
		require.NoError(t, planned.remember(t.Context(), a, s.all, plan, plan.Definition.Scopes[0].Name, stable, p.end.Add(time.Minute)))
		steps, err := planned.steps(plan, map[string]float64{"called": 0.013})
		require.NoError(t, err)
		said := podsNeeded(plans{Steps: steps, Effect: 2})
		require.Len(t, said, 1)
		require.Regexp(t, `^gray, called: stable's 24 pods differ by 1[67]%, and with few pods a good canary differs from stable as much\. To find ×2 it takes about [2-5](\.0)? pods of the canary, and to pass about (9|9\.0|10|11) pods of the canary\.$`, said[0])
	})
	t.Run("plan counts the rates in Prometheus", func(t *testing.T) {
		source := reach{url: p.url}
		s, err := source.source()
		require.NoError(t, err)
		set, err := (&app{}).documents(daemon.NewLoader(0), []string{file})
		require.NoError(t, err)
		def, err := findAnalysis("", set.Definitions, traefik.Series{})
		require.NoError(t, err)
		names, err := arm("baseline", "stable", []string{"shop-stable@file", "version=v1"})
		require.NoError(t, err)
		look, err := oneLook(t.Context(), s.all, def, names, p.end, time.Hour)
		require.NoError(t, err)
		require.Equal(t, 180_000.0, look.Requests.Baseline)
		require.Equal(t, 1800.0, look.Observations[0].Baseline.Bad)
	})
}
