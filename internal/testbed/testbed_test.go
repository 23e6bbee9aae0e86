package testbed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/stretchr/testify/require"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestARequestGoesThroughTraefikToABackendAndIntoPrometheus(t *testing.T) {
	backend := testbed.NewBackend(t, testbed.Behaviour{Version: "v1"})
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{Buckets: []float64{0.05, 0.25}})
	prometheus := testbed.NewPrometheus(t, testbed.PrometheusConfig{
		ScrapeInterval: 200 * time.Millisecond, Jobs: []testbed.ScrapeJob{{Name: "traefik", Targets: []string{traefik.MetricsAddr}}},
	})
	file := filepath.Join(traefik.Directory, "app.yaml")
	text := []byte("http:\n  routers: {app: {rule: \"PathPrefix(`/`)\", service: app}}\n" +
		"  services: {app: {loadBalancer: {servers: [{url: \"" + backend.URL + "\"}]}}}\n")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	await.Until(t, "Traefik serves the route", func() string {
		if status, body := get(t, traefik.URL("web")); status != http.StatusOK || body != "v1\n" {
			return body
		}
		return ""
	})

	counts := testbed.NewLoad(t, testbed.LoadConfig{URL: traefik.URL("web"), Requests: 50}).Wait()
	require.Equal(t, 50, counts.Answered("v1"), counts.LastError)
	query := prometheus.URL + "/api/v1/query?query=" + url.QueryEscape(`sum(traefik_service_requests_total{service="app@file"})>=50`)
	await.Until(t, "Prometheus has counted all requests", func() string {
		_, body := get(t, query)
		var answer struct {
			Data struct{ Result []json.RawMessage }
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Data.Result) != 1 {
			return body
		}
		return ""
	})
}

func TestTraefikKeepsItsAddressesThroughStopKillAndRestart(t *testing.T) {
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{})
	require.NoError(t, traefik.Stop())
	status, _ := get(t, traefik.API+"/api/version")
	require.Zero(t, status)
	require.NoError(t, traefik.Restart(t.Context()))
	status, _ = get(t, traefik.API+"/api/version")
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, traefik.Kill())
	require.NoError(t, traefik.Stop(), "stopping a process that is not running is not an error")
	require.NoError(t, traefik.Restart(t.Context()))
}

func TestAFrozenServerIsStoppedToo(t *testing.T) {
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{})
	require.NoError(t, traefik.Signal(syscall.SIGSTOP))
	require.NoError(t, traefik.Stop())
}

func TestPrometheusTakesNewJobsWhileRunning(t *testing.T) {
	prometheus := testbed.NewPrometheus(t, testbed.PrometheusConfig{})
	own := prometheus.URL[len("http://"):]
	require.NoError(t, prometheus.SetJobs(t.Context(), testbed.ScrapeJob{Name: "self", Targets: []string{own}, Labels: map[string]string{"a": "b"}}))
	await.Until(t, "the new job is read", func() string {
		status, body := get(t, prometheus.URL+"/api/v1/targets")
		require.Equal(t, http.StatusOK, status)
		var answer struct {
			Data struct {
				ActiveTargets []struct{ Labels map[string]string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(body), &answer))
		if len(answer.Data.ActiveTargets) != 1 || answer.Data.ActiveTargets[0].Labels["a"] != "b" {
			return body
		}
		return ""
	})
}

func TestPostgresGivesEachTestADatabase(t *testing.T) {
	postgres := testbed.NewPostgres(t, testbed.PostgresConfig{})
	first, err := postgres.CreateDatabase(t.Context(), "one")
	require.NoError(t, err)
	require.Contains(t, first, "/one?")
	_, err = postgres.CreateDatabase(t.Context(), "one")
	require.ErrorContains(t, err, "already exists")
	require.NoError(t, postgres.Kill())
	require.NoError(t, postgres.Restart(t.Context()), "it survives its own kill")
	_, err = postgres.CreateDatabase(t.Context(), "one")
	require.ErrorContains(t, err, "already exists")
}

func TestABackendBehavesAsConfigured(t *testing.T) {
	backend := testbed.NewBackend(t, testbed.Behaviour{Version: "v1"})
	load := func() testbed.LoadCounts {
		return testbed.NewLoad(t, testbed.LoadConfig{URL: backend.URL, Requests: 400}).Wait()
	}
	require.Equal(t, map[string]map[int]int{"v1": {200: 400}}, load().Status)
	backend.Set(func(b *testbed.Behaviour) { b.Version, b.ErrorRate = "v2", 1 })
	require.Equal(t, map[string]map[int]int{"v2": {500: 400}}, load().Status)
	backend.Set(func(b *testbed.Behaviour) { b.ErrorRate = 0.25 })
	require.InDelta(t, 100, load().Failed("v2"), 40, "more than four standard deviations")
	total, byStatus := backend.Requests()
	require.Equal(t, 1200, total)
	require.Equal(t, 1200, byStatus[200]+byStatus[500])

	require.NoError(t, backend.Stop())
	require.Equal(t, 400, load().Broken)
	require.NoError(t, backend.Restart())
	require.Equal(t, 400, load().Answered("v2"))
}

func TestALoadMissesRequestsWithoutAFreeWorker(t *testing.T) {
	backend := testbed.NewBackend(t, testbed.Behaviour{Version: "v1", Latency: time.Hour})
	load := testbed.NewLoad(t, testbed.LoadConfig{URL: backend.URL, Rate: 1000, Workers: 2, Requests: 100})
	await.Until(t, "the load misses requests", func() string {
		if load.Counts().Missed < 98 {
			return "not yet"
		}
		return ""
	})
	counts := load.Stop()
	require.Equal(t, testbed.LoadCounts{Missed: 98, Status: map[string]map[int]int{}}, counts, "a request under way at the end is not an answer")
}

func TestALoadSendsWhatItIsConfiguredToSend(t *testing.T) {
	seen := make(chan *http.Request, 1)
	backend := testbed.NewBackend(t, testbed.Behaviour{Version: "v1"})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	counts := testbed.NewLoad(t, testbed.LoadConfig{
		URL: backend.URL, Requests: 1, Jar: jar, Host: "shop.example", Header: http.Header{"X-Who": {"me"}},
		Cookies: []*http.Cookie{{Name: "beta", Value: "1"}}, Vary: func(_ int, r *http.Request) { seen <- r.Clone(context.Background()) },
	}).Wait()
	require.Equal(t, 1, counts.Sent)
	r := <-seen
	require.Equal(t, "shop.example", r.Host)
	require.Equal(t, "me", r.Header.Get("X-Who"))
	require.Equal(t, "beta=1", r.Header.Get("Cookie"))
}

func TestAMissingBinaryIsAnErrorThatNamesTheCure(t *testing.T) {
	t.Setenv("SERIN_TOOLS", t.TempDir())
	_, err := testbed.StartTraefik(t.Context(), testbed.TraefikConfig{})
	require.ErrorContains(t, err, "run `make tools`")
	_, err = testbed.StartPrometheus(t.Context(), testbed.PrometheusConfig{})
	require.ErrorContains(t, err, "run `make tools`")
}

func TestAServerThatEndsAtOnceIsAnErrorWithItsLog(t *testing.T) {
	_, err := testbed.StartTraefik(t.Context(), testbed.TraefikConfig{Args: []string{"--no.such.flag"}})
	require.ErrorContains(t, err, "it ended before it was ready")
	require.ErrorContains(t, err, "no.such.flag")
}

func TestAServerThatEndsTooEarlyIsStartedAgain(t *testing.T) {
	command := testbed.Command{Name: "sh", Path: "/bin/sh", Args: []string{"-c", "echo life >> lives; test $(wc -l < lives) = 3 && exec sleep 100"}, Retries: 2}
	start := func() (dir string, err error) {
		command.Dir = t.TempDir()
		command.Ready = func(context.Context) error {
			lives, err := os.ReadFile(filepath.Join(command.Dir, "lives"))
			if err == nil && len(lives) < len("life\n")*3 {
				err = fmt.Errorf("not yet: %q", lives)
			}
			return err
		}
		p, err := testbed.Start(t.Context(), command)
		if err == nil {
			t.Cleanup(func() { require.NoError(t, p.Close()) })
		}
		return command.Dir, err
	}
	_, err := start()
	require.NoError(t, err)

	command.Retries = 1
	dir, err := start()
	require.ErrorContains(t, err, "it ended before it was ready")
	lives, err := os.ReadFile(filepath.Join(dir, "lives"))
	require.NoError(t, err)
	require.Equal(t, "life\nlife\n", string(lives))
}

func TestTheExitCodeOfAProcessIsKnown(t *testing.T) {
	p := testbed.New(t, testbed.Command{Name: "sh", Path: "/bin/sh", Args: []string{"-c", "echo out; exit 3"}})
	code, err := p.ExitCode(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, code)
	require.Equal(t, "out\n", p.LogTail())
}

func TestAPortIsGivenToOneProcess(t *testing.T) {
	port, err := testbed.FreePort()
	require.NoError(t, err)
	file, err := os.Open(filepath.Join(os.TempDir(), fmt.Sprintf("serin-ports-%d", os.Getuid()), strconv.Itoa(port)))
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // only its lock matters
	require.ErrorIs(t, syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK, "no other process gets the port as long as this one lives")
}

func TestAFreePortIsFreeWhileProcessesAreStarted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	for range 8 {
		starting.Go(func() {
			for ctx.Err() == nil {
				_ = exec.CommandContext(ctx, "true").Run() // it fails if it is cancelled
			}
		})
	}
	defer starting.Wait()
	defer cancel()
	for range 300 {
		port, err := testbed.FreePort()
		require.NoError(t, err)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // at once
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}
