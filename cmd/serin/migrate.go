package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/daemon"
	"github.com/serindev/serin/migrate"
	"github.com/serindev/serin/simulation"
)

// maxMigrated bounds what is read of one file or of the standard input.
const maxMigrated = 16 << 20

func (a *app) migrateCmd() *cobra.Command {
	p := &planning{}
	cmd := &cobra.Command{
		Use:   "migrate FILE…|-",
		Short: "Convert a Flagger Canary or an Argo Rollout",
		Long: `Convert a Flagger Canary with its MetricTemplates, or an Argo Rollout with its AnalysisTemplates, into Serin's documents.
They go to standard output, with comments on what is different, what was left out, and how long a release takes today and
with Serin. Thresholds become objectives (baseline: {fixed: 1%}), and each weight is left when it was left before, as long
as nothing speaks against the version (decide: {on: no-fail}).

Give the IngressRoute and the Deployment as well, and the route and the container's name are taken from them. No cluster
is read or changed: docs/migration.md says in which order to move.

Exit codes:
  0  converted, and what was written is valid
  1  it could not be read, or what was written has to be corrected first`,
		Example: `  kubectl -n test get canary,metrictemplate,ingressroute,deployment -o yaml | serin migrate - > podinfo.yaml
  serin migrate canary.yaml --rate 20 --base 0.5%`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, paths []string) error { return a.migrate(p, paths) },
	}
	f := cmd.Flags()
	f.Float64Var(&p.rate, "rate", 100, "requests a second, of both versions together")
	f.StringSliceVar(&p.base, "base", []string{"1%"}, "the `SHARE` of bad requests at stable; NAME=SHARE for one metric")
	f.StringVar(&p.effects, "effect", "5", "how many `TIMES` as bad a bad version is")
	f.BoolVar(&p.first, "first", false, "plan for a first release, before anything has been learned")
	return cmd
}

// migrated is one service, as JSON.
type migrated struct {
	From      string   `json:"from"`
	Rollout   string   `json:"rollout"`
	Documents string   `json:"documents"`
	Missing   []string `json:"missing"`
	Left      []string `json:"left"`
	Plan      string   `json:"plan"`
}

func (a *app) migrate(p *planning, paths []string) error {
	var sources []migrate.Source
	for _, path := range paths {
		text, err := a.readFile(path)
		if err != nil {
			return err
		}
		sources = append(sources, migrate.Source{Name: path, Text: text})
	}
	services, err := migrate.Convert(sources...)
	if err != nil {
		return err
	}
	var out []migrated
	var wrong []error
	for _, s := range services {
		plan, err := p.alongside(s.Text)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: what was written has to be corrected first: %w", s.From, err))
		}
		out = append(out, migrated{s.From, s.Rollout, s.Text, list(s.Missing), list(s.Left), plan})
	}
	err = a.print(out, func(w io.Writer) error {
		for i, m := range out {
			if i > 0 {
				_, _ = fmt.Fprintln(w, "---")
			}
			if m.Plan != "" {
				_, _ = fmt.Fprintln(w, "# "+m.Plan)
			}
			if _, err := io.WriteString(w, m.Documents); err != nil {
				return err
			}
		}
		return nil
	})
	if !a.json() {
		for _, m := range out {
			for _, missing := range m.Missing {
				a.say(m.Rollout + ": fill in " + missing)
			}
		}
	}
	return errors.Join(append(wrong, err)...)
}

// readFile reads a file, or the standard input.
func (a *app) readFile(path string) ([]byte, error) {
	in, err := a.open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(in, maxMigrated+1))
	if err == nil && len(text) > maxMigrated {
		err = fmt.Errorf("%s: larger than %d MiB", path, maxMigrated>>20)
	}
	return text, err
}

// alongside checks the converted documents, and says how long a release with them takes.
func (p *planning) alongside(text string) (string, error) {
	loader := daemon.NewLoader(0)
	loader.Stdin = strings.NewReader(text)
	set, errs := loader.Load("-")
	if len(errs) > 0 {
		return "", errs
	}
	r := set.Rollouts[0].Plan
	plan := simulation.Plan{Definition: r.Rollout, Analyses: r.Analyses}
	base, err := parseNumbers("base", p.base, parseShare)
	if err != nil {
		return "", err
	}
	if p.effect, err = parseEffect(p.effects); err != nil || p.effect <= 1 {
		return "", fmt.Errorf("--effect %s: expected how many times as bad, more than 1", p.effects)
	}
	if !(p.rate > 0 && p.rate <= 1e9) {
		return "", fmt.Errorf("--rate %v: expected requests a second, above 0", p.rate)
	}
	rates := map[string]float64{}
	for _, name := range metricNames(plan) {
		rates[name] = base.of(name, 0.01)
	}
	steps, err := p.steps(plan, rates)
	if err != nil {
		return "", err
	}
	return p.words(steps), nil
}

// words says how long a good version takes, with the documents as they are and if the last weight waits for a pass.
func (p *planning) words(steps []planned) string {
	type place struct {
		step   string
		weight float64
	}
	holds, last := map[place]float64{}, place{}
	for _, s := range steps {
		last = place{s.Step, s.Weight}
		holds[last] = s.Hold
	}
	total := 0.0
	for _, h := range holds {
		total += h
	}
	passes, never := 0.0, ""
	for _, s := range steps {
		switch {
		case place{s.Step, s.Weight} != last:
		case s.Passes == nil:
			never = s.Metric
		default:
			passes = max(passes, *s.Passes)
		}
	}
	out := fmt.Sprintf("serin plan, at %g requests a second: a good version gets there in %s with these documents; ", p.rate, lasting(total))
	if never != "" {
		out += "if the last weight waited for a pass (decide: {on: pass}), " + never + " might never give one; "
	} else {
		out += fmt.Sprintf("in %s if the last weight waits for a pass (decide: {on: pass}); ", lasting(total-holds[last]+max(holds[last], passes)))
	}
	found := slices.IndexFunc(steps, func(s planned) bool { return s.Found != nil })
	if found < 0 {
		return out + fmt.Sprintf("a version ×%g as bad is within what the thresholds allow.", p.effect)
	}
	best := steps[found]
	for _, s := range steps {
		if s.Found != nil && s.Step == best.Step && s.Weight == best.Weight && *s.Found < *best.Found {
			best = s
		}
	}
	return out + fmt.Sprintf("a version ×%g as bad is found after %s at %s.", p.effect, lasting(*best.Found), percentage(best.Weight))
}
