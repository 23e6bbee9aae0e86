package main

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/config"
	"github.com/serindev/serin/daemon"
)

// documents reads files for the commands that need no daemon. No paths give an empty set, which is no error.
func (a *app) documents(loader config.Loader, paths []string) (*config.Set, error) {
	if len(paths) == 0 {
		return &config.Set{}, nil
	}
	loader.Stdin = a.stdin
	set, errs := loader.Load(paths...)
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w\nserin validate says more", errs)
	}
	return set, nil
}

// reach holds the flags that say how to reach a Prometheus without a daemon.
type reach struct {
	url, config string
	timeout     time.Duration
}

func (r *reach) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.url, "prometheus", "", "the `URL` of Prometheus")
	cmd.Flags().StringVar(&r.config, "config", "", "take Prometheus's address, and how to sign in there, from the daemon's `FILE` (serin.yaml)")
	cmd.Flags().DurationVar(&r.timeout, "timeout", 30*time.Second, "of one query")
}

// given reports whether there is a Prometheus to query.
func (r *reach) given() bool { return r.url != "" || r.config != "" }

// reached is the Prometheus to query, alone and together with the daemon's further sources.
type reached struct {
	own *promsource.Source
	all promsource.Sources
}

// daemon is the daemon's document, if one is given.
func (r *reach) daemon() (*config.DaemonSpec, error) {
	if r.config == "" {
		return &config.DaemonSpec{}, nil
	}
	spec, _, errs := config.LoadDaemon(r.config)
	if len(errs) > 0 {
		return nil, errs
	}
	return spec, nil
}

// loader returns a loader that reads documents as that daemon does.
func (r *reach) loader() (config.Loader, error) {
	spec, err := r.daemon()
	l := daemon.NewLoader(0)
	if err == nil && r.config != "" {
		l = l.For(spec)
	}
	l.Manifests, l.Objects.Unknown = true, r.config == ""
	return l, err
}

// source is the Prometheus to query, with the daemon's further sources.
func (r *reach) source() (reached, error) {
	spec, err := r.daemon()
	if err != nil {
		return reached{}, err
	}
	own := spec.Prometheus
	if r.url != "" {
		own.URL = config.URL(r.url)
	} else if own.Scrape != nil {
		return reached{}, fmt.Errorf("%s: the daemon reads metrics itself (scrape) and keeps no history to query: "+
			"give a Prometheus with --prometheus", r.config)
	}
	timeout, registry := config.Duration(r.timeout), prometheus.NewRegistry()
	own.Timeout = &timeout
	s, err := daemon.OpenSource(&own, registry)
	if err != nil {
		return reached{}, err
	}
	all, err := daemon.OpenSources(spec, s, registry)
	return reached{own: s, all: all}, err
}
