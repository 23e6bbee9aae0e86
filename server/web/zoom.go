package web

import (
	"context"
	"fmt"
	"net/url"
	"sort"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
)

// stretch is a part of a release's time.
type stretch struct{ from, to time.Time }

func (p stretch) has(t time.Time) bool { return !t.Before(p.from) && !t.After(p.to) }

func (p stretch) long() time.Duration { return p.to.Sub(p.from) }

// within moves a part into the whole, and shortens it if it does not fit.
func (p stretch) within(whole stretch) stretch {
	long := min(p.long(), whole.long())
	if p.from.Before(whole.from) {
		p = stretch{whole.from, whole.from.Add(long)}
	}
	if p.to.After(whole.to) {
		p = stretch{whole.to.Add(-long), whole.to}
	}
	return p
}

// ZoomLink leads to the same page with charts of another part of the time; On marks the part that is shown.
type ZoomLink struct {
	Text, Link string
	On         bool
}

// Fields of the query: either the last so many minutes, or from one time to another.
const (
	zoomLast, zoomFrom, zoomTo = "last", "from", "to"
	// leastZoom is the shortest part that can be shown: no two looks are closer together.
	leastZoom = time.Second
)

// lasts are the offered parts that reach to the end of a release's time.
var lasts = []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}

// zoomOf is the part of a release's time that a query asks for; the whole if the query names none.
func zoomOf(q url.Values, whole stretch) stretch {
	if last, err := time.ParseDuration(q.Get(zoomLast)); err == nil && last >= leastZoom && last < whole.long() {
		return stretch{whole.to.Add(-last), whole.to}
	}
	from, err := time.Parse(time.RFC3339, q.Get(zoomFrom))
	to, wrong := time.Parse(time.RFC3339, q.Get(zoomTo))
	if part := (stretch{from, to}); err == nil && wrong == nil && part.long() >= leastZoom && from.Before(whole.to) && to.After(whole.from) {
		return part.within(whole)
	}
	return whole
}

// zoomLinks returns the links offered at a part: the whole, its last minutes or hours, the parts before and after, and a
// wider part.
func zoomLinks(here string, q url.Values, whole, part stretch) []ZoomLink {
	out := []ZoomLink{{"all of it", here, part == whole}}
	last, _ := time.ParseDuration(q.Get(zoomLast)) // 0 is not on offer
	for _, d := range lasts {
		if d < whole.long()*2/3 {
			text := figures.Roughly(d)
			out = append(out, ZoomLink{"the last " + text, address(here, zoomLast, d.String()), part != whole && last == d})
		}
	}
	if part == whole {
		if len(out) == 1 {
			return nil
		}
		return out
	}
	to := func(text string, p stretch) {
		if p = p.within(whole); p != part && p.long() > 0 {
			out = append(out, ZoomLink{
				Text: text, Link: address(here, zoomFrom, p.from.UTC().Format(time.RFC3339), zoomTo, p.to.UTC().Format(time.RFC3339)),
			})
		}
	}
	half := part.long() / 2
	to("earlier", stretch{part.from.Add(-half), part.to.Add(-half)})
	to("later", stretch{part.from.Add(half), part.to.Add(half)})
	if 2*part.long() < whole.long() {
		to("wider", stretch{part.from.Add(-half), part.to.Add(half)})
	}
	return out
}

// seriesIn returns the metrics of scopes over a part of the time, with more detail than over all of it, where one point
// stands for many looks.
func (s *site) seriesIn(ctx context.Context, v record.View, scopes []Scope, part stretch) ([]series, error) {
	all := make([][]series, len(scopes))
	for i, scope := range scopes {
		looks, err := s.looksIn(ctx, v.Release.ID, scope, part)
		if err != nil {
			return nil, err
		}
		for _, kept := range scope.series {
			all[i] = append(all[i], newSeries(looks, &kept.of))
		}
	}
	return joined(all), nil
}

// looksIn reads the looks of a scope in a part of the time, and one on each side of it.
func (s *site) looksIn(ctx context.Context, release string, scope Scope, part stretch) (out []server.Look, err error) {
	before := sort.Search(scope.Looks, func(n int) bool {
		one, failed := s.sight.Looks(ctx, release, scope.Name, n, 1)
		if failed != nil {
			err = failed
		}
		return len(one) == 0 || !one[0].Look.At.Before(part.from)
	})
	for after := max(0, before-1); err == nil; {
		page, failed := s.sight.Looks(ctx, release, scope.Name, after, looksAtOnce)
		if failed != nil {
			return nil, fmt.Errorf("read the looks of %s: %w", scope.Name, failed)
		}
		for _, l := range page {
			if out = append(out, server.NewLook(l)); l.Look.At.After(part.to) || len(out) >= maxLooks {
				return out, nil
			}
		}
		if len(page) < looksAtOnce {
			return out, nil
		}
		after = page[len(page)-1].Look.Number
	}
	return nil, fmt.Errorf("read the looks of %s: %w", scope.Name, err)
}
