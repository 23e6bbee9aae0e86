package web

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
)

// drawings caches drawn scopes: reading and drawing a day of looks takes most of a second, and everyone who watches a release
// sees the same. The zero value is ready for use.
type drawings struct {
	once singleflight.Group

	mu   sync.Mutex // guards kept
	kept map[string]drawing
}

// drawing is one scope as it stood at some moment of its release.
type drawing struct {
	moment moment
	scope  *Scope // nil without any look
	cut    bool
}

// moment tells two states of a scope's evidence apart. Looks come only while the release gathers evidence for the scope;
// otherwise the step is enough: if a later step continues the scope, the moment after it is a new one, even if no page was
// opened in between.
type moment struct {
	step  int
	phase rollout.Phase
	look  int
	at    int64
}

// maxDrawings is how many scopes are kept: each takes about 20 KB per metric.
const maxDrawings = 64

// scopes returns the drawn scopes of a release, the newest first; cut means that older looks are left out. read reads the
// looks of one scope.
func (d *drawings) scopes(ctx context.Context, v record.View,
	read func(context.Context, record.View, string) ([]server.Look, bool, error)) (out []Scope, cut bool, err error) {
	for i, name := range Scopes(v) {
		key, now := v.Release.ID+" "+name, momentOf(v, name)
		d.mu.Lock()
		last, ok := d.kept[key]
		d.mu.Unlock()
		if !ok || last.moment != now {
			// Concurrent requests share the result, even if the first one is cancelled.
			got, err, _ := d.once.Do(key, func() (any, error) {
				return d.draw(context.WithoutCancel(ctx), v, i, name, now, read)
			})
			if err != nil {
				return nil, false, err
			}
			last = got.(drawing)
		}
		if cut = cut || last.cut; last.scope != nil {
			out = append(out, *last.scope)
		}
	}
	slices.Reverse(out)
	return out, cut, nil
}

func (d *drawings) draw(ctx context.Context, v record.View, i int, name string, now moment,
	read func(context.Context, record.View, string) ([]server.Look, bool, error)) (drawing, error) {
	looks, cut, err := read(ctx, v, name)
	if err != nil {
		return drawing{}, err
	}
	out := drawing{moment: now, cut: cut}
	if len(looks) > 0 {
		scope := newScope(v, i, name, looks)
		out.scope = &scope
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept == nil || len(d.kept) >= maxDrawings {
		d.kept = map[string]drawing{}
	}
	d.kept[v.Release.ID+" "+name] = out
	return out, nil
}

func momentOf(v record.View, scope string) moment {
	m := moment{step: v.State.Step, phase: v.State.Phase}
	if v.State.Scope == scope && v.Verdict != nil {
		m.look, m.at = v.Verdict.Look, v.Verdict.At.UnixNano()
	}
	return m
}
