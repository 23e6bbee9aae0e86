package sequential_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge/sequential"
)

const (
	ratioLine = `{"name": "a", "seconds": 10, "metric": {"kind": "ratio", "falseRollback": 0.01, "falseAdvance": 0.05, "margin": {"relative": 0.25}, "noise": 0.3}}`
	lookLine  = `{"canary": {"bad": 5, "total": 10}, "baseline": {"bad": 1, "total": 1000}}`
)

func TestALineThatCannotBeTakenSaysWhatWasExpectedAndChangesNothing(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`{"canary"`, "unexpected EOF"},
		{`{"canry": {}}`, `unknown field "canry"`},
		{lookLine + lookLine, "more after the end"},
		{`{"name": "b", "metric": {"kind": "ratio"}}`, "seconds 0: the length of a look has to be above 0"},
		{`{"seconds": 10, "metric": {"kind": "ratios"}}`, `unknown kind "ratios"`},
		{`{"seconds": 10, "metric": {"kind": "ratio"}}`, "falseRollback 0: not a chance"},
		{`{"seconds": 10, "metric": {"kind": "split"}}`, "split.falseAlarm 0: not a chance"},
		{`{"canary": {"bad": 1}, "baseline": {"bad": 1, "total": 2}}`, "canary.total: a count between 0 and 2^53 was expected"},
		{`{"canary": {"bad": 1, "total": 2}, "baseline": {"bad": -1, "total": 2}}`, "baseline.bad: a count"},
		{`{"name": "c", "canary": {"bad": 1, "total": 2}}`, `belong to a line with "metric"`},
		{`{"weight": 2, "canary": {"bad": 1, "total": 2}}`, "weight 2: not a share"},
		{`{"seconds": 10, "metric": {"kind": "ratio", "falseRollback": 0.1, "budget": [{"weight": 1, "seconds": 5}]}}`, "budget[0]: 5 seconds at the weight 1"},
		{`{"canary": {"bad": 1, "total": 2}, "baseline": {"bad": 1, "total": 2}, "parts": [{"value": "/"}]}`, `parts: the sequence has none`},
		{`{"seconds": 10, "metric": {"kind": "ratio"}, "canary": {}}`, `either "metric" or a look's arms`},
	} {
		t.Run(c.want, func(t *testing.T) {
			var s sequential.Lines
			_, err := s.Line([]byte(lookLine))
			require.ErrorContains(t, err, "a look before the first sequence")
			_, err = s.Line([]byte(ratioLine))
			require.NoError(t, err)
			said, err := s.Line([]byte(c.line))
			require.ErrorContains(t, err, c.want)
			require.Nil(t, said)
			said, err = s.Line([]byte(lookLine))
			require.NoError(t, err)
			require.Equal(t, 1, said.Look)
			require.Equal(t, "a", said.Name)
		})
	}
}

func TestAnArmThatIsMissingIsNeitherPassNorFail(t *testing.T) {
	var s sequential.Lines
	_, err := s.Line([]byte(ratioLine))
	require.NoError(t, err)
	for range 3 {
		said, err := s.Line([]byte(`{"canary": null, "baseline": {"bad": 1, "total": 1000}}`))
		require.NoError(t, err)
		require.Equal(t, "inconclusive", said.Verdict)
	}
}

func TestAPassWaitsWhereThatIsAsked(t *testing.T) {
	var s sequential.Lines
	_, err := s.Line([]byte(`{"seconds": 10, "metric": {"kind": "ratio", "falseRollback": 0.01, "falseAdvance": 0.05, "margin": {"relative": 1}, "noise": 0.1, "passAfter": 100}}`))
	require.NoError(t, err)
	for n := range 12 {
		said, err := s.Line([]byte(`{"canary": {"bad": 100, "total": 10000}, "baseline": {"bad": 100, "total": 10000}}`))
		require.NoError(t, err)
		require.Equal(t, n >= 10, said.Verdict == "pass", "look %d", n+1)
	}
}

// FuzzLine: whatever comes after a sequence has begun, there is an error, or an answer that is JSON.
func FuzzLine(f *testing.F) {
	for i, g := range readGolden(f) {
		if i%5 == 0 {
			f.Add(string(g.begins(f)), string(g.Looks[0]), string(g.Looks[1]))
		}
	}
	f.Add(ratioLine, `{"canary": {"bad": 9007199254740992, "total": 1e-9}, "baseline": {"bad": 0, "total": 9007199254740992}}`, lookLine)
	f.Fuzz(func(t *testing.T, first, second, third string) {
		var s sequential.Lines
		for _, line := range []string{first, second, third} {
			said, err := s.Line([]byte(line))
			if err != nil {
				require.Nil(t, said)
				continue
			}
			if said != nil {
				_, err := json.Marshal(said)
				require.NoError(t, err, "%+v", said)
			}
		}
	})
}
