package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/leader"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// mandate says when this daemon may act: nil for one that is alone.
type mandate interface {
	// Leads is nil while no other daemon can have begun to act.
	Leads() error
}

// newCandidate makes what several daemons agree by.
func newCandidate(spec *config.DaemonSpec, advertise string, log *slog.Logger) (*leader.Candidate, error) {
	if advertise == "" {
		return nil, errors.New("leader: --advertise is needed: the name or address at which the other daemons reach this one")
	}
	url, err := spec.StoreURL()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(url.Reveal(), "sqlite:") {
		return nil, fmt.Errorf("leader: only one daemon can use an SQLite file, and %s names one", spec.StoreFile)
	}
	client, err := restConfig(spec.Kubernetes)
	switch {
	case err != nil:
		return nil, err
	case client == nil:
		return nil, errors.New("leader: this daemon is not connected to a cluster: see kubernetes in its configuration")
	}
	namespace := string(spec.Leader.Namespace)
	if namespace == "" {
		if namespace, err = ownNamespace(spec.Kubernetes); err != nil {
			return nil, err
		}
	}
	return leader.New(leader.Config{
		REST: rest.AddUserAgent(client, "serin/"+versionText()), Namespace: namespace, Name: string(spec.Leader.Lease), Host: advertise,
		Duration: time.Duration(*spec.Leader.Duration), Log: log,
	})
}

// namespaceFile is where a pod finds the name of its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// ownNamespace is the pod's, or that of the kubeconfig's context.
func ownNamespace(spec *config.KubernetesSpec) (string, error) {
	if spec == nil || spec.Kubeconfig == "" {
		b, err := os.ReadFile(namespaceFile)
		if err != nil {
			return "", fmt.Errorf("leader.namespace is not set: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	namespace, _, err := kubeconfig(spec).Namespace()
	if err != nil {
		return "", fmt.Errorf("kubernetes.kubeconfig: %w", err)
	}
	return namespace, nil
}

// knowsWithin is how long a daemon that was just started does not listen yet because it does not know who leads: it
// could pass nothing on. It listens all the same where the API server does not say.
const knowsWithin = 5 * time.Second

// standBy answers for health and metrics, and passes on everything else to the daemon that leads, until ctx ends. It
// touches neither the store nor what a release consists of.
func standBy(ctx context.Context, spec *config.DaemonSpec, c *leader.Candidate, log *slog.Logger) error {
	elsewhere, err := server.NewForwarder(c.Leader, listenConfig(spec), log)
	if err != nil {
		return err
	}
	tokens, err := openTokens(spec, log)
	if err != nil {
		return err
	}
	select {
	case <-c.Known():
	case <-time.After(knowsWithin):
	case <-ctx.Done():
		return nil
	}
	api := server.New(server.Options{
		Elsewhere: elsewhere, Tokens: tokens, Version: versionText(), Log: log, Registry: newRegistry(false),
	})
	l, err := server.Listen(ctx, listenConfig(spec))
	if err != nil {
		return err
	}
	log.Info("this daemon stands by", "version", versionText(), "address", l.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return api.Run(ctx, l) })
	if own := spec.Spinnaker; own != nil {
		s, err := (&net.ListenConfig{}).Listen(ctx, "tcp", string(own.Listen))
		if err != nil {
			return errors.Join(fmt.Errorf("listen for Spinnaker: %w", err), l.Close())
		}
		group.Go(func() error { return server.Relay(ctx, s, c.Leader, log) })
	}
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// newRegistry takes the metrics of this process, and whether it acts.
func newRegistry(acts bool) *prometheus.Registry {
	r := prometheus.NewRegistry()
	leading := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "serin", Name: "leading", Help: "Whether this daemon acts: 1, or 0 while it stands by for another one.",
	})
	if acts {
		leading.Set(1)
	}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), leading)
	return r
}

// fence lets an engine act only while this daemon leads: one that was frozen for longer than its lease must not undo
// what another one has done since.
func fence(o *engine.Options, m mandate) {
	newRouter, call := o.NewRouter, o.Call
	o.NewRouter = func(name string, gateway json.RawMessage) (engine.Router, error) {
		r, err := newRouter(name, gateway)
		if err != nil {
			return nil, err
		}
		return fencedRouter{r, m}, nil
	}
	o.Store = fencedStore{o.Store, m}
	o.Call = func(ctx context.Context, c engine.Call) error {
		if m.Leads() != nil {
			<-ctx.Done() // no answer: the daemon ends in a moment, and an error would be a "no" of the webhook's
			return ctx.Err()
		}
		return call(ctx, c)
	}
	if o.Workloads != nil {
		o.Workloads = fencedWorkloads{o.Workloads, m}
	}
}

type fencedStore struct {
	engine.Store
	mandate mandate
}

// Create implements engine.Store.
func (s fencedStore) Create(ctx context.Context, r record.Release, events ...rollout.Event) error {
	if err := s.mandate.Leads(); err != nil {
		return err
	}
	return s.Store.Create(ctx, r, events...)
}

// Append implements engine.Store.
func (s fencedStore) Append(ctx context.Context, r record.Release, version int, events ...rollout.Event) error {
	if err := s.mandate.Leads(); err != nil {
		return err
	}
	return s.Store.Append(ctx, r, version, events...)
}

// SaveLooks implements engine.Store.
func (s fencedStore) SaveLooks(ctx context.Context, looks []record.LookRecord) error {
	if err := s.mandate.Leads(); err != nil {
		return err
	}
	return s.Store.SaveLooks(ctx, looks)
}

type fencedRouter struct {
	engine.Router
	mandate mandate
}

// Apply implements engine.Router.
func (r fencedRouter) Apply(ctx context.Context, t traffic.Target) error {
	if err := r.mandate.Leads(); err != nil {
		return err
	}
	return r.Router.Apply(ctx, t)
}

type fencedWorkloads struct {
	engine.Workloads
	mandate mandate
}

// Apply implements engine.Workloads.
func (w fencedWorkloads) Apply(ctx context.Context, t workload.Target) (workload.Observed, error) {
	if err := w.mandate.Leads(); err != nil {
		return workload.Observed{}, err
	}
	return w.Workloads.Apply(ctx, t)
}

// Run implements engine.Workloads.
func (w fencedWorkloads) Run(ctx context.Context, j workload.Job) (workload.Status, error) {
	if err := w.mandate.Leads(); err != nil {
		return workload.Status{}, err
	}
	return w.Workloads.Run(ctx, j)
}

// Seen implements engine.Workloads.
func (w fencedWorkloads) Seen(ctx context.Context, d workload.Name, hash string) error {
	if err := w.mandate.Leads(); err != nil {
		return err
	}
	return w.Workloads.Seen(ctx, d, hash)
}
