package sequential_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestALookWithoutRequestsIsALackOfDataWhereSomeShouldHaveCome(t *testing.T) {
	few, some, none := counts("m", 0, 1, 0, 9), counts("m", 0, 100, 0, 900), counts("m", 0, 0, 0, 9)
	for _, c := range []struct {
		name   string
		before []judge.Observation // again and again for ten minutes
		quiet  int                 // looks
		want   judge.Reason
	}{
		{"none of a hundred", []judge.Observation{some}, 1, judge.NoData},
		{"one every look, then none", []judge.Observation{few}, 1, judge.Undecided},
		{"one every look, and five are missing", []judge.Observation{few}, 6, judge.NoData},
		{"one every second look", []judge.Observation{few, none}, 8, judge.Undecided},
		{"one every tenth look", []judge.Observation{few, none, none, none, none, none, none, none, none, none}, 40, judge.Undecided},
		{"one every tenth look, and ten minutes without any", []judge.Observation{few, none, none, none, none, none, none, none, none, none}, 70, judge.NoData},
		{"never any", []judge.Observation{none}, 1, judge.NoData},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ratio("m")
			m.MinRequests = 0
			j := newJudge(t, settings(nil, m))
			e, n := j.Begin(nil), 1
			for ; n <= 60; n++ {
				e, _ = j.Look(e, at(n, 0.1, c.before[n%len(c.before)]))
			}
			e, v := run(j, e, n, n+c.quiet-1, 0.1, none)
			require.Equal(t, c.want, v.Reason)
			require.Equal(t, "no requests in this look", v.Metrics[0].Detail)
			_, v = run(j, e, n+c.quiet, n+c.quiet, 0.1, few)
			require.NotEqual(t, judge.NoData, v.Reason, "and it is over with the next request")
			again, err := j.Decode(encode(t, e))
			require.NoError(t, err)
			require.Equal(t, encode(t, e), encode(t, again))
		})
	}
}

// A pass that rests on few requests survives looks that have none by chance.
func TestAQuietLookTakesNoPassBack(t *testing.T) {
	j := newJudge(t, settings(atOnce, ratio("m")))
	e, v := run(j, j.Begin(nil), 1, 60, 0.5, counts("m", 0, 20000, 0, 20000))
	require.Equal(t, judge.Pass, v.Outcome)
	_, v = j.Look(e, at(61, 0.5, counts("m", 0, 0, 0, 0)))
	require.Equal(t, judge.NoData, v.Reason, "but not where thousands should have come")

	absolute := ratio("m")
	absolute.Margin, absolute.MinRequests = judge.Margin{Relative: 9, Absolute: 0.9}, 1
	j = newJudge(t, settings(atOnce, absolute))
	e, v = run(j, j.Begin(nil), 1, 200, 0.5, counts("m", 0, 1, 0, 1))
	require.Equal(t, judge.Pass, v.Outcome)
	_, v = j.Look(e, at(201, 0.5, counts("m", 0, 0, 0, 1)))
	require.Equal(t, judge.Pass, v.Outcome)
}

func TestAClockThatJumpsGivesNoPassEarlier(t *testing.T) {
	good := counts("m", 0, 20000, 0, 20000)
	j := newJudge(t, settings(nil, ratio("m"))) // ten minutes
	begun, _ := run(j, j.Begin(nil), 1, 6, 0.5, good)
	jump := func(by time.Duration) (passes int) {
		e, v := begun, judge.Verdict{}
		for n := 7; v.Outcome != judge.Pass; n++ {
			l := at(n, 0.5, good)
			l.At = l.At.Add(by)
			if n == 7 {
				l.Length = max(l.Length+by, 0)
			}
			e, v = j.Look(e, l)
			passes = n
			require.Less(t, n, 200)
		}
		return passes
	}
	require.Equal(t, 61, jump(0))
	require.Equal(t, 32, jump(time.Hour), "what cannot be told apart counts as half of the time at most")
	require.Equal(t, 67, jump(-time.Hour), "set back, it waits at most for its whole time again")
	require.Equal(t, 64, jump(-30*time.Second))
}
