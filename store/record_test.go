package store

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/frozen"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
)

func TestALookThatAnEarlierVersionWroteIsRead(t *testing.T) {
	for _, name := range []string{"plain", "flated1"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/look-" + name + ".hex")
			require.NoError(t, err)
			b, err := hex.DecodeString(strings.TrimSpace(string(text)))
			require.NoError(t, err)
			var l record.LookRecord
			require.NoError(t, decodeLook(b, &l))
			require.Equal(t, 4, l.Turn)
			require.Equal(t, judge.Look{
				Number: 12, At: time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC), Length: 10 * time.Second, Weight: 0.05,
				Observations: []judge.Observation{{Metric: "errors", Canary: judge.Arm{Bad: 1, Total: 50}, Baseline: judge.Arm{Missing: true}}},
			}, l.Look)
			require.Equal(t, judge.Inconclusive, l.Verdict.Outcome)
			require.Equal(t, judge.TooFew, l.Verdict.Reason)
		})
	}
}

func TestALookIsStoredAsItAlwaysWas(t *testing.T) {
	var looks []any
	for _, line := range frozen.Lines(t, "testdata/looks.jsonl") {
		var l record.LookRecord
		require.NoError(t, decodeLook([]byte(line), &l), line)
		b, err := encodeLook(l)
		require.NoError(t, err)
		again, err := inflate(b)
		require.NoError(t, err)
		require.Equal(t, line, string(again))
		looks = append(looks, l.Look, l.Verdict)
	}
	require.Empty(t, frozen.Unset(looks...), "no line shows how these fields are stored")

	require.Equal(t, []judge.Outcome{"inconclusive", "pass", "fail"}, []judge.Outcome{judge.Inconclusive, judge.Pass, judge.Fail})
	require.Equal(t, []judge.Reason{"unreachable", "no-data", "too-few", "undecided", "waiting", "warming-up", "baseline-not-positive"},
		[]judge.Reason{judge.Unreachable, judge.NoData, judge.TooFew, judge.Undecided, judge.Waiting, judge.WarmingUp, judge.NotPositive})
	require.Equal(t, []judge.Kind{"ratio", "objective", "gauge", "histogram"}, []judge.Kind{judge.Counts, judge.Objective, judge.Gauge, judge.Histogram})
	require.Equal(t, []judge.Direction{"increase", "decrease", "either"}, []judge.Direction{judge.Increase, judge.Decrease, judge.Either})
}

func TestALookShrinks(t *testing.T) {
	l := record.LookRecord{Look: judge.Look{Number: 1, Observations: []judge.Observation{{Metric: "errors"}, {Metric: "slow"}}}}
	text, err := json.Marshal(lookBody{Look: l.Look})
	require.NoError(t, err)
	b, err := encodeLook(l)
	require.NoError(t, err)
	require.Less(t, len(b), len(text)/3)
}

// FuzzDecodeLook: any bytes in the database are an error, or a look that comes back the same.
func FuzzDecodeLook(f *testing.F) {
	b, err := encodeLook(record.LookRecord{Turn: 1, Look: judge.Look{Number: 1}})
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte(`{"turn": 1, "look": {"observations": null}}`))
	f.Add([]byte{flated1, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			return
		}
		var l, same record.LookRecord
		if decodeLook(b, &l) != nil {
			require.Equal(t, record.LookRecord{}, l)
			return
		}
		once, err := encodeLook(l)
		if err != nil {
			return // a time that JSON can read but not write
		}
		require.NoError(t, decodeLook(once, &same))
		twice, err := encodeLook(same)
		require.NoError(t, err)
		require.Equal(t, once, twice)
	})
}
