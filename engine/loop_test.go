package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic"
)

// blind is a gateway whose configuration cannot be read, as when an API server is unreachable.
type blind struct{}

func (blind) Apply(context.Context, traffic.Target) error { return errors.New("connection refused") }
func (blind) Observe(context.Context) (traffic.Observed, error) {
	return traffic.Observed{}, errors.New("get TraefikService shop: connection refused")
}
func (blind) Watched() bool                               { return false }
func (blind) Labels(traffic.Lane) (canary, stable string) { return "", "" }

func TestAnUnreadableConfigurationIsNotAnExternalChange(t *testing.T) {
	e, r := learner(t, nil)
	l := newLoop(e, "shop")
	want := traffic.Target{Weight: 0.1}
	l.rel, l.gw.router, l.gw.applied, l.gw.seen = r, blind{}, &want, true
	l.observe(t.Context(), want)
	require.EqualError(t, l.trouble[aboutConfiguration], "get TraefikService shop: connection refused")
	require.NotNil(t, l.gw.applied, "it is not written again")
	events, err := e.o.Store.Events(t.Context(), r.record.ID, 0)
	require.NoError(t, err)
	require.Len(t, events, 1, "the only event is the start")
}

func TestAChangeOfTheGatewayIsCheckedSoonButNotEachTime(t *testing.T) {
	e, _ := learner(t, nil)
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(e, "shop")
		e.loops["shop"] = l
		heard := func() {
			e.gatewayChanged("shop")
			for _, f := range l.mail {
				f(t.Context())
			}
			l.mail = nil
		}
		l.gw.lookedAt, l.gw.observeAt = time.Now().Add(-4*time.Second), time.Now().Add(time.Second)
		heard()
		require.False(t, l.gw.observeAt.After(time.Now()), "at once")
		l.gw.lookedAt, l.gw.observeAt = time.Now(), time.Now().Add(5*time.Second)
		heard()
		require.Equal(t, time.Now().Add(stirGap), l.gw.observeAt, "it was observed just now")
		l.gw.observeAt = time.Now().Add(50 * time.Millisecond)
		heard()
		require.Equal(t, time.Now().Add(50*time.Millisecond), l.gw.observeAt, "it is observed sooner anyway")
		e.gatewayChanged("nobody's")
	})
}

func TestAClockThatIsSetDelaysNoObservation(t *testing.T) {
	g := gatewaySide{confirmed: traffic.InForce}
	before := time.Now()
	g.schedule(5*time.Second, time.Minute, confirmLast)
	require.Contains(t, g.observeAt.String(), " m=+", "it is a time of the monotonic clock, which cannot be set")
	require.Zero(t, g.observeAt.Round(0).Sub(g.observeAt.Truncate(5*time.Second)), "on the grid of all rollouts")
	require.InDelta(t, time.Minute, g.observeAt.Sub(before), float64(5*time.Second))
}
