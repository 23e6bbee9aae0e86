package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/serindev/serin/traffic/kubeobjects"
)

// scopeEvery is how often the API server is asked whether the whole cluster may be watched: rights are granted and taken away
// while Serin runs. It costs a dozen small requests.
const scopeEvery = 10 * time.Minute

// routeWatches are the open watches of the objects that rollouts' traffic consists of: one of the whole cluster for each
// backend that may have it, else one for each place.
type routeWatches struct {
	// begin begins a watch and returns what ends it.
	begin func(watchedPlace) (end func())

	mu    sync.Mutex // guards what follows, and is held while a backend asks the API server
	whole map[routeWatcher]bool
	asked map[watchedPlace]bool // where rollouts look
	open  map[watchedPlace]func()
}

func newRouteWatches(begin func(watchedPlace) (end func())) *routeWatches {
	return &routeWatches{begin: begin, whole: map[routeWatcher]bool{}, asked: map[watchedPlace]bool{}, open: map[watchedPlace]func(){}}
}

// add begins to watch a place, unless that is done already.
func (w *routeWatches) add(ctx context.Context, p watchedPlace) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[p] = true
	if _, known := w.whole[p.by]; !known {
		w.whole[p.by], _ = p.by.Everywhere(ctx) // without an answer, places are watched until it is asked again
	}
	w.follow(p)
}

func (w *routeWatches) follow(p watchedPlace) {
	if w.whole[p.by] {
		p.Place = kubeobjects.Everywhere
	}
	if w.open[p] == nil {
		w.open[p] = w.begin(p)
	}
}

// rescope asks each backend again, and begins its watches again if its answer has changed. Until they are filled, looks ask
// the API server.
func (w *routeWatches) rescope(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for by, whole := range w.whole {
		may, err := by.Everywhere(ctx)
		if err != nil || may == whole {
			continue
		}
		w.whole[by] = may
		for p, end := range w.open {
			if p.by == by {
				end()
				delete(w.open, p)
			}
		}
		for p := range w.asked {
			if p.by == by {
				w.follow(p)
			}
		}
	}
}
