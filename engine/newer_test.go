package engine_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
)

// In the middle of a release a newer Serin was replaced by an older one, which does not know one of its steps or
// events. The older one reports that and changes nothing; the newer one continues.
func TestAReleaseOfANewerSerinIsLeftAsItIs(t *testing.T) {
	for name, c := range map[string]struct{ there, back string }{
		"a step": {
			`UPDATE releases SET plan = replace(plan, '"kind":"gate"', '"kind":"teleport"')`,
			`UPDATE releases SET plan = replace(plan, '"kind":"teleport"', '"kind":"gate"')`,
		},
		"an event": {
			`UPDATE events SET body = replace(body, '"kind":"inForce"', '"kind":"teleport"')`,
			`UPDATE events SET body = replace(body, '"kind":"teleport"', '"kind":"inForce"')`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := gray("shop", rollout.Gate{Name: "full-release"})
			under(t, plan, func(t *testing.T, w *world, id string) {
				db, err := sql.Open("sqlite", w.path)
				require.NoError(t, err)
				defer func() { require.NoError(t, db.Close()) }()
				written := func(statement string) {
					done, err := db.ExecContext(t.Context(), statement)
					require.NoError(t, err)
					n, err := done.RowsAffected()
					require.NoError(t, err)
					require.Positive(t, n)
				}
				w.stop()
				written(c.there)
				before := len(w.gateway("shop").log())
				w.begin(plan)
				w.after(10 * time.Minute) // every deadline of its plan has passed
				const says = `unknown kind "teleport": a newer Serin has written it; run that one`
				require.Contains(t, joined(w.view("shop").Trouble), says)
				_, err = w.Act(t.Context(), id, rollout.RollbackRequested{Reason: "it is bad"}, "ann")
				require.ErrorContains(t, err, says)
				require.Len(t, w.gateway("shop").log(), before, "no traffic is moved")
				require.Equal(t, "10%", w.gateway("shop").target().Weight.String())
				w.stop()
				written(c.back)
				w.begin(plan)
				w.after(time.Minute)
				require.Equal(t, id, w.view("shop").Release.ID)
				_, err = w.Act(t.Context(), id, rollout.RollbackRequested{Reason: "it is bad"}, "ann")
				require.NoError(t, err)
				w.after(time.Minute)
				require.Equal(t, "0%", w.gateway("shop").target().Weight.String())
			})
		})
	}
}
