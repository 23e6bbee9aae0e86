package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/frozen"
	"github.com/serindev/serin/record"
)

// noLonger is read in old plans but never written: no configuration leads to it any more.
const noLonger = `,"unsupported":["unsupported-1"]`

// TestAPlanIsStoredAsItAlwaysWas holds that a release that an earlier version started goes on with its plan, and that the
// revision of an unchanged rollout stays the same, since it is a hash of the stored form.
func TestAPlanIsStoredAsItAlwaysWas(t *testing.T) {
	var plans []any
	for _, line := range frozen.Lines(t, "testdata/stored/plans.jsonl") {
		var p record.Plan
		require.NoError(t, json.Unmarshal([]byte(line), &p), line)
		again, err := json.Marshal(p)
		require.NoError(t, err)
		require.Equal(t, strings.Replace(line, noLonger, "", 1), string(again))
		plans = append(plans, p.Rollout, p.Analyses, p.Gateway, p)
	}
	// Steps have lines of their own in package rollout.
	unset := frozen.Unset(plans...)
	require.Subset(t, []string{"rollout.Promote.Deadline", "rollout.Promote.Expired", "rollout.Promote.Previous", "rollout.Promote.Strategy", "rollout.Promote.Whole"},
		unset, "no line shows how these fields are stored")
}
