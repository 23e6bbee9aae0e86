package rollout_test

import (
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
)

func TestAVersionReturnsOnTheShorterPlan(t *testing.T) {
	past := func(version, outcome string, ago time.Duration) rollout.Past {
		return rollout.Past{ID: "R" + version, Parameters: map[string]string{"version": version}, Outcome: rollout.Outcome(outcome), EndedAt: epoch.Add(-ago)}
	}
	undo := func(version, undoes string, ago time.Duration) rollout.Past {
		p := past(version, "released", ago)
		p.ID, p.Undoes = "undo", "R"+undoes
		return p
	}
	worse := func(version string, ago time.Duration) rollout.Past {
		p := past(version, "released", ago)
		p.Worse = true
		return p
	}
	const day = 24 * time.Hour
	week, three := rollout.Returning{Within: 7 * day}, rollout.Returning{Releases: 3}
	for _, c := range []struct {
		name string
		rule rollout.Returning
		past []rollout.Past
		id   string
	}{
		{"it was in service until yesterday, for months", week, []rollout.Past{past("2", "released", day), past("1", "released", 90*day)}, "R1"},
		{"it left service just as long ago as it may", week, []rollout.Past{past("2", "released", 7*day), past("1", "released", 90*day)}, "R1"},
		{"it left service too long ago", week, []rollout.Past{past("2", "released", 8*day), past("1", "released", 9*day)}, ""},
		{"a version in between has left in time, and the one before not", week, []rollout.Past{past("3", "released", day), past("2", "released", 8*day), past("1", "released", 9*day)}, ""},
		{"it is in service", week, []rollout.Past{past("1", "released", day)}, ""},
		{"it is in service, and was before", week, []rollout.Past{past("1", "released", day), past("2", "released", 2*day), past("1", "released", 3*day)}, ""},
		{"it never was in service", week, []rollout.Past{past("2", "released", day)}, ""},
		{"nothing was ever released", week, nil, ""},
		{"three releases ago", three, []rollout.Past{past("4", "released", 100*day), past("3", "released", 200*day), past("2", "released", 300*day), past("1", "released", 400*day)}, "R1"},
		{"four releases ago", three, []rollout.Past{past("5", "released", 0), past("4", "released", 0), past("3", "released", 0), past("2", "released", 0), past("1", "released", 0)}, ""},
		{"releases that ended otherwise do not count", three, []rollout.Past{past("6", "rolledBack", 0), past("5", "cancelled", 0), past("4", "released", 0), past("3", "released", 0), past("9", "superseded", 0), past("2", "released", 0), past("1", "released", 0)}, "R1"},
		{"both limits have to hold", rollout.Returning{Within: day, Releases: 1}, []rollout.Past{past("2", "released", 2*day), past("1", "released", 3*day)}, ""},
		{"it was released, and found worse", week, []rollout.Past{past("2", "released", day), worse("1", 2*day), past("0", "released", 3*day)}, ""},
		{"it was found worse, and is good since", week, []rollout.Past{past("2", "released", day), past("1", "released", 2*day), worse("1", 3*day)}, "R1"},
		{"it was undone", week, []rollout.Past{undo("0", "1", day), past("1", "released", 2*day), past("0", "released", 3*day)}, ""},

		{"it was tried again since, and taken back", week, []rollout.Past{past("1", "rolledBack", 0), past("2", "released", day), past("1", "released", 2*day)}, ""},
		{"it was started again since, and cancelled", week, []rollout.Past{past("1", "cancelled", 0), past("2", "released", day), past("1", "released", 2*day)}, "R1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, ok := c.rule.Of(map[string]string{"version": "1"}, all(c.past), epoch)
			require.Equal(t, c.id != "", ok)
			require.Equal(t, c.id, id, "no release is named for one that does not return")
		})
	}
}

func all(past []rollout.Past) iter.Seq[rollout.Past] {
	return func(yield func(rollout.Past) bool) {
		for _, p := range past {
			if !yield(p) {
				return
			}
		}
	}
}

// TestAVersionReturnsOnlyAfterItWasInService holds for any past: it was released, something else is in service, and no
// later word about it is a bad one.
func TestAVersionReturnsOnlyAfterItWasInService(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := rollout.Returning{Within: time.Duration(rapid.IntRange(0, 50).Draw(t, "within")) * time.Hour, Releases: rapid.IntRange(0, 4).Draw(t, "releases")}
		var past []rollout.Past
		at := epoch
		for i := range rapid.IntRange(0, 12).Draw(t, "length") {
			at = at.Add(-time.Duration(rapid.IntRange(0, 20).Draw(t, "hours")) * time.Hour)
			past = append(past, rollout.Past{
				ID: string(rune('A' + i)), Parameters: map[string]string{"version": rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "version")}, EndedAt: at,
				Outcome: rapid.SampledFrom([]rollout.Outcome{rollout.Released, rollout.Released, rollout.RolledBack, rollout.Cancelled, rollout.Failed, rollout.OutcomeSuperseded}).Draw(t, "outcome"),
			})
		}
		id, ok := rule.Of(map[string]string{"version": "1"}, all(past), epoch)
		if !ok {
			return
		}
		later := 0
		for _, p := range past {
			one := p.Parameters["version"] == "1"
			if p.ID == id {
				require.True(t, one && p.Outcome == rollout.Released && later > 0)
				require.True(t, rule.Releases == 0 || later <= rule.Releases)
				return
			}
			require.False(t, one && (p.Outcome == rollout.RolledBack || p.Outcome == rollout.Failed || p.Outcome == rollout.Released))
			if p.Outcome == rollout.Released {
				later++
			}
		}
		t.Fatal("it names a release that there is not")
	})
}

func TestTheShorterPlanIsAPlan(t *testing.T) {
	d := pipeline()
	d.Returning = &rollout.Returning{Within: time.Hour, Steps: rollout.Steps{rollout.Promote{Name: "promote"}}}
	require.NoError(t, d.Check())
	require.Equal(t, []string{"promote"}, names(d.ForReturning().Steps))
	require.Nil(t, d.ForReturning().Returning)

	d.Returning.Within = 0
	require.ErrorContains(t, d.Check(), "neither a time nor a number of releases")
	d.Returning.Releases, d.Returning.Steps = 1, rollout.Steps{rollout.Gray{Name: "g", Weights: []share.Share{0.5}}}
	require.ErrorContains(t, d.Check(), "returning: steps: no promote")
}
