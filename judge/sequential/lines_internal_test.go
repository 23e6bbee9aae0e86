package sequential

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// numbered is a sequence that remembers the numbers of its looks.
type numbered struct{ numbers []int }

func (n *numbered) look(number int, _ *lineLook) (Said, error) {
	n.numbers = append(n.numbers, number)
	return Said{}, nil
}

func (n *numbered) learned() []judge.Past { return nil }

func TestLooksAreCountedFromOne(t *testing.T) {
	var n numbered
	s := Lines{sequence: &n}
	for range 3 {
		_, err := s.Line([]byte(`{}`))
		require.NoError(t, err)
	}
	require.Equal(t, []int{1, 2, 3}, n.numbers)
}

func TestALineMayHaveSoManyBytes(t *testing.T) {
	s := Lines{sequence: &numbered{}}
	line := append([]byte(`{}`), bytes.Repeat([]byte(" "), MaxLine-2)...)
	_, err := s.Line(line)
	require.NoError(t, err)
	_, err = s.Line(append(line, ' '))
	require.ErrorContains(t, err, "16777217 bytes, at most 16777216 are read")
}

// beginning is the line that begins a sequence of looks of a minute.
func beginning(metric string) string {
	return `{"seconds": 60, "metric": {"falseRollback": 0.01, "falseAdvance": 0.05, "margin": {"relative": 0.25}, "noise": 0.3, ` + metric + `}}`
}

func TestWhatEachKindTakesOfALook(t *testing.T) {
	const (
		ratio     = `"kind": "ratio", "values": 2`
		gauge     = `"kind": "gauge"`
		histogram = `"kind": "histogram", "bounds": [1, 2]`
		split     = `"kind": "split", "falseAlarm": 0.001, "tolerance": 0.1`
		mean      = `"kind": "mean"`
		both      = `"canary": {"bad": 1, "total": 2}, "baseline": {"bad": 1, "total": 2}`
	)
	slow := func(cumulative string) string {
		return `{"canary": {"cumulative": ` + cumulative + `, "total": 5}, "baseline": {"cumulative": [3, 4], "total": 5}}`
	}
	requests := func(weight string) string {
		return `{"weight": ` + weight + `, "canary": {"requests": 1}, "baseline": {"requests": 9}}`
	}
	for _, c := range []struct{ metric, look, want string }{
		{ratio, `{` + both + `, "parts": [{"value": "/", ` + both + `}]}`, ""},
		{ratio, `{` + both + `, "parts": [{"value": "/", "canary": {"bad": 1, "total": 2}}]}`, "parts[0]: canary and baseline were expected"},
		{ratio, `{` + both + `, "parts": [{"value": "/", "baseline": {"bad": 1, "total": 2}}]}`, "parts[0]: canary and baseline were expected"},
		{gauge, `{"canary": {"value": 1e60}, "baseline": {"value": -1e60}}`, ""},
		{gauge, `{"canary": {"value": 1.1e60}, "baseline": {"value": 1}}`, "canary.value: a number was expected"},
		{gauge, `{"canary": {}, "baseline": {"value": 1}}`, "canary.value: a number was expected"},
		{histogram, slow("[3, 3]"), ""},
		{histogram, slow("[5, 5]"), ""},
		{histogram, slow("[-1, 3]"), "canary.cumulative[0] -1: counts that do not fall"},
		{histogram, slow("[6, 6]"), "canary.cumulative[0] 6: counts that do not fall and are at most total"},
		{histogram, slow("[3, 2]"), "canary.cumulative[1] 2: counts that do not fall"},
		{histogram, slow("[3]"), "canary.cumulative: 2 counts were expected"},
		{mean, `{"canary": {"sum": 2.5, "count": 2}, "baseline": {"sum": 9, "count": 8}}`, ""},
		{mean, `{"canary": {"count": 2}, "baseline": {"sum": 9, "count": 8}}`, "canary.sum: a count"},
		{mean, `{"canary": {"sum": 2.5}, "baseline": {"sum": 9, "count": 8}}`, "canary.count: a count"},
		{split, requests("0.5"), ""},
		{split, requests("0.999999"), ""},
		{split, requests("1"), "weight 1: not a share between 0 and 1"},
		{split, requests("0"), "weight 0: not a share between 0 and 1"},
		{split, `{"weight": 0.5, "canary": {"requests": 1}}`, "canary and baseline were expected"},
		{split, `{"weight": 0.5, "baseline": {"requests": 1}}`, "canary and baseline were expected"},
	} {
		t.Run(c.metric+" "+c.look, func(t *testing.T) {
			var s Lines
			_, err := s.Line([]byte(beginning(c.metric)))
			require.NoError(t, err)
			said, err := s.Line([]byte(c.look))
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Nil(t, said.Rules, "nothing is decided by a time")
		})
	}
	var s Lines
	long := strings.Replace(beginning(gauge), "60", "86400", 1)
	_, err := s.Line([]byte(long))
	require.NoError(t, err, "a look may take a day")
	_, err = s.Line([]byte(strings.Replace(long, "86400", "86401", 1)))
	require.ErrorContains(t, err, "above 0 and at most 86400")
}

func TestASequenceTeachesUnlessItFailed(t *testing.T) {
	for name, c := range map[string]struct {
		looks []string
		pasts int
	}{
		"good":                  {[]string{"10", "10", "10"}, 1},
		"bad":                   {[]string{"10", "900", "900"}, 0},
		"bad, and good again":   {[]string{"10", "900", "900", "10"}, 0},
		"too short to say much": {[]string{"10"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var learned []judge.Past
			s := Lines{Ended: func(p []judge.Past) { learned = p }}
			_, err := s.Line([]byte(beginning(`"kind": "ratio"`)))
			require.NoError(t, err)
			for _, bad := range c.looks {
				_, err := s.Line([]byte(`{"weight": 0.5, "canary": {"bad": ` + bad + `, "total": 1000}, "baseline": {"bad": 10, "total": 1000}}`))
				require.NoError(t, err)
			}
			s.End()
			require.Len(t, learned, c.pasts)
		})
	}
}

func TestASplitOfLinesBeginsAgainWhenTheWeightChangesAndNoSooner(t *testing.T) {
	var s Lines
	_, err := s.Line([]byte(beginning(`"kind": "split", "falseAlarm": 0.001, "tolerance": 0.1`)))
	require.NoError(t, err)
	ratioOf := func(weight float64, canary, baseline int) float64 {
		line, err := json.Marshal(map[string]any{"weight": weight, "canary": map[string]int{"requests": canary}, "baseline": map[string]int{"requests": baseline}})
		require.NoError(t, err)
		said, err := s.Line(line)
		require.NoError(t, err)
		return said.Ratio
	}
	require.InDelta(t, 100.5/300.5, ratioOf(0.5, 100, 300), 1e-12)
	require.InDelta(t, 1, ratioOf(0.5, 300, 100), 1e-12, "both looks together")
	require.InDelta(t, 300.5/100.5*3, ratioOf(0.25, 300, 100), 1e-12, "the second weight's alone")
}
