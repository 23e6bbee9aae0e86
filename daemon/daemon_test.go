package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// options are those of a daemon that needs no server; more is added to its document.
func options(t *testing.T, more string) Options {
	dir := t.TempDir()
	file := filepath.Join(dir, "serin.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: 127.0.0.1:0
  config: rollouts/
  prometheus: {url: 'http://127.0.0.1:1'}
%s`, more), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "rollouts"), 0o700))
	spec, _, errs := config.LoadDaemon(file)
	require.Empty(t, errs)
	return Options{Spec: spec, Version: "v1", Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func TestADaemonIsEmbedded(t *testing.T) {
	d, err := New(t.Context(), options(t, "  spinnaker: {listen: '127.0.0.1:0'}\n"))
	require.NoError(t, err)
	require.NotNil(t, d.SpinnakerAddress())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	address := d.Address().String()
	go func() { done <- d.Run(ctx) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/api/v1/version", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	cancel()
	require.NoError(t, <-done)
	require.Nil(t, d.Address())
	require.NoError(t, d.Close(), "a second time")
}

func TestAStartThatFailsLeavesNothingOpen(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port, err := testbed.FreePort()
	require.NoError(t, err)
	free := fmt.Sprintf("127.0.0.1:%d", port)

	o := options(t, fmt.Sprintf("  spinnaker: {listen: '%s'}\n", taken.Addr()))
	o.Spec.Listen = config.Address(free)
	_, err = New(t.Context(), o)
	require.ErrorContains(t, err, "spinnaker")

	again, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", free)
	require.NoError(t, err, "the API's address is free again")
	require.NoError(t, again.Close())
	url, err := o.Spec.StoreURL()
	require.NoError(t, err)
	s, err := store.Open(t.Context(), url.Reveal())
	require.NoError(t, err, "the store is free again")
	require.NoError(t, s.Close())
}

// errLost is the error of a daemon without its lease.
var errLost = errors.New("another daemon leads")

type lost struct{}

func (lost) Leads() error { return errLost }

// never is a cluster, and a router, that no write may reach.
type never struct{ t *testing.T }

func (n never) refused() error { n.t.Error("it was let through"); return nil }

func (n never) Apply(context.Context, workload.Target) (workload.Observed, error) {
	return workload.Observed{}, n.refused()
}

func (n never) Run(context.Context, workload.Job) (workload.Status, error) {
	return workload.Status{}, n.refused()
}

func (n never) Template(context.Context, workload.Name) (workload.Template, error) {
	return workload.Template{}, n.refused()
}
func (n never) Seen(context.Context, workload.Name, string) error { return n.refused() }
func (n never) Tell(context.Context, string, []workload.Name, workload.Notice) {
	_ = n.refused()
}
func (never) Version(context.Context, workload.Name) (string, error) { return "v1", nil }
func (never) Watch(context.Context, func([]workload.Name))           {}

type neverRouter struct{ never }

func (n neverRouter) Apply(context.Context, traffic.Target) error     { return n.refused() }
func (neverRouter) Observe(context.Context) (traffic.Observed, error) { return traffic.Observed{}, nil }
func (neverRouter) Watched() bool                                     { return false }
func (neverRouter) Labels(traffic.Lane) (canary, stable string)       { return "c", "s" }

func TestADaemonThatDoesNotLeadChangesNothing(t *testing.T) {
	ctx, name := t.Context(), workload.Name{Namespace: "pro", Name: "shop"}
	o := engine.Options{
		Workloads: never{t},
		Call:      func(context.Context, engine.Call) error { return never{t}.refused() },
		NewRouter: func(string, record.Gateway) (engine.Router, error) { return neverRouter{never{t}}, nil },
	}
	fence(&o, lost{})

	_, err := o.Workloads.Apply(ctx, workload.Target{})
	require.ErrorIs(t, err, errLost)
	_, err = o.Workloads.Run(ctx, workload.Job{})
	require.ErrorIs(t, err, errLost)
	_, err = o.Workloads.Template(ctx, name)
	require.ErrorIs(t, err, errLost)
	require.ErrorIs(t, o.Workloads.Seen(ctx, name, "hash"), errLost)
	o.Workloads.Tell(ctx, "R1", []workload.Name{name}, workload.Notice{})
	version, err := o.Workloads.Version(ctx, name)
	require.NoError(t, err)
	require.Equal(t, "v1", version, "it may look")

	r, err := o.NewRouter("shop", record.Gateway{})
	require.NoError(t, err)
	require.ErrorIs(t, r.Apply(ctx, traffic.Target{}), errLost)
	_, err = r.Observe(ctx)
	require.NoError(t, err, "it may look")

	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	require.ErrorIs(t, o.Call(short, engine.Call{}), context.DeadlineExceeded, "no answer is given in place of the webhook's")
}
