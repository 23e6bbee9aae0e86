package sequential_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestALookIsNotEnoughWhileAMetricThatCountsWarmsUp(t *testing.T) {
	for dryRun, enough := range map[bool]bool{false: false, true: true} {
		m := ratio("errors")
		m.DryRun = dryRun
		j := newJudge(t, settings(nil, m, ratio("other")))
		warming := counts("errors", 1, 100, 1, 100)
		warming.Absent = judge.WarmingUp
		_, v := j.Look(j.Begin(nil), at(1, 0.5, warming, counts("other", 1, 100, 1, 100)))
		require.Equal(t, enough, v.Enough, "dry run: %v", dryRun)
	}
}
