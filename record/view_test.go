package record_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

func TestTheVerdictThatCounts(t *testing.T) {
	newest, decisive := &judge.Verdict{Look: 9}, &judge.Verdict{Look: 7}
	for _, c := range []struct {
		name         string
		phase        rollout.Phase
		newest, last *judge.Verdict
		want         *judge.Verdict
	}{
		{"is the newest look's while the release is analysed", rollout.Active, newest, decisive, newest},
		{"is the last event's where this daemon has taken no look yet", rollout.Active, nil, decisive, decisive},
		{"is the one it was decided on once the release goes back", rollout.RollingBack, newest, decisive, decisive},
		{"is the one it was decided on after the end", rollout.PhaseEnded, newest, decisive, decisive},
		{"is the newest look's where no look was an event", rollout.PhaseEnded, newest, nil, newest},
		{"is none before the first look", rollout.Active, nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := record.View{Verdict: c.newest, State: rollout.State{Phase: c.phase, LastVerdict: c.last}}
			require.Same(t, c.want, v.LastVerdict())
		})
	}
}
