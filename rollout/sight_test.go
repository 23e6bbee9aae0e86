package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

func TestASightIsAnEventIfItIsNews(t *testing.T) {
	written := rollout.State{Phase: rollout.Active, Turn: 3}
	inForce, unconfirmed, other := written, written, written
	inForce.InForce = true
	unconfirmed.UnconfirmedAt = epoch
	other.Served = &rollout.Served{}
	why := []string{"replica: canary's weight is 10%, not 50%"}
	for _, c := range []struct {
		name  string
		state rollout.State
		sight rollout.Sight
		want  rollout.Event
	}{
		{"a replica serves it", written, rollout.Sight{Confirmed: traffic.InForce, Asks: true, Silent: []string{"b"}},
			rollout.InForce{Turn: 3, How: "api", Silent: []string{"b"}}},
		{"a replica goes on serving it", inForce, rollout.Sight{Confirmed: traffic.InForce, Asks: true, Misses: 9}, nil},
		{"there is nothing to ask: it is said at once", written, rollout.Sight{Confirmed: traffic.Unconfirmed}, rollout.NotInForce{Turn: 3, Unconfirmed: true}},
		{"there is nothing to ask: it is said once", unconfirmed, rollout.Sight{Confirmed: traffic.Unconfirmed, Misses: 9}, nil},
		{"there is nothing to ask, and users were seen to be served it", inForce, rollout.Sight{Confirmed: traffic.Unconfirmed, Misses: 9}, nil},
		{"replicas were silent once", written, rollout.Sight{Confirmed: traffic.Unconfirmed, Asks: true, Misses: 1}, nil},
		{"replicas are silent", written, rollout.Sight{Confirmed: traffic.Unconfirmed, Asks: true, Misses: 2, Written: true, Why: why},
			rollout.NotInForce{Turn: 3, Unconfirmed: true, Written: true, Why: why}},
		{"replicas stay silent", unconfirmed, rollout.Sight{Confirmed: traffic.Unconfirmed, Asks: true, Misses: 3}, nil},
		{"it was in force, and was not seen once", inForce, rollout.Sight{Asks: true, Misses: 1}, nil},
		{"it was in force, and is not", inForce, rollout.Sight{Asks: true, Misses: 2, Why: why}, rollout.NotInForce{Turn: 3, Why: why}},
		{"it is on its way", written, rollout.Sight{Asks: true, Misses: 9, Written: true}, nil},
		{"it is on its way, so what was served before is not all that users get", other, rollout.Sight{Asks: true, Misses: 2, Written: true, Why: why},
			rollout.NotInForce{Turn: 3, Written: true, Why: why}},
		{"it is not written, so what was served before is what users get", other, rollout.Sight{Asks: true, Misses: 9}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, ok := c.state.Saw(c.sight)
			require.Equal(t, c.want != nil, ok)
			if ok {
				require.Equal(t, c.want, e)
			}
		})
	}
}

func TestRequestsStandInForAGatewayWithoutAnAPI(t *testing.T) {
	state := rollout.State{Phase: rollout.Active, Turn: 3, UnconfirmedAt: epoch}
	seen := rollout.Requests{Turn: 3, From: epoch.Add(time.Second), Canary: 100, Baseline: 900}
	for _, c := range []struct {
		name   string
		change func(s *rollout.State, r *rollout.Requests)
		want   bool
	}{
		{"requests of its time are split as it says", func(*rollout.State, *rollout.Requests) {}, true},
		{"it is in force already", func(s *rollout.State, _ *rollout.Requests) { s.InForce = true }, false},
		{"it is decided and not written: what was served before may agree with it", func(s *rollout.State, _ *rollout.Requests) { s.UnconfirmedAt = time.Time{} }, false},
		{"the look is of the target before", func(_ *rollout.State, r *rollout.Requests) { r.Turn = 2 }, false},
		{"some of the requests came before it was written", func(_ *rollout.State, r *rollout.Requests) { r.From = epoch }, false},
		{"the requests are split otherwise", func(_ *rollout.State, r *rollout.Requests) { r.Canary, r.Baseline = 500, 500 }, false},
		{"there are too few requests to tell", func(_ *rollout.State, r *rollout.Requests) { r.Canary, r.Baseline = 1, 9 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := state, seen
			c.change(&s, &r)
			require.Equal(t, c.want, s.StandsIn(0.1, r, epoch))
		})
	}
}
