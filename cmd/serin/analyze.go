package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/choice"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
)

// analyzing holds the flags of analyze.
type analyzing struct {
	reach
	name             string
	from, to         string
	step             time.Duration
	canary, baseline []string
	weight           string
	chart            string
	pass, marginal   float64
	begin, end       time.Time
}

const (
	// mostLooks bounds how many times one call queries Prometheus.
	mostLooks = 20_000
	// mostText bounds the file; what may be in it has lower bounds of its own.
	mostText = 5 << 20
)

func (a *app) analyzeCmd() *cobra.Command {
	z := &analyzing{}
	cmd := &cobra.Command{
		Use:   "analyze [FILE|-]",
		Short: "Judge a period in the past, from Prometheus",
		Long: `Judge two versions over a time in the past, from a Prometheus and without a daemon, and say why.

FILE holds an Analysis (YAML), whose looks are taken again one after the other as a first release would have taken
them, or a canary config of Kayenta (JSON or YAML, also within a request), which is judged once by the judge that it
names. Without FILE it is the built-in analysis of Traefik's errors and slow requests.

The arms are distinguished by their service, or by any variable that the file uses: --canary shop-canary@file, or
--canary version=v2. For a canary config the plain value is the scope, location=VALUE the location, and every other
NAME=VALUE an extended scope parameter.

Times are written as 2026-01-02T15:04:05Z, as "2026-01-02 15:04" in the local zone, as -2h (two hours ago), or now.

Exit codes:
  0  pass
  1  something went wrong
  2  fail
  3  inconclusive, or with a canary config: marginal`,
		Example: `  serin analyze --prometheus http://127.0.0.1:9090 --from -2h --canary shop-canary@file --baseline shop-stable@file
  serin analyze web.yaml --config serin.yaml --from -6h --to -5h --canary version=v2 --baseline version=v1 --chart web.svg
  serin analyze kayenta/flask.json --prometheus http://127.0.0.1:9090 --from -1h --canary flask-canary --baseline flask`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error { return a.analyze(cmd.Context(), z, files) },
	}
	z.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&z.name, "analysis", "", "the `NAME` of the analysis, where the file has several")
	f.StringVar(&z.from, "from", "-1h", "the beginning, a `TIME`")
	f.StringVar(&z.to, "to", "now", "the end, a `TIME`")
	f.DurationVar(&z.step, "step", 0, "the length of a look (default the analysis's interval; 1m for a canary config)")
	f.StringSliceVar(&z.canary, "canary", nil, "the canary's `SERVICE`, or NAME=VALUE of a variable; may be repeated")
	f.StringSliceVar(&z.baseline, "baseline", nil, "the baseline's `SERVICE`, or NAME=VALUE of a variable; may be repeated")
	f.StringVar(&z.weight, "weight", "", "the canary's `SHARE` of the requests throughout: with it the split is tested too")
	f.StringVar(&z.chart, "chart", "", "draw every metric into this `FILE` (SVG)")
	f.Float64Var(&z.pass, "pass", 75, "the score from which on a canary config passes")
	f.Float64Var(&z.marginal, "marginal", 50, "the score from which on it is marginal")
	return cmd
}

func (a *app) analyze(ctx context.Context, z *analyzing, files []string) error {
	if !z.given() {
		return errors.New("where is Prometheus? --prometheus URL, or --config serin.yaml")
	}
	if len(z.canary) == 0 || len(z.baseline) == 0 {
		return errors.New("which versions are compared? --canary and --baseline")
	}
	if err := z.window(time.Now()); err != nil {
		return err
	}
	source, err := z.source()
	if err != nil {
		return err
	}
	loader, err := z.loader()
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return a.analyzeLooks(ctx, z, source.all, loader.Series.Web())
	}
	in, err := a.open(files[0])
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(in, mostText))
	_ = in.Close()
	if err != nil {
		return fmt.Errorf("read %s: %w", files[0], err)
	}
	if is, err := a.analyzeConfig(ctx, z, source.own, files[0], text); is || err != nil {
		return err
	}
	again := *a
	again.stdin = bytes.NewReader(text) // standard input can be read only once
	set, err := again.documents(loader, files)
	if err != nil {
		return err
	}
	if len(set.Definitions) == 0 {
		return fmt.Errorf("%s: there is no Analysis in it; a canary config of Kayenta is given as its JSON file", files[0])
	}
	def, err := findAnalysis(z.name, set.Definitions, loader.Series)
	if err != nil {
		return err
	}
	return a.analyzeLooks(ctx, z, source.all, def)
}

// window parses --from and --to, and checks --step.
func (z *analyzing) window(now time.Time) (err error) {
	if z.begin, err = when(z.from, now); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if z.end, err = when(z.to, now); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if z.step < 0 || z.step > 0 && z.step < time.Second {
		return fmt.Errorf("--step %s: expected at least a second", z.step)
	}
	if !z.begin.Before(z.end) {
		return fmt.Errorf("--from %s --to %s: the beginning is not before the end", z.from, z.to)
	}
	return nil
}

// when parses a time as the help of analyze lists them.
func when(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if ago, found := strings.CutPrefix(text, "-"); found {
		if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
			return now.Add(-d), nil
		}
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, form := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: expected 2026-01-02T15:04:05Z, \"2026-01-02 15:04\", -2h or now", text)
}

// arm parses one arm: a service, variables, or both.
func arm(flag, name string, texts []string) (analysis.Names, error) {
	n := analysis.Names{}
	var vars []string
	for _, text := range texts {
		if strings.Contains(text, "=") {
			vars = append(vars, text)
			continue
		}
		if n.Service != "" {
			return n, fmt.Errorf("--%s %s: there is a service already, %s", flag, text, n.Service)
		}
		n.Service = text
	}
	var err error
	if n.Vars, err = variables(vars); err != nil {
		return n, fmt.Errorf("--%s: %w", flag, err)
	}
	if len(n.Vars["arm"]) == 0 {
		n.Vars["arm"] = []string{name}
	}
	return n, nil
}

// variables parses NAME=VALUE; several values for one name mean any of them.
func variables(texts []string) (map[string][]string, error) {
	vars := map[string][]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q: expected NAME=VALUE", text)
		}
		vars[name] = append(vars[name], value)
	}
	return vars, nil
}

// analyzed is the result of analyze for an Analysis, as JSON.
type analyzed struct {
	Analysis string        `json:"analysis"`
	From     time.Time     `json:"from"`
	To       time.Time     `json:"to"`
	Step     string        `json:"step"`
	Looks    int           `json:"looks"`
	Verdict  judge.Verdict `json:"verdict"`
	// FailedAt and PassedAt are when the first look with that verdict ended; absent if there was none.
	FailedAt *time.Time `json:"failedAt,omitempty"`
	PassedAt *time.Time `json:"passedAt,omitempty"`
	// Explanation gives the reason for the verdict in words.
	Explanation []string `json:"explanation"`
}

func (a *app) analyzeLooks(ctx context.Context, z *analyzing, source promsource.Sources, def analysis.Definition) error {
	def = def.Defaults()
	weight := share.Share(0.5)
	if z.weight == "" {
		def.Split.Off = true
	} else {
		w, err := share.Parse(z.weight)
		if err != nil || w <= 0 || w >= 1 {
			return fmt.Errorf("--weight %s: expected a share above 0 and below 100%%", z.weight)
		}
		weight = w
	}
	if z.step == 0 {
		z.step = def.Interval
	}
	if n := z.end.Sub(z.begin) / z.step; n < 1 || n > mostLooks {
		return fmt.Errorf("--step %s: that makes %d looks, expected 1 to %d", z.step, n, mostLooks)
	}
	verdicts, err := a.looks(ctx, z, source, def, float64(weight))
	if err != nil {
		return err
	}
	out := analyzed{Analysis: def.Name, From: z.begin, To: z.end, Step: z.step.String(), Looks: len(verdicts)}
	out.Verdict = verdicts[len(verdicts)-1]
	for _, v := range verdicts {
		switch {
		case v.Outcome == judge.Fail && out.FailedAt == nil:
			at := v.At
			out.FailedAt, out.Verdict = &at, v // a release would have ended here
		case v.Outcome == judge.Pass && out.PassedAt == nil:
			at := v.At
			out.PassedAt = &at
		}
	}
	out.Explanation = explained(out.Verdict)
	if z.chart != "" {
		if err := writeFile(z.chart, evidenceChart(out, verdicts)); err != nil {
			return err
		}
	}
	if err := a.print(out, func(w io.Writer) error { return a.analyzedText(w, out) }); err != nil {
		return err
	}
	return verdictCode(out.Verdict.Outcome)
}

// verdictCode is the exit code of a verdict.
func verdictCode(o judge.Outcome) error {
	switch o {
	case judge.Fail:
		return &codeError{code: exitNotLive}
	case judge.Inconclusive:
		return &codeError{code: exitTooLong}
	case judge.Pass:
	}
	return nil
}

// looks replays the looks of the window.
func (a *app) looks(ctx context.Context, z *analyzing, source promsource.Sources, def analysis.Definition, weight float64) ([]judge.Verdict, error) {
	canary, err := arm("canary", "canary", z.canary)
	if err != nil {
		return nil, err
	}
	baseline, err := arm("baseline", "stable", z.baseline)
	if err != nil {
		return nil, err
	}
	plan, err := analysis.NewPlan(def, analysis.Arms{Canary: canary, Baseline: baseline})
	if err != nil {
		return nil, err
	}
	j, err := choice.New(def.Judge(1))
	if err != nil {
		return nil, err
	}
	shown := a.progressBar("asking Prometheus", int(z.end.Sub(z.begin)/z.step))
	defer shown.end()
	pasts, err := a.rehearsed(ctx, source, def, j, baseline, z.begin)
	if err != nil {
		return nil, err
	}
	cursor, evidence := analysis.NewCursor(z.begin), j.Begin(pasts)
	var out []judge.Verdict
	for at := z.begin.Add(z.step); !at.After(z.end); at = at.Add(z.step) {
		answers := source.Fetch(ctx, plan.Asks(cursor, at))
		for _, answer := range answers {
			if answer.Err != nil {
				return nil, fmt.Errorf("look at %s: %w", at.Format(time.RFC3339), answer.Err)
			}
		}
		var look judge.Look
		var v judge.Verdict
		cursor, look = plan.Fold(cursor, answers, analysis.FoldInput{Number: len(out) + 1, At: at, Weight: weight})
		evidence, v = j.Look(evidence, look)
		out = append(out, v)
		shown.step()
	}
	return out, nil
}

// rehearsed returns what the judge learns from the baseline's history before a time, as the daemon does before a release.
func (a *app) rehearsed(ctx context.Context, source promsource.Sources, def analysis.Definition, j choice.Judge,
	baseline analysis.Names, before time.Time) (map[string][]judge.Past, error) {
	history, err := analysis.NewHistory(def, baseline)
	if err != nil {
		return nil, err
	}
	for _, to := range history.Parts(before) {
		if err := history.Add(source.Fetch(ctx, history.Asks(to)), to); err != nil {
			a.warning("nothing was learned from part of the baseline's history: " + err.Error())
		}
	}
	pasts := map[string][]judge.Past{}
	for metric, past := range j.History(history.Sums()) {
		pasts[metric] = append(pasts[metric], past)
	}
	return pasts, nil
}

// explained puts a verdict into words, as serin explain does.
func explained(v judge.Verdict) []string {
	e := tell.Explain(record.View{Release: &record.Release{}, State: rollout.State{Phase: rollout.Active}, Verdict: &v})
	var out []string
	for _, m := range e.Metrics {
		out = append(out, m.Text)
	}
	if e.SampleRatio != "" {
		out = append(out, "sample ratio: "+e.SampleRatio)
	}
	return out
}

func (a *app) analyzedText(w io.Writer, out analyzed) error {
	on := a.colours()
	_, _ = fmt.Fprintf(w, "%s: %s\n", clean(out.Analysis), painted(clean(verdictWords(out.Verdict)), verdictPaint(out.Verdict.Outcome), on))
	for _, line := range out.Explanation {
		_, _ = fmt.Fprintln(w, "  "+clean(line))
	}
	_, _ = fmt.Fprintf(w, "%s looks of %s, from %s to %s", strconv.Itoa(out.Looks), out.Step, at(out.From), at(out.To))
	switch {
	case out.FailedAt != nil:
		_, _ = fmt.Fprintf(w, "; a release would have been rolled back at %s", at(*out.FailedAt))
	case out.PassedAt != nil:
		_, _ = fmt.Fprintf(w, "; passed first at %s", at(*out.PassedAt))
	}
	_, err := fmt.Fprintln(w)
	return err
}

// nobody is a service that does not exist: it stands in for the other arm in a look at one arm only.
const nobody = "serin.no-such-service"

// oneLook takes a look at a single arm, over one window.
func oneLook(ctx context.Context, source promsource.Sources, def analysis.Definition, baseline analysis.Names,
	end time.Time, over time.Duration) (judge.Look, error) {
	canary := analysis.Names{Service: nobody, Vars: map[string][]string{"arm": {nobody}}}
	for name := range baseline.Vars {
		canary.Vars[name] = []string{nobody}
	}
	if baseline.Vars["arm"] == nil {
		baseline.Vars["arm"] = []string{"stable"}
	}
	plan, err := analysis.NewPlan(def, analysis.Arms{Canary: canary, Baseline: baseline})
	if err != nil {
		return judge.Look{}, err
	}
	cursor := analysis.NewCursor(end.Add(-over))
	answers := source.Fetch(ctx, plan.Asks(cursor, end))
	var errs []error
	for _, answer := range answers {
		errs = append(errs, answer.Err)
	}
	if err := errors.Join(errs...); err != nil {
		return judge.Look{}, err
	}
	_, look := plan.Fold(cursor, answers, analysis.FoldInput{Number: 1, At: end})
	return look, nil
}
