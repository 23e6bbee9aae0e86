package config

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
)

// here is a cluster with these objects.
type here struct {
	mu      sync.Mutex
	objects []Object
	changed chan struct{}
}

func (h *here) Documents() ([]Object, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Object(nil), h.objects...), true
}

func (h *here) Changed() <-chan struct{} { return h.changed }

// watching is a watcher that has read objects.
func watching(t *testing.T, objects ...Object) *Watcher {
	t.Helper()
	w := NewWatcher(Loader{}, slog.New(slog.DiscardHandler), func(*Set) {}, t.TempDir()).With(&here{objects: objects, changed: make(chan struct{})})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	await.True(t, func() bool { return w.Current() != nil })
	return w
}

func TestAnObjectIsTriedAmongWhatIsInUse(t *testing.T) {
	t.Parallel()
	bad := rolloutObject(t, "pro", "bad", "[10%]", "[ten]", "shop", "bad")
	w := watching(t, rolloutObject(t, "pro", "shop"), bad)
	before := len(w.Current().Errors)
	require.Equal(t, 1, before)
	for name, c := range map[string]struct {
		object      Object
		wrong, also string
	}{
		"an object in use":                     {object: rolloutObject(t, "pro", "shop")},
		"a change that is right":               {object: rolloutObject(t, "pro", "shop", "10%", "20%")},
		"a wrong one that is corrected":        {object: rolloutObject(t, "pro", "bad", "shop", "bad")},
		"a wrong one that stays wrong":         {object: bad, wrong: "gray.weights[0]: expected a share"},
		"a wrong form":                         {object: rolloutObject(t, "pro", "new", "[10%]", "[ten]", "shop", "new"), wrong: "gray.weights[0]: expected a share"},
		"a wrong meaning":                      {object: rolloutObject(t, "pro", "new", "[10%]", "[50%, 10%]", "shop", "new"), wrong: "weights have to grow"},
		"another's route and Deployments":      {object: rolloutObject(t, "pro", "thief"), also: "has Deployment pro/shop, which is an arm of the rollout in Rollout pro/shop"},
		"an analysis that may come later":      {object: rolloutObject(t, "pro", "new", "traefik-web", "web", "shop", "new"), also: `there is no analysis "web"`},
		"one that may come later, among wrong": {object: rolloutObject(t, "pro", "new", "traefik-web", "web", "[10%]", "[ten]", "shop", "new"), wrong: "expected a share", also: `there is no analysis "web"`},
	} {
		t.Run(name, func(t *testing.T) {
			wrong, later := w.Try(c.object)
			for _, pair := range [][2]string{{c.wrong, wrong.Error()}, {c.also, later.Error()}} {
				if pair[0] == "" {
					require.Empty(t, pair[1])
				} else {
					require.Contains(t, pair[1], pair[0])
				}
			}
		})
	}
	require.Len(t, w.Current().Rollouts, 1, "nothing has changed by asking")
	require.Len(t, w.Current().Errors, before)
}

func TestBeforeTheFirstReadingNothingIsWrong(t *testing.T) {
	wrong, later := NewWatcher(Loader{}, slog.New(slog.DiscardHandler), func(*Set) {}).Try(rolloutObject(t, "pro", "shop", "[10%]", "[ten]"))
	require.Empty(t, wrong)
	require.Empty(t, later)
}
