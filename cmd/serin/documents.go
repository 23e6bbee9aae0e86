package main

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/config"
)

// documents reads files for the commands that need no daemon. Without paths there is nothing, and that is right.
func (a *app) documents(paths []string) (*config.Set, error) {
	if len(paths) == 0 {
		return &config.Set{}, nil
	}
	loader := newLoader(0)
	loader.Stdin = a.stdin
	set, errs := loader.Load(paths...)
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w\nserin validate says more", errs)
	}
	return set, nil
}

// reach is how a Prometheus is reached without a daemon.
type reach struct {
	url, config string
	timeout     time.Duration
}

func (r *reach) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.url, "prometheus", "", "the `URL` of Prometheus")
	cmd.Flags().StringVar(&r.config, "config", "", "take Prometheus's address, and how to sign in there, from the daemon's `FILE` (serin.yaml)")
	cmd.Flags().DurationVar(&r.timeout, "timeout", 30*time.Second, "of one query")
}

// given tells whether there is a Prometheus to ask.
func (r *reach) given() bool { return r.url != "" || r.config != "" }

// source is the Prometheus to ask.
func (r *reach) source() (promsource.Config, *promsource.Source, error) {
	c := promsource.Config{URL: r.url, Timeout: r.timeout}
	if r.config != "" {
		spec, _, errs := config.LoadDaemon(r.config)
		if len(errs) > 0 {
			return c, nil, errs
		}
		client, err := spec.Prometheus.HTTPClient()
		if err != nil {
			return c, nil, err
		}
		c.HTTP = client
		if c.URL == "" {
			c.URL = string(spec.Prometheus.URL)
		}
	}
	s, err := promsource.New(c, prometheus.NewRegistry())
	if err != nil {
		return c, nil, err
	}
	return c, s, nil
}
