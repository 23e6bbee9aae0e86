package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/judge"
)

// variables reads NAME=VALUE; several values of one name are any of them.
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

// nobody is a service that there is none of, for what looks at one arm alone.
const nobody = "serin.no-such-service"

// oneLook counts one arm over one window.
func oneLook(ctx context.Context, source *promsource.Source, def analysis.Definition, baseline analysis.Names, end time.Time, over time.Duration) (judge.Look, error) {
	vars := map[string][]string{}
	for name, values := range baseline.Vars {
		vars[name] = values
	}
	plan, err := analysis.NewPlan(def, analysis.Arms{Canary: analysis.Names{Service: nobody, Vars: vars}, Baseline: baseline})
	if err != nil {
		return judge.Look{}, err
	}
	cursor := analysis.NewCursor(end.Add(-over))
	answers := source.Fetch(ctx, plan.Asks(cursor, end))
	var errs []error
	for _, a := range answers {
		errs = append(errs, a.Err)
	}
	if err := errors.Join(errs...); err != nil {
		return judge.Look{}, err
	}
	_, look := plan.Fold(cursor, answers, analysis.FoldInput{Number: 1, At: end})
	return look, nil
}
