package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/config"
	"github.com/serindev/serin/daemon"
)

// finding is a problem that a release of a rollout would meet now.
type finding struct {
	Rollout string `json:"rollout"`
	// About is the metric, or "traffic" or "cluster".
	About string `json:"about"`
	Says  string `json:"says"`
	// Wrong: a release would not succeed. Doubt: it would, but may be harder than necessary to take back. With neither, it
	// could not be checked.
	Wrong bool `json:"wrong"`
	Doubt bool `json:"doubt,omitempty"`
}

type findings []finding

func (f findings) wrong() bool {
	return slices.ContainsFunc(f, func(x finding) bool { return x.Wrong })
}

// print writes them for people, and fails if something is wrong.
func (f findings) print(a *app) error {
	for _, x := range f {
		mark := painted("not checked: ", yellow, a.colours())
		switch {
		case x.Wrong:
			mark = painted("wrong: ", red, a.colours())
		case x.Doubt:
			mark = painted("warning: ", yellow, a.colours())
		}
		_, _ = fmt.Fprintf(a.stdout, "%s, %s: %s%s\n", x.Rollout, x.About, mark, clean(x.Says))
	}
	if f.wrong() {
		return &codeError{code: exitError}
	}
	if len(f) == 0 {
		_, _ = io.WriteString(a.stdout, "live: everything that was checked is there\n")
	}
	return nil
}

// liveOver is how far back to look for metrics.
const liveOver = 10 * time.Minute

// look checks what the rollouts would meet now.
func (v *validating) look(ctx context.Context, set *config.Set) (findings, error) {
	spec, err := v.daemon()
	if err != nil {
		return nil, err
	}
	if len(set.Daemons) == 1 && v.config == "" {
		spec = &set.Daemons[0]
	}
	live, err := daemon.OpenLive(daemon.Options{Spec: spec, Version: version, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	var out, targets findings
	reads := spec.Prometheus.Scrape != nil && v.url == ""
	if reads {
		if targets, err = probed(ctx, spec); err != nil {
			return nil, err
		}
	}
	for _, r := range set.Rollouts {
		plan := &r.Plan
		for about, wrong := range map[string][]string{"traffic": live.Traffic(ctx, plan), "cluster": live.Cluster(ctx, plan)} {
			for _, says := range wrong {
				out = append(out, finding{Rollout: plan.Rollout.Name, About: about, Says: says, Wrong: true})
			}
		}
		for _, says := range live.Doubts(ctx, plan) {
			out = append(out, finding{Rollout: plan.Rollout.Name, About: "cluster", Says: says, Doubt: true})
		}
		if reads {
			for _, x := range targets {
				x.Rollout = plan.Rollout.Name
				out = append(out, x)
			}
			continue
		}
		names, err := live.Stable(ctx, plan)
		if err != nil {
			out = append(out, finding{Rollout: plan.Rollout.Name, About: "metrics", Says: err.Error()})
			continue
		}
		found, err := v.metrics(ctx, plan.Rollout.Name, plan.Analyses, names)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortStableFunc(out, func(a, b finding) int { return strings.Compare(a.Rollout+"\x00"+a.About, b.Rollout+"\x00"+b.About) })
	return slices.Compact(out), nil
}

// probed returns what was found at the targets that the daemon reads itself. It does not look for stable's series:
// Traefik has none for a service before its first request.
func probed(ctx context.Context, spec *config.DaemonSpec) (out findings, err error) {
	wrong, err := daemon.Probe(ctx, &spec.Prometheus)
	for _, says := range wrong {
		out = append(out, finding{About: "metrics", Says: says, Wrong: true})
	}
	for _, service := range spec.Prometheus.Scrape.Service {
		out = append(out, finding{
			About: "metrics", Says: "the replicas behind " + analysis.ShownAddress(service) +
				": the daemon finds them itself, and logs any that it cannot read",
		})
	}
	return out, err
}

// metrics looks for stable's series of every metric.
func (v *validating) metrics(ctx context.Context, rollout string, analyses map[string]analysis.Definition, names analysis.Names) (findings, error) {
	if !v.given() {
		return findings{{Rollout: rollout, About: "metrics", Says: "where is Prometheus? --prometheus URL, or --config serin.yaml"}}, nil
	}
	source, err := v.source()
	if err != nil {
		return findings{{Rollout: rollout, About: "metrics", Says: err.Error()}}, nil
	}
	var out findings
	for _, scope := range slices.Sorted(maps.Keys(analyses)) {
		look, err := oneLook(ctx, source.all, analyses[scope], names, time.Now().Add(-analyses[scope].Defaults().Settle), liveOver)
		if err != nil {
			return append(out, finding{Rollout: rollout, About: "metrics", Says: err.Error(), Wrong: !errors.Is(err, context.DeadlineExceeded)}), nil
		}
		for _, o := range look.Observations {
			if _, says, ok := strings.Cut(o.Detail, "baseline: "); ok && o.Baseline.Missing {
				out = append(out, finding{Rollout: rollout, About: o.Metric, Says: says, Wrong: true})
			}
		}
	}
	return out, nil
}
