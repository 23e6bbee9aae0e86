package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/leader"
	"github.com/serindev/serin/server"
)

// newCandidate makes the candidate through which several daemons elect a leader.
func newCandidate(o Options) (*leader.Candidate, error) {
	spec := o.Spec
	if o.Advertise == "" {
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
		REST: rest.AddUserAgent(client, "serin/"+o.Version), Namespace: namespace, Name: string(spec.Leader.Lease), Host: o.Advertise,
		Duration: time.Duration(*spec.Leader.Duration), Log: o.Log,
	})
}

// namespaceFile is where a pod finds its namespace.
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

// knowsWithin is how long a daemon that has just started waits to learn who leads before it listens: until then it
// could not forward anything. If the API server does not say, it listens anyway.
const knowsWithin = 5 * time.Second

// standBy answers for health and metrics, and forwards everything else to the leader, until ctx ends. It touches
// neither the store nor any release.
func standBy(ctx context.Context, o Options, c *leader.Candidate) error {
	spec, log := o.Spec, o.Log
	own := listenConfig(spec)
	if file := spec.Auth.Sessions.KeyFile; file != "" { // without one the leader has another key
		var err error
		if own.PeerKey, err = sessionKey(spec, log); err != nil {
			return err
		}
	}
	elsewhere, err := server.NewForwarder(c.Leader, own, log)
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
		Elsewhere: elsewhere, Tokens: tokens, Version: o.Version, Log: log, Registry: newRegistry(false), ExternalURL: string(spec.ExternalURL),
		Proxies: spec.Proxies(), PeerKey: own.PeerKey,
	})
	l, err := server.Listen(ctx, listenConfig(spec))
	if err != nil {
		return err
	}
	log.Info("this daemon stands by", "version", o.Version, "address", l.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return api.Run(ctx, l) })
	if address := admissionAddress(spec); address != "" {
		s, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return errors.Join(fmt.Errorf("listen for the API server: %w", err), l.Close())
		}
		group.Go(func() error { return server.Relay(ctx, s, c.Leader, log) })
	}
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

// newRegistry makes a registry with the metrics of this process, and whether it acts.
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
