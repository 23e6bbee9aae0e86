package web

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

func TestChartsShowTheRequestedPartOfTheTime(t *testing.T) {
	at := func(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }
	whole := stretch{at(0), at(60)}
	for name, c := range map[string]struct {
		query string
		want  stretch
	}{
		"no field at all":            {"", whole},
		"the last ten minutes":       {"last=10m", stretch{at(50), at(60)}},
		"longer than there is":       {"last=3h", whole},
		"no time at all":             {"last=0s", whole},
		"from one time to another":   {"from=2026-03-04T12:10:00Z&to=2026-03-04T12:20:00Z", stretch{at(10), at(20)}},
		"it is moved into the whole": {"from=2026-03-04T12:55:00Z&to=2026-03-04T13:05:00Z", stretch{at(50), at(60)}},
		"the other way round":        {"from=2026-03-04T12:20:00Z&to=2026-03-04T12:10:00Z", whole},
		"another day":                {"from=2026-03-05T12:10:00Z&to=2026-03-05T12:20:00Z", whole},
		"no time":                    {"from=x&to=2026-03-04T12:20:00Z&last=-1m", whole},
	} {
		q, err := url.ParseQuery(c.query)
		require.NoError(t, err)
		require.Equal(t, c.want, zoomOf(q, whole), name)
	}
	texts := func(query string) (out []string) {
		q, err := url.ParseQuery(query)
		require.NoError(t, err)
		for _, l := range zoomLinks("/releases/x", q, whole, zoomOf(q, whole)) {
			if l.On {
				l.Text = "[" + l.Text + "]"
			}
			out = append(out, l.Text)
		}
		return out
	}
	require.Equal(t, []string{"[all of it]", "the last 1 min", "the last 10 min"}, texts(""))
	require.Equal(t, []string{"all of it", "the last 1 min", "[the last 10 min]", "earlier", "wider"}, texts("last=10m"))
	require.Equal(t, []string{"all of it", "the last 1 min", "the last 10 min", "later", "wider"}, texts("from=2026-03-04T12:00:00Z&to=2026-03-04T12:10:00Z"))
	require.Empty(t, zoomLinks("/", url.Values{}, stretch{at(0), at(1)}, stretch{at(0), at(1)}), "a short release has no parts")
}

func TestAnABTestIsDrawnAsTheShareOfItsGroup(t *testing.T) {
	v := underWayView()
	v.Steps = rollout.Steps{rollout.AB{Name: "beta", Cohort: traffic.Cohort{Split: 0.5}}, v.Steps[0]}
	meta := func(seq int, after time.Duration) rollout.Meta { return rollout.Meta{Seq: seq, At: noon.Add(after)} }
	events := []rollout.Event{
		rollout.Started{Meta: meta(1, 0)}, rollout.StepEntered{Meta: meta(2, time.Second), What: rollout.StageAB}, rollout.InForce{Meta: meta(3, 3*time.Second)},
		rollout.StepEntered{Meta: meta(4, 9*time.Second), Step: 1, What: rollout.StageGray}, rollout.InForce{Meta: meta(5, 10*time.Second)},
	}
	l := groupLine(v, events, noon.Add(time.Minute))
	require.Len(t, l.Points, 3)
	require.Equal(t, noon.Add(3*time.Second), l.Points[0].At, "from when it is in force")
	require.Equal(t, noon.Add(9*time.Second), l.Points[1].At)
	require.InDelta(t, 0.5, l.Points[1].Value, 0)
	require.Len(t, groupLine(v, events[:3], noon.Add(time.Minute)).Points, 3, "it goes on until now")
	require.Empty(t, groupLine(v, events[:2], noon.Add(time.Minute)).Points, "nothing is in force")
}
