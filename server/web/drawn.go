package web

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
)

// drawings keeps the evidence of scopes as it was drawn last: a day of looks takes most of a second to read and to
// draw, and everybody who watches a release sees the same. The zero value is ready for use.
type drawings struct {
	once singleflight.Group

	mu   sync.Mutex // guards kept
	kept map[string]drawing
}

// drawing is one scope after a look.
type drawing struct {
	look  int
	scope *Scope // nil without any look
	cut   bool
}

// maxDrawings is how many scopes are kept: each is some 20 KB a metric.
const maxDrawings = 64

// scopes are the drawn scopes of a release, the newest first; cut tells that older looks are left out. read reads the
// looks of one scope.
func (d *drawings) scopes(ctx context.Context, v rollout.View, read func(context.Context, rollout.View, string) ([]server.Look, bool, error)) (out []Scope, cut bool, err error) {
	for i, name := range Scopes(v) {
		key, look := v.Release.ID+" "+name, newestLook(v, name)
		d.mu.Lock()
		last, ok := d.kept[key]
		d.mu.Unlock()
		if !ok || last.look != look {
			// Whoever asks meanwhile gets the same; if the one who has asked goes away, the others get it all the same.
			got, err, _ := d.once.Do(key, func() (any, error) {
				return d.draw(context.WithoutCancel(ctx), v, i, name, look, read)
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

func (d *drawings) draw(ctx context.Context, v rollout.View, i int, name string, look int, read func(context.Context, rollout.View, string) ([]server.Look, bool, error)) (drawing, error) {
	looks, cut, err := read(ctx, v, name)
	if err != nil {
		return drawing{}, err
	}
	out := drawing{look: look, cut: cut}
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

// newestLook is the number of the newest look of a scope: of one that is being gathered it grows; others stay as they
// are, and have -1.
func newestLook(v rollout.View, scope string) int {
	if v.State.Ended() || v.State.Scope != scope || v.Verdict == nil {
		return -1
	}
	return v.Verdict.Look
}
