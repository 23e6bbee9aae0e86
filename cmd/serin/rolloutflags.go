package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/config"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/simulation"
	"github.com/serindev/serin/traffic/traefik"
)

// subject is what plan and simulate are about: a rollout from files, or weights given as flags.
type subject struct {
	rollout, analysis string
	weights           string
	hold              time.Duration
}

const (
	defaultWeights = "1%,5%,20%,50%"
	defaultHold    = 10 * time.Minute
)

func (s *subject) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.rollout, "rollout", "", "the `NAME` of the rollout, where the files have several")
	cmd.Flags().StringVar(&s.analysis, "analysis", "", "the `NAME` of the analysis, where the files have no rollout")
	cmd.Flags().StringVar(&s.weights, "weights", "", "weights in place of a rollout's, as `5%,50%` (default "+defaultWeights+")")
	cmd.Flags().DurationVar(&s.hold, "hold", defaultHold, "the least time at each of --weights")
}

// load reads the files, if any are given, and finds the rollout and its analyses.
func (s *subject) load(a *app, loader config.Loader, paths []string) (simulation.Plan, error) {
	set, err := a.documents(loader, paths)
	if err != nil {
		return simulation.Plan{}, err
	}
	if len(set.Rollouts) > 0 && s.weights == "" && s.analysis == "" {
		var names []string
		for _, r := range set.Rollouts {
			names = append(names, r.Plan.Rollout.Name)
		}
		name, err := only("rollout", s.rollout, names)
		if err != nil {
			return simulation.Plan{}, err
		}
		r, _ := set.Rollout(name)
		if len(set.Daemons) == 1 {
			r.Plan.Rollout.House = set.Daemons[0].Calendar()
		}
		return simulation.Plan{Definition: r.Plan.Rollout, Analyses: r.Plan.Analyses, Returning: r.Plan.Returning}, nil
	}
	def, err := findAnalysis(s.analysis, set.Definitions, loader.Series)
	if err != nil {
		return simulation.Plan{}, err
	}
	return s.gray(def)
}

// findAnalysis returns the analysis of that name, or the only one, or the built-in one if there is none.
func findAnalysis(name string, all map[string]analysis.Definition, series traefik.Series) (analysis.Definition, error) {
	if name == traefik.Web || name == "" && len(all) == 0 {
		return series.Web(), nil
	}
	name, err := only("analysis", name, slices.Sorted(maps.Keys(all)))
	return all[name], err
}

// only chooses a name: the one asked for, or the only one.
func only(what, asked string, names []string) (string, error) {
	switch {
	case asked == "" && len(names) == 1:
		return names[0], nil
	case asked == "":
		return "", fmt.Errorf("--%s: there are several: %s", what, strings.Join(names, ", "))
	case !slices.Contains(names, asked):
		return "", fmt.Errorf("--%s %s: there is none of this name; there are: %s", what, asked, strings.Join(names, ", "))
	}
	return asked, nil
}

// gray makes a rollout with a single gray step over the weights.
func (s *subject) gray(def analysis.Definition) (simulation.Plan, error) {
	text := s.weights
	if text == "" {
		text = defaultWeights
	}
	step := rollout.Gray{Name: "gray", Hold: s.hold, Scope: "gray", Decide: rollout.Decide{Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate}}
	for part := range strings.SplitSeq(text, ",") {
		w, err := share.Parse(part)
		if err != nil {
			return simulation.Plan{}, fmt.Errorf("--weights: %w", err)
		}
		if part = strings.TrimSpace(part); w > 1 && strings.HasSuffix(part, "%") {
			return simulation.Plan{}, fmt.Errorf("--weights: %s is more than all traffic", part)
		} else if w > 1 {
			return simulation.Plan{}, fmt.Errorf("--weights: %s is more than all traffic: write %s%%", part, part)
		}
		step.Weights = append(step.Weights, w)
	}
	patience := rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyHold}
	p := simulation.Plan{
		Definition: rollout.Definition{
			Name: def.Name, Steps: rollout.Steps{step, rollout.Promote{Name: "promote"}},
			Scopes: []rollout.Scope{{Name: "gray", NoData: patience, Unreachable: patience}},
		},
		Analyses: map[string]analysis.Definition{"gray": def},
	}
	if err := p.Definition.Check(); err != nil {
		return simulation.Plan{}, fmt.Errorf("--weights %s: %w", text, err)
	}
	if s.hold < 0 {
		return simulation.Plan{}, fmt.Errorf("--hold %s: expected a time of 0 or more", s.hold)
	}
	return p, nil
}

// numbers holds values for metrics: one for all of them, or NAME=VALUE for a single one.
type numbers struct {
	all   *float64
	named map[string]float64
}

// parseNumbers parses a flag that may be repeated.
func parseNumbers(flag string, texts []string, parse func(string) (float64, error)) (numbers, error) {
	n := numbers{named: map[string]float64{}}
	for _, text := range texts {
		name, value, named := strings.Cut(text, "=")
		if !named {
			value = text
		}
		v, err := parse(value)
		if err != nil {
			return n, fmt.Errorf("--%s %s: %w", flag, text, err)
		}
		if named {
			n.named[name] = v
		} else {
			n.all = &v
		}
	}
	return n, nil
}

// of returns the value for a metric.
func (n numbers) of(metric string, otherwise float64) float64 {
	if v, ok := n.named[metric]; ok {
		return v
	}
	if n.all != nil {
		return *n.all
	}
	return otherwise
}

// known rejects names that no metric has.
func (n numbers) known(flag string, metrics []string) error {
	for name := range n.named {
		if !slices.Contains(metrics, name) {
			return fmt.Errorf("--%s %s: there is no such metric; there are: %s", flag, name, strings.Join(metrics, ", "))
		}
	}
	return nil
}

func parseShare(text string) (float64, error) {
	s, err := share.Parse(text)
	if err == nil && s > 1 {
		err = errors.New("expected at most 100%")
	}
	return float64(s), err
}

// parseEffect parses how many times as bad: 2, x2, ×2.
func parseEffect(text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimLeft(strings.TrimSpace(text), "x×"), 64)
	if err != nil || !(v > 0 && v <= 1000) {
		return 0, fmt.Errorf("%q: expected how many times as bad, as 2 or 1.5", text)
	}
	return v, nil
}

// metricNames lists the metrics of all analyses, each once, in order.
func metricNames(p simulation.Plan) []string {
	var names []string
	for _, scope := range p.Definition.Scopes {
		for _, m := range p.Analyses[scope.Name].Metrics {
			if !slices.Contains(names, m.Name) {
				names = append(names, m.Name)
			}
		}
	}
	if p.Definition.Returning != nil {
		for _, name := range metricNames(p.ForReturning()) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// judged returns the judge's settings for a scope.
func judged(p simulation.Plan, scope string) judge.Settings {
	def := p.Analyses[scope]
	return def.Judge(len(p.Definition.Scopes))
}
