package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge/choice"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/simulation"
	"github.com/serindev/serin/tell"
)

// showing holds the flags of validate --show.
type showing struct {
	show bool
	rate float64
	base []string
}

// shown is what a rollout will do, as JSON.
type shown struct {
	Rollout string `json:"rollout"`
	// Steps says what a release does, in a sentence for each step.
	Steps []string `json:"steps"`
	// Returning says which versions take the shorter plan, and ReturningSteps what that does; empty if the rollout has none.
	Returning      string   `json:"returning,omitempty"`
	ReturningSteps []string `json:"returningSteps,omitempty"`
	// Least is how long the weights take at least. Others are the steps whose time is not in it: gates, waits, Jobs, webhooks.
	Least  float64  `json:"leastSeconds"`
	Others []string `json:"withoutTheTimeOf,omitempty"`
	// Good is how long a good version takes with the given traffic; nil if none was given, or if it is not expected to pass
	// within a year.
	Good *float64 `json:"goodVersionSeconds,omitempty"`
}

// shows is everything that --show adds.
type shows struct {
	Releases  []shown          `json:"releases"`
	Documents []config.Settled `json:"documents"`
}

// shows reads the files again for the defaults, and says what each rollout will do.
func (a *app) shows(loader config.Loader, set *config.Set, f *showing, paths []string) (shows, error) {
	out := shows{Documents: loader.Settings(paths...)}
	for i := range out.Documents {
		d := &out.Documents[i]
		if d.Kind != config.KindAnalysis || slices.ContainsFunc(d.Settings, func(s config.Setting) bool { return s.Path == "passAfter" }) {
			continue
		}
		def, known := set.Definitions[d.Name]
		if !known {
			def = loader.Series.Web()
		}
		if j, err := choice.New(def.Judge(1)); err == nil {
			d.Settings = append(d.Settings, config.Setting{Path: "passAfter", Value: figures.Span(j.PassWait()), Default: true})
		}
	}
	for _, r := range set.Rollouts {
		plan := simulation.Plan{Definition: r.Plan.Rollout, Analyses: r.Plan.Analyses, Returning: r.Plan.Returning}
		s, err := f.release(plan)
		if err != nil {
			return out, err
		}
		out.Releases = append(out.Releases, s)
	}
	return out, nil
}

// release says what a release of a rollout does, and how long it takes.
func (f *showing) release(plan simulation.Plan) (shown, error) {
	out := shown{Rollout: plan.Definition.Name, Steps: []string{}}
	weighted := map[string]bool{}
	for _, s := range plan.Definition.Steps.Stages() {
		weighted[s.Name] = true
		out.Least += s.Least.Seconds()
	}
	for _, step := range plan.Definition.Steps {
		out.Steps = append(out.Steps, stepSentences(step)...)
		if _, last := step.(rollout.Promote); !last && !weighted[step.StepName()] {
			out.Others = append(out.Others, rollout.Kind(step)+" "+step.StepName())
		}
	}
	if out.Returning = tell.Returning(&plan.Definition); out.Returning != "" {
		for _, step := range plan.Definition.Returning.Steps {
			out.ReturningSteps = append(out.ReturningSteps, stepSentences(step)...)
		}
	}
	if f.rate == 0 {
		return out, nil
	}
	p := planning{rate: f.rate, effect: 2}
	numbers, err := parseNumbers("base", f.base, parseShare)
	if err == nil {
		err = numbers.known("base", metricNames(plan))
	}
	if err != nil {
		return out, err
	}
	base := map[string]float64{}
	for _, name := range metricNames(plan) {
		base[name] = numbers.of(name, 0.01)
	}
	steps, err := p.steps(plan, base)
	if err != nil {
		return out, err
	}
	if good, passes := lasts(steps); passes {
		out.Good = &good
	}
	return out, nil
}

// lasts returns how many seconds a good version spends at all weights together; passes is false if it never leaves one.
func lasts(steps []planned) (seconds float64, passes bool) {
	for i := 0; i < len(steps); {
		longest, j := 0.0, i
		for ; j < len(steps) && steps[j].Step == steps[i].Step && steps[j].Weight == steps[i].Weight; j++ {
			longest = max(longest, steps[j].Hold)
			switch {
			case !steps[j].Needs || steps[j].Unplanned != "":
			case steps[j].Passes == nil:
				return 0, false
			default:
				longest = max(longest, *steps[j].Passes)
			}
		}
		seconds, i = seconds+longest, j
	}
	return seconds, true
}

// stepSentences say what a step does; a gray step has one for each weight.
func stepSentences(step rollout.Step) []string {
	gray, ok := step.(rollout.Gray)
	if !ok {
		return []string{tell.Step(step, "the canary").Does}
	}
	var out []string
	for i := range gray.Weights {
		out = append(out, tell.Weight(gray, i))
	}
	return out
}

// print writes it for people.
func (s shows) print(a *app, w io.Writer, f *showing) error {
	for _, r := range s.Releases {
		_, _ = fmt.Fprintf(w, "\n%s\n", painted("A release of "+r.Rollout, bold, a.colours()))
		for i, text := range r.Steps {
			_, _ = fmt.Fprintf(w, "  %d. %s\n", i+1, clean(text))
		}
		_, _ = fmt.Fprintf(w, "  Its weights take %s at least%s.\n", span(r.Least), others(r.Others))
		if r.Returning != "" {
			_, _ = fmt.Fprintf(w, "  %s.\n", clean(tell.Capital(r.Returning)))
		}
		for i, text := range r.ReturningSteps {
			_, _ = fmt.Fprintf(w, "     %d. %s\n", i+1, clean(text))
		}
		switch {
		case f.rate == 0:
			_, _ = fmt.Fprintln(w, "  --rate 100 (requests a second) says how long a good version takes; serin plan says it by weight.")
		case r.Good == nil:
			_, _ = fmt.Fprintf(w, "  With %s requests a second a good version is not expected to pass: serin "+
				"plan says at which weight.\n", number(f.rate))
		default:
			_, _ = fmt.Fprintf(w, "  With %s requests a second they take a good version about %s.\n", number(f.rate), span(*r.Good))
		}
	}
	for _, d := range s.Documents {
		_, _ = fmt.Fprintf(w, "\n%s\n", painted(d.Kind+" "+d.Name+", with what is left out", bold, a.colours()))
		var rows [][]cell
		for _, x := range d.Settings {
			origin := cell{"", plain}
			if x.Default {
				origin = cell{"default", dim}
			}
			rows = append(rows, []cell{{"  " + x.Path, plain}, {x.Value, plain}, origin})
		}
		if err := a.table(w, []string{"  FIELD", "VALUE", ""}, rows); err != nil {
			return err
		}
	}
	return nil
}

func others(of []string) string {
	if len(of) == 0 {
		return ""
	}
	return ", and the time of " + strings.Join(of, ", ")
}

func span(seconds float64) string {
	return figures.Span(time.Duration(seconds * float64(time.Second)).Round(time.Second))
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
