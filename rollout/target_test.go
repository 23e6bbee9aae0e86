package rollout_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// sticky is the word by which the users of an A/B step keep their arm, in a release of that id.
func sticky(t *testing.T, id string, step int) string {
	t.Helper()
	ab := func(name string) rollout.AB {
		return rollout.AB{Name: name, Cohort: traffic.Cohort{Split: 0.5}, Sticky: true, Scope: name}
	}
	d := rollout.Definition{Name: "shop", Steps: rollout.Steps{ab("one"), ab("two"), rollout.Promote{Name: "promote"}}}
	s := rollout.State{}
	events := []rollout.Event{rollout.Started{Rollout: "shop"}}
	for i := range step + 1 {
		events = append(events, rollout.StepEntered{Step: i, Name: d.Steps[i].StepName(), What: rollout.StageAB, Scope: d.Steps[i].StepName()})
	}
	var err error
	for i, e := range events {
		s, err = s.Apply(e.With(rollout.Meta{Seq: i + 1, At: time.Unix(0, 0), By: "ann"}))
		require.NoError(t, err)
	}
	return s.Target(&d, id).Traffic.Cohort.Sticky
}

func TestUsersKeepTheirArmForOneStepOfOneRelease(t *testing.T) {
	const one, two = "01JDG5Y0QKZ8V6X4TPM1B7N2RC", "01JDG5Y0QKZ8V6X4TPM1B7N2RD"
	require.Regexp(t, `^[a-z0-9-]+$`, sticky(t, one, 0))
	require.Equal(t, "tpm1b7n2rc-1", sticky(t, one, 0), "a daemon that is updated in the middle of a test leaves everybody where they are")
	require.NotEqual(t, sticky(t, one, 0), sticky(t, two, 0), "another release draws again")
	require.NotEqual(t, sticky(t, one, 0), sticky(t, one, 1), "another split draws again")
}

func TestUsersKeepTheirVersionThroughAllGrayStepsOfARelease(t *testing.T) {
	gray := func(name string, sticky bool, weights ...share.Share) rollout.Gray {
		return rollout.Gray{Name: name, Sticky: sticky, Weights: weights}
	}
	d := rollout.Definition{Name: "shop", Steps: rollout.Steps{gray("one", true, 0.05, 0.2), gray("two", true, 0.5), gray("three", false, 0.8), rollout.Promote{Name: "promote"}}}
	at := func(step, stage int, change func(*rollout.State)) traffic.Target {
		s := rollout.State{Phase: rollout.Active}
		s.Step, s.Stage, s.GrayStep, s.GrayStage, s.CohortStep, s.Moved = step, stage, step, stage, -1, true
		if change != nil {
			change(&s)
		}
		return s.Target(&d, "01JDG5Y0QKZ8V6X4TPM1B7N2RC").Traffic
	}
	word := at(0, 0, nil).Sticky
	require.Equal(t, "tpm1b7n2rc-0", word, "a daemon that is updated in the middle leaves everybody where they are")
	require.Equal(t, word, at(0, 1, nil).Sticky)
	require.Equal(t, word, at(1, 0, nil).Sticky, "the next step draws nobody again")
	require.Empty(t, at(2, 0, nil).Sticky)
	require.Empty(t, at(1, 0, func(s *rollout.State) { s.Doing = rollout.StagePromote }).Sticky, "a promoted version is everybody's")
	require.Empty(t, at(1, 0, func(s *rollout.State) { s.Doing = rollout.StageReturn }).Sticky, "and stable is, on the way back")
}

func TestAPlanOfAnEarlierVersionIsStillRead(t *testing.T) {
	var steps rollout.Steps
	require.NoError(t, json.Unmarshal([]byte(`[
		{"kind": "ab", "name": "kept", "cohort": {"match": {"header": {"name": "X-Beta", "value": "1"}}, "split": 0.5, "sticky": true}, "scope": "ab/kept", "decide": {"min": 60}},
		{"kind": "ab", "name": "free", "cohort": {"match": {}, "split": 0.2}, "scope": "ab/free", "decide": {}}
	]`), &steps))
	kept, free := steps[0].(rollout.AB), steps[1].(rollout.AB)
	require.True(t, kept.Sticky)
	require.Empty(t, kept.Cohort.Sticky)
	require.Equal(t, share.Share(0.5), kept.Cohort.Split)
	require.Equal(t, "X-Beta", kept.Cohort.Match.Header.Name)
	require.Equal(t, time.Duration(60), kept.Decide.Min)
	require.False(t, free.Sticky)

	again, err := json.Marshal(steps)
	require.NoError(t, err)
	var same rollout.Steps
	require.NoError(t, json.Unmarshal(again, &same))
	require.Equal(t, steps, same)
}
