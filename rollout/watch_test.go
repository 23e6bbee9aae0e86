package rollout_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
)

// toWatch brings the pipeline to the watch after its promotion.
var toWatch = [][]string{
	{"go-on", "full"}, {"approve", "start"}, {"in-force"}, {"in-force"}, {"in-force"}, {"in-force"}, {"in-force"},
	{"approve", "full"}, {"in-force"}, {"in-force"},
}

func atWatch(t *testing.T, d *rollout.Definition, lines ...[]string) *world {
	t.Helper()
	w := begun(t, d, append(slices.Clip(toWatch), lines...)...)
	return w
}

func TestAWatchSaysWhatItDoes(t *testing.T) {
	w := atWatch(t, watched(), []string{"after", "30m"})
	require.Equal(t, "everybody has the new version, which is compared with the time before the release: 1h30m left", tell.Waiting(w.s, w.d, w.now))
	v := record.View{Rollout: "shop", Release: &record.Release{ID: "R1"}, State: w.s, Steps: w.d.Steps, Definition: w.d}
	h := tell.HeadlineOf(v, w.now)
	require.Equal(t, "2 serves everybody and is watched", h.Text)
	require.Equal(t, "Step announce in 1 h 30 min if it is not found worse.", h.Next)
	w.lines(t, []string{"look", "leaning"})
	require.Contains(t, tell.Waiting(w.s, w.d, w.now), "it asks a human in 3h30m if it is still undecided")

	target := w.s.Target(w.d, "R1")
	require.Equal(t, 4*time.Hour, target.Before, "what was in service before the release, however long the watch lasts")
	require.EqualValues(t, 1, target.Exposure)
	require.Zero(t, target.Traffic.Weight)
}

func TestALongReleaseIsComparedWithALongTimeBefore(t *testing.T) {
	w := begun(t, watched(), []string{"after", "20h"})
	w.lines(t, toWatch...)
	require.Equal(t, 24*time.Hour, w.s.Target(w.d, "R1").Before)
}

func TestAPersonAnswersForAVersionThatIsFoundWorseWhenEverybodyHasIt(t *testing.T) {
	for name, c := range map[string]struct {
		answer, phase, step string
	}{
		"kept":       {"approve", "active", "announce"},
		"taken back": {"reject", "rollingBack", "after"},
	} {
		t.Run(name, func(t *testing.T) {
			w := atWatch(t, asking(), []string{"look", "fail"})
			require.Equal(t, "after.worse.1", w.s.OpenGate())
			require.Contains(t, tell.Waiting(w.s, w.d, w.now), "any operator may answer approve (keep it) or reject (take it back)")
			w.lines(t, []string{"after", "5h"})
			require.Equal(t, "after.worse.1", w.s.OpenGate(), "it is not over while it is asked about, and asked about once")
			require.Contains(t, w.line(t, "wait", []string{"after.worse.1"}), "refused: not allowed: it was found worse")
			w.lines(t, []string{c.answer, "after.worse.1"})
			require.Equal(t, c.phase, string(w.s.Phase))
			require.Equal(t, c.step, w.s.StepName)
			require.False(t, w.s.Watching())
			require.Empty(t, w.s.Scope)
		})
	}
}

func TestAVersionThatIsKeptAlthoughTheEvidenceLeansEndsItsPlan(t *testing.T) {
	w := atWatch(t, watched(), []string{"look", "leaning"}, []string{"after", "4h"})
	w.lines(t, []string{"approve", w.s.OpenGate()})
	require.Equal(t, "announce", w.s.StepName)
	require.True(t, w.s.Look.Leaning)
	w.lines(t, []string{"webhook", "ok"})
	require.Equal(t, rollout.Released, w.s.Outcome)
}

func TestAWatchIsHeldByItsTimeAndThenByItsQuestion(t *testing.T) {
	w := atWatch(t, asking(), []string{"look", "fail"}, []string{"after", "30m"})
	require.Equal(t, []rollout.Hold{rollout.Watches{Left: 90 * time.Minute}}, watches(w))
	w.lines(t, []string{"after", "2h"})
	require.Equal(t, []rollout.Hold{rollout.Watches{}}, watches(w), "its time is over, and a person has not decided")
	w.lines(t, []string{"approve", "after.worse.1"})
	require.Empty(t, watches(w))
}

// watches are what holds a release in its watch.
func watches(w *world) []rollout.Hold {
	return slices.DeleteFunc(w.s.Holds(w.d, w.now), func(h rollout.Hold) bool {
		_, ok := h.(rollout.Watches)
		return !ok
	})
}

func TestOnlyAWatchIsComparedWithTheTimeBefore(t *testing.T) {
	d := watched()
	w := begun(t, d, toWatch[:3]...)
	require.NotEmpty(t, w.s.Scope)
	require.Zero(t, w.s.Target(d, "R1").Before, "the canary is compared with stable at the same time")
}

func TestWhatAWatchBeginsWithIsItsOwn(t *testing.T) {
	w := begun(t, watched(), []string{"go-on", "full"}, []string{"approve", "start"}, []string{"in-force"}, []string{"look", "alarm"}, []string{"dismiss"})
	require.True(t, w.s.Dismissed)
	w.lines(t, toWatch[3:]...)
	require.True(t, w.s.Watching())
	require.Nil(t, w.s.Look)
	require.False(t, w.s.Alarm)
	require.False(t, w.s.Dismissed, "an alarm of before says nothing of this comparison")
}

func TestNobodyIsAskedAboutARepairThatMayBeWorse(t *testing.T) {
	w := atWatch(t, asking(), []string{"go-on", "even-if-worse"})
	require.Equal(t, "announce", w.s.StepName)
	w = begun(t, asking(), []string{"go-on", "full", "even-if-worse"})
	w.lines(t, toWatch[1:]...)
	if w.s.Watching() { // the word at the start was for all that is left
		w.lines(t, []string{"look", "fail"}, []string{"after", "3h"})
	}
	require.Empty(t, w.s.OpenGate())
	require.Equal(t, "announce", w.s.StepName)
}

func TestWhatADefinitionSaysOfAWatchHasToFit(t *testing.T) {
	watch := rollout.Watch{Name: "w", For: time.Hour, Scope: "watch/w"}
	promote := rollout.Promote{Name: "promote"}
	for says, steps := range map[string]rollout.Steps{
		"watch before promote":        {watch, promote},
		"needs a time and a scope":    {promote, rollout.Watch{Name: "w", Scope: "watch/w"}},
		"a watch needs a time and a":  {promote, rollout.Watch{Name: "w", For: time.Hour}},
		"of a step that compares":     {rollout.Gray{Name: "g", Weights: []share.Share{0.1}, Scope: "gray", Unjudged: true}, promote},
		"that compares nothing":       {rollout.AB{Name: "ab", Scope: "ab/ab", Unjudged: true}, promote},
		"there is no way back from h": {rollout.Promote{Name: "promote", Strategy: rollout.AwaitStable}, watch},
	} {
		d := pipeline()
		if strings.HasPrefix(says, "there is no way") {
			d = awaiting()
		}
		d.Steps = steps
		require.ErrorContains(t, d.Check(), says)
	}
	require.NoError(t, watched().Check())
	require.NoError(t, unjudged().Check())
}

func TestTheNextReleaseEndsAWatchThatAsks(t *testing.T) {
	w := atWatch(t, asking(), []string{"look", "fail"}, []string{"after", "30m"})
	require.Equal(t, "after.worse.1", w.s.OpenGate())
	w.lines(t, []string{"supersede"})
	require.Equal(t, "announce", w.s.StepName, "the next one takes its place, and waits for no answer")
	require.Empty(t, w.s.OpenGate())
	require.Equal(t, rollout.Active, w.s.Phase, "nothing is taken back")
}

func TestAWordOfAPersonEndsAPauseOfAWatchThatIsFollowed(t *testing.T) {
	w := atWatch(t, watched(), []string{"pause"}, []string{"supersede"})
	require.Nil(t, w.s.Pause)
	require.Equal(t, "announce", w.s.StepName)
	require.Equal(t, "R2", w.s.Successor.ID)
}
