package scrape

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/serindev/serin/analysis"
)

// errPromQL explains why an expression is refused, and what to write instead.
const errPromQL = "%w, and without a Prometheus nothing computes that: write the plain selector of a gauge, or set prometheus.url"

// Fetch answers all asks, in order, from what was scraped. A window may end now: Fetch waits for scrapes in progress,
// at most for as long as one scrape may take, so that no sample of the window comes late. PromQL expressions are
// refused. If no target can be read, the answers are errors, and the samples are counted as soon as a target can be
// read again. If only some targets can be read, the others contribute no samples, as with Prometheus.
func (s *Source) Fetch(ctx context.Context, asks []analysis.Ask) []analysis.Answer {
	answers := make([]analysis.Answer, len(asks))
	if err := s.await(ctx, asks); err != nil {
		for i := range answers {
			answers[i].Err = err
		}
		return answers
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	selections := map[analysis.Template]analysis.Selection{}
	for i, a := range asks {
		selection, ok := selections[a.Template]
		if !ok {
			var err error
			if selection, err = a.Template.Selection(); err != nil {
				answers[i] = analysis.Answer{Err: fmt.Errorf(errPromQL, err), Refused: true}
				continue
			}
			selections[a.Template] = selection
		}
		answers[i] = s.answer(a, selection)
	}
	return answers
}

// await waits until no scrape is in progress whose samples belong to the windows, and makes sure that none are added
// later.
func (s *Source) await(ctx context.Context, asks []analysis.Ask) error {
	var end int64
	for _, a := range asks {
		end = max(end, a.To.UnixMilli())
	}
	s.mu.Lock()
	end += s.ahead
	s.answered = max(s.answered, end)
	var busy []chan struct{}
	for _, t := range s.targets {
		if t.busy != nil && t.busyAt <= end {
			busy = append(busy, t.busy)
		}
	}
	s.mu.Unlock()
	for _, done := range busy {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("wait for the targets: %w", ctx.Err())
		}
	}
	return ctx.Err()
}

// answer returns the series of an ask, and the scrapes of their targets if counting needs them.
func (s *Source) answer(a analysis.Ask, selection analysis.Selection) analysis.Answer {
	var out analysis.Answer
	if out.Err = s.blind(a.To.UnixMilli() + s.ahead); out.Err != nil {
		return out
	}
	for _, t := range s.targets {
		needed := false
		for _, x := range t.named[selection.Metric()] {
			if a.Template.By != "" && x.labels.Get(a.Template.By) != a.Value || !selection.Matches(x.labels) {
				continue
			}
			series := analysis.Series{Labels: x.labels, Samples: t.cut(x, a, s.ahead)}
			if len(series.Samples) == 0 {
				continue
			}
			out.Series = append(out.Series, series)
			needed = needed || a.NeedsScrapes(series)
		}
		if needed {
			if out.Scrapes == nil {
				out.Scrapes = map[analysis.Target][]int64{}
			}
			out.Scrapes[t.id] = t.succeeded(a, s.ahead)
		}
	}
	return out
}

// blind explains why nothing is known about a time: the last scrape of every target failed, or there has been none.
// Long before the first scrape, there were certainly no series. A target that is gone says nothing about the time after
// it.
func (s *Source) blind(at int64) error {
	var errs []error
	for _, t := range s.targets {
		i := sort.Search(len(t.scrapes), func(i int) bool { return t.scrapes[i].at > at })
		switch {
		case t.gone && i == len(t.scrapes):
		case i > 0 && t.scrapes[i-1].ok, i == 0 && len(t.scrapes) > 0 && t.scrapes[0].at-at > analysis.Stale.Milliseconds():
			return nil
		case i > 0 && t.err != nil:
			errs = append(errs, fmt.Errorf("scrape %s: %w", t.shown, t.err))
		default:
			errs = append(errs, fmt.Errorf("scrape %s: it was not read yet", t.shown))
		}
	}
	for _, f := range s.services {
		if err := f.lacks(); err != nil {
			errs = append(errs, fmt.Errorf("scrape %s: %w", f.Name, err))
		}
	}
	if len(errs) == 0 {
		return errors.New("scrape: no target was there at that time")
	}
	return errors.Join(errs...)
}

// cut returns the samples of a series for an ask: those of its window, or the last one for an instant ask. For an
// instant ask a series is gone, as with Prometheus, once a later scrape of its target lacked it, or after
// [analysis.Stale]. ahead is by how much the times of samples are ahead of those of asks.
func (t *target) cut(x *series, a analysis.Ask, ahead int64) []analysis.Sample {
	from, to := a.From.UnixMilli()+ahead, a.To.UnixMilli()+ahead
	after := func(at int64) int {
		return sort.Search(len(x.samples), func(i int) bool { return x.samples[i].T > at })
	}
	j := after(to)
	if !a.Template.Instant {
		i := min(after(from), j)
		return x.samples[i:j:j]
	}
	if j == 0 {
		return nil
	}
	last := x.samples[j-1].T
	next := sort.Search(len(t.scrapes), func(i int) bool { return t.scrapes[i].at > last })
	if to-last > analysis.Stale.Milliseconds() || next < len(t.scrapes) && t.scrapes[next].at <= to {
		return nil
	}
	return x.samples[j-1 : j : j]
}

// succeeded returns the times of the target's successful scrapes in the window that an ask needs.
func (t *target) succeeded(a analysis.Ask, ahead int64) []int64 {
	from, to := a.ScrapesFrom().UnixMilli()+ahead, a.To.UnixMilli()+ahead
	var out []int64
	for _, x := range t.scrapes[sort.Search(len(t.scrapes), func(i int) bool { return t.scrapes[i].at > from }):] {
		if x.ok && x.at <= to {
			out = append(out, x.at)
		}
	}
	return out
}
