package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/config"
	"github.com/serindev/serin/server/spinnaker"
	"github.com/serindev/serin/store"
)

// openSpinnaker makes Kayenta's API, side by side with the other components; nothing where it is not configured.
func (a *acting) openSpinnaker(ctx context.Context, spec *config.DaemonSpec, s *store.Store, source *promsource.Source, log *slog.Logger,
	r prometheus.Registerer) error {
	own := spec.Spinnaker
	if own == nil {
		return nil
	}
	listen, err := spinnakerListener(own)
	if err != nil {
		return err
	}
	l, err := spinnaker.Listen(ctx, listen)
	if err != nil {
		return err
	}
	a.closers, a.spinnaker = append(a.closers, l), l.Addr()
	o := spinnaker.Options{
		Store: canaryStore{s}, Metrics: source, MetricsURL: withoutUser(string(spec.Prometheus.URL)), ScopeLabel: own.ScopeLabel,
		Queries: spec.Prometheus.Concurrency, MaxRuns: own.MaxRuns, Retention: retention(spec), Log: log, Registry: r,
	}
	if own := own.Accounts; own != nil {
		o.MetricsNames, o.StorageNames = own.Prometheus, own.Serin
	}
	service := spinnaker.New(o)
	a.components = append(a.components, service.Run, func(ctx context.Context) error { return service.Serve(ctx, l, listen) })
	log.Info("spinnaker is served", "address", l.Addr().String())
	return nil
}

func spinnakerListener(own *config.SpinnakerSpec) (spinnaker.ListenConfig, error) {
	c := spinnaker.ListenConfig{Address: string(own.Listen), AllowAnonymous: own.AllowAnonymous, AllowInsecure: own.AllowInsecure}
	if t := own.TLS; t != nil {
		c.Cert, c.Key, c.ClientCA = t.Cert, t.Key, t.ClientCA
	}
	if b := own.BasicAuth; b != nil {
		c.Username, c.Password = b.Username, b.Password.Reveal()
		if b.PasswordFile != "" {
			text, err := os.ReadFile(b.PasswordFile)
			if err != nil {
				return c, fmt.Errorf("read the password for Spinnaker: %w", err)
			}
			c.Password = strings.TrimSpace(string(text))
		}
	}
	return c, nil
}

// withoutUser is an address without the user and password that may be in it.
func withoutUser(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User = nil
	return u.String()
}

// canaryStore is the store as Kayenta's API wants it.
type canaryStore struct{ *store.Store }

var _ spinnaker.Store = canaryStore{}

// CreateConfig implements spinnaker.Store.
func (c canaryStore) CreateConfig(ctx context.Context, v spinnaker.Config) error {
	return c.CreateCanaryConfig(ctx, store.CanaryConfig(v))
}

// UpdateConfig implements spinnaker.Store.
func (c canaryStore) UpdateConfig(ctx context.Context, v spinnaker.Config) error {
	return c.UpdateCanaryConfig(ctx, store.CanaryConfig(v))
}

// DeleteConfig implements spinnaker.Store.
func (c canaryStore) DeleteConfig(ctx context.Context, id string) error {
	return c.DeleteCanaryConfig(ctx, id)
}

// Config implements spinnaker.Store.
func (c canaryStore) Config(ctx context.Context, id string) (json.RawMessage, error) {
	return c.CanaryConfig(ctx, id)
}

// Configs implements spinnaker.Store.
func (c canaryStore) Configs(ctx context.Context) ([]json.RawMessage, error) {
	return c.CanaryConfigs(ctx)
}

// CreateRun implements spinnaker.Store.
func (c canaryStore) CreateRun(ctx context.Context, r spinnaker.Run) error {
	return c.CreateCanaryRun(ctx, store.CanaryRun(r))
}

// UpdateRun implements spinnaker.Store.
func (c canaryStore) UpdateRun(ctx context.Context, r spinnaker.Run, p *spinnaker.Pairs, e *spinnaker.Evidence) error {
	return c.UpdateCanaryRun(ctx, store.CanaryRun(r), (*store.CanaryPairs)(p), (*store.CanaryEvidence)(e))
}

// Run implements spinnaker.Store.
func (c canaryStore) Run(ctx context.Context, id string) (spinnaker.Run, error) {
	r, err := c.CanaryRun(ctx, id)
	return spinnaker.Run(r), err
}

// Runs implements spinnaker.Store.
func (c canaryStore) Runs(ctx context.Context, f spinnaker.Filter) ([]spinnaker.Run, error) {
	return canaryRuns(c.CanaryRuns(ctx, store.CanaryFilter(f)))
}

// IncompleteRuns implements spinnaker.Store.
func (c canaryStore) IncompleteRuns(ctx context.Context) ([]spinnaker.Run, error) {
	return canaryRuns(c.IncompleteCanaryRuns(ctx))
}

func canaryRuns(all []store.CanaryRun, err error) ([]spinnaker.Run, error) {
	out := make([]spinnaker.Run, len(all))
	for i := range all {
		out[i] = spinnaker.Run(all[i])
	}
	return out, err
}

// KeepPairs implements spinnaker.Store.
func (c canaryStore) KeepPairs(ctx context.Context, p spinnaker.Pairs) error {
	return c.KeepCanaryPairs(ctx, store.CanaryPairs(p))
}

// Pairs implements spinnaker.Store.
func (c canaryStore) Pairs(ctx context.Context, id string) (json.RawMessage, error) {
	return c.CanaryPairs(ctx, id)
}

// Evidence implements spinnaker.Store.
func (c canaryStore) Evidence(ctx context.Context, id string) (spinnaker.Evidence, error) {
	e, err := c.CanaryEvidence(ctx, id)
	return spinnaker.Evidence(e), err
}

// Prune implements spinnaker.Store.
func (c canaryStore) Prune(ctx context.Context, before time.Time) error {
	return c.PruneCanary(ctx, before)
}
