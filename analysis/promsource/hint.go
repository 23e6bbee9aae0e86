package promsource

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/internal/spelling"
)

// Bounds on the search for what exists instead of missing series. Hints are for people, so the search must not hold
// anything up.
const (
	hintTimeout = time.Second      // for all questions of one hint
	hintEvery   = time.Minute      // how long a hint is reused, and how long a failed search is not repeated
	hintOver    = 10 * time.Minute // how far back something counts as existing
	maxHints    = 4                // searched for in one fetch
	maxNamed    = 3                // values named in a hint
)

// hints holds the results of recent searches, by their selectors.
type hints struct {
	mu    sync.Mutex // guards known
	known map[hintKey]hint
}

type hintKey struct {
	template analysis.Template
	value    string
}

type hint struct {
	text string
	at   time.Time
}

// hints adds to answers without series what exists instead.
func (s *Source) hints(ctx context.Context, asks []analysis.Ask, answers []analysis.Answer) {
	var wait errgroup.Group
	wait.SetLimit(parallel)
	wanted := map[hintKey][]int{}
	now := time.Now()
	for i, a := range asks {
		if answers[i].Err != nil || len(answers[i].Series) > 0 || a.Template.Name == "" || a.Template.Expression != "" || !a.From.Before(a.To) {
			continue
		}
		k := hintKey{a.Template, a.Value}
		if h, ok := s.hinted.get(k, now); ok {
			answers[i].Hint = h
		} else if len(wanted) < maxHints || wanted[k] != nil {
			wanted[k] = append(wanted[k], i)
		}
	}
	for k, mine := range wanted {
		wait.Go(func() error {
			text := s.hint(ctx, asks[mine[0]])
			s.hinted.put(k, hint{text, now})
			for _, i := range mine {
				answers[i].Hint = text
			}
			return nil
		})
	}
	_ = wait.Wait() // a failed search gives no hint
}

func (h *hints) get(k hintKey, now time.Time) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known, ok := h.known[k]
	return known.text, ok && now.Sub(known.at) < hintEvery
}

func (h *hints) put(k hintKey, v hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		h.known = map[hintKey]hint{}
	}
	for old, o := range h.known {
		if v.at.Sub(o.at) >= hintEvery {
			delete(h.known, old)
		}
	}
	h.known[k] = v
}

// hint finds the nearest match for a selector that selects nothing: another metric name, label or value.
func (s *Source) hint(ctx context.Context, a analysis.Ask) string {
	ctx, cancel := context.WithTimeout(ctx, min(hintTimeout, s.timeout))
	defer cancel()
	name := a.Template.Name
	found, _, _, err := s.api.LabelNames(ctx, []string{name}, a.To.Add(-hintOver), a.To)
	if err != nil {
		return ""
	}
	labels := texts(found)
	if len(labels) == 0 {
		return s.hintName(ctx, a)
	}
	for _, m := range a.Matches() {
		if m.Op == "=" && m.Value != "" && !slices.Contains(labels, m.Label) {
			return hintLabel(name, m.Label, labels)
		}
	}
	return s.hintValue(ctx, a)
}

// hintName handles a metric that does not exist at all.
func (s *Source) hintName(ctx context.Context, a analysis.Ask) string {
	values, _, _, err := s.api.LabelValues(ctx, model.MetricNameLabel, nil, a.To.Add(-hintOver), a.To)
	if err != nil {
		return ""
	}
	if near, ok := spelling.Nearest(a.Template.Name, texts(values)); ok {
		return fmt.Sprintf("there is no metric %s; the nearest is %s", a.Template.Name, near)
	}
	return "there is no metric " + a.Template.Name
}

// hintLabel handles a metric that lacks one of the labels. Where a target's label collides with one of Prometheus's own,
// Prometheus renames it to exported_….
func hintLabel(name, label string, labels []string) string {
	out := fmt.Sprintf("the series of %s have no label %s", name, label)
	if exported := "exported_" + label; slices.Contains(labels, exported) {
		out += ", but " + exported
		if strings.HasPrefix(name, "traefik_") && label == "service" {
			out += ": serviceLabel: " + exported + " says so, of the source or in the analysis"
		}
		return out
	}
	if near, ok := spelling.Nearest(label, labels); ok {
		return out + "; the nearest is " + near
	}
	labels = slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return l == model.MetricNameLabel })
	return out + "; they have " + strings.Join(labels, ", ")
}

// hintValue handles a label that has other values. It names those of the first matcher that, left out, makes the selector match.
func (s *Source) hintValue(ctx context.Context, a analysis.Ask) string {
	matches := a.Matches()
	for i, m := range matches {
		if m.Label == "le" {
			continue
		}
		others := analysis.Select(a.Template.Name, slices.Concat(matches[:i], matches[i+1:]))
		values, _, _, err := s.api.LabelValues(ctx, m.Label, []string{others}, a.To.Add(-hintOver), a.To)
		if err != nil {
			return ""
		}
		if len(values) == 0 {
			continue
		}
		there := texts(values)
		if near, ok := spelling.Nearest(m.Value, there); ok && m.Op == "=" {
			return fmt.Sprintf("there is %s=%q", m.Label, near)
		}
		if more := len(there) - maxNamed; more > 0 {
			there = append(there[:maxNamed], fmt.Sprintf("%d more", more))
		}
		return fmt.Sprintf("there is %s of %s", m.Label, strings.Join(there, ", "))
	}
	return ""
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
