package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/config"
	"github.com/serindev/serin/spinnaker"
	"github.com/serindev/serin/spinnaker/metricset"
	"github.com/serindev/serin/store"
)

// openSpinnaker adds Kayenta's API to the components; it does nothing if that is not configured.
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
		Store: s, Metrics: source, MetricsURL: analysis.ShownAddress(string(spec.Prometheus.URL)),
		Rules:   metricset.Rules{ScopeLabel: own.ScopeLabel, Matchers: own.MatchersInScopes},
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
