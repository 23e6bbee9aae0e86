package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// sticky is an A/B test with sticky users.
const sticky = `
    - ab:
        cohort: {header: {name: X-User-Group, value: beta}}
        split: 50%
        sticky: true
        decide: {min: 5s, max: 10m, inconclusive: rollback}
    - gray: {weights: [20%], hold: 1s, decide: {max: 10m, inconclusive: rollback}}
    - gate: {name: full-release}
    - promote: {}`

// pinned is the load of beta users whose first request went to stable; their cookie keeps them there.
func (w *world) pinned(t *testing.T, name string) *testbed.Load {
	t.Helper()
	url := w.traefik.URL("web") + "/" + name
	header := http.Header{"X-User-Group": {"beta"}}
	var cookies []*http.Cookie
	await.Until(t, "a user comes to stable and gets a cookie", func() string {
		req, err := http.NewRequest(http.MethodGet, url, http.NoBody) //nolint:noctx // the client has a timeout
		require.NoError(t, err)
		req.Header = header.Clone()
		res, err := (&http.Client{Timeout: time.Minute}).Do(req)
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close() //nolint:errcheck // only the header is read
		if cookies = res.Cookies(); res.Header.Get(testbed.VersionHeader) != "blue" || len(cookies) == 0 {
			return "not stable, or no cookie"
		}
		return ""
	})
	return testbed.NewLoad(t, testbed.LoadConfig{URL: url, Rate: 100, Header: header, Cookies: cookies})
}

func TestAWrongSplitHoldsUntilAPersonLetsItContinue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{documents: func(w *world) string { return quick("quick", "") + w.document("shop", "quick", sticky) }})
	w.wait(t, "shop", "stable is served before any release", settled)
	loads := w.users(t, "shop")
	id := w.start(t, "shop")
	w.wait(t, "shop", "the A/B test is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	loads = append(loads, w.pinned(t, "shop"))
	v := w.wait(t, "shop", "the alarm is raised", func(v view) bool { return v.State.Alarm })
	require.True(t, at(0, 0)(v))
	before := v.State.Seq
	w.looks(t, 8) // more than decide.min
	v = w.wait(t, "shop", "the verdict is a pass", func(v view) bool { return v.Verdict != nil && v.Verdict.Outcome == "pass" })
	require.True(t, at(0, 0)(v), "a pass does not advance it while the split is wrong")
	require.True(t, v.State.Alarm)
	require.GreaterOrEqual(t, v.State.Seq, before)

	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/dismiss-alarm", map[string]string{"reason": "a test with sticky users"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	w.wait(t, "shop", "the gate is open", atGate)
	events := w.events(t, id)
	require.Equal(t, 1, count(events, "alarmDismissed"))
	require.Zero(t, count(events, "rollbackRequested"), "an alarm never rolls back by itself")
	noRequestFailed(t, loads)
}
