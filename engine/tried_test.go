package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic/traefik"
)

// A metric that is only tried out fails, while the one that decides accepts much more than there is.
func TestADryRunThatWouldHaveFailedIsAnEventOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.metrics.breaks(canary, 0.05)
		w.metrics.breaks(stable, 0.005)
		p := gray("shop", rollout.Gate{Name: "full"})
		a := p.Analyses["gray"]
		a.Metrics[0].Margin = analysis.Margin{Relative: new(share.Share(30))}
		a.Metrics = append(a.Metrics, analysis.Metric{Name: "tried", Source: traefik.Series{}.Errors(), DryRun: true})
		p.Analyses["gray"] = a
		w.plan(p)
		w.after(time.Minute)
		r := w.start("shop", "")
		w.after(2 * time.Hour)
		events, err := w.store.Store.Events(t.Context(), r.ID, 0)
		require.NoError(t, err)
		told := map[int]int{} // by the weight's turn
		var last *judge.Verdict
		for _, e := range events {
			if e, ok := e.(rollout.LookTaken); ok {
				if len(e.Verdict.WouldFail(last)) > 0 {
					told[e.Turn]++
					require.Contains(t, tell.Event(e, nil).Line("judge"), "tried would have sent it back, but is a dry run")
				}
				last = &e.Verdict
			}
		}
		require.Len(t, told, 1, joined(w.trace(r.ID)))
		for turn, times := range told {
			require.Equal(t, 1, times, "in turn %d of\n%s", turn, joined(w.trace(r.ID)))
		}
		require.Equal(t, rollout.Active, w.view("shop").State.Phase, "it decides nothing")
		require.Len(t, last.Metrics, 2)
		require.Equal(t, "would fail", tell.Explain(w.view("shop")).Metrics[1].Badge.Text)
	})
}
