package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The golden data of both judges goes through the command the way other programs would send it. These tests require that
// the command asks the judges and prints their answers in order; the judges' own tests compare every number.

func golden[T any](t *testing.T, path string) (data T) {
	t.Helper()
	f, err := os.Open("../../testdata/" + path + ".json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(z).Decode(&data))
	return data
}

// serin runs a command with an input.
func serin(t *testing.T, in io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: in, stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	code = a.run(t.Context(), args)
	return code, out.String(), errs.String()
}

// requireSame compares the output with what is expected: numbers agree to a relative error of 1e-9, and an absolute one
// near 0. Where the reference adds noise, ratios may differ.
func requireSame(t *testing.T, want, got any, where string, noisy bool) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		for name, v := range w {
			requireSame(t, v, got.(map[string]any)[name], where+"."+name, noisy)
		}
	case []any:
		g := got.([]any)
		require.Len(t, g, len(w), where)
		if strings.HasSuffix(where, ".groupScores") { // their order has no meaning
			byName := func(a, b any) int {
				return strings.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
			}
			slices.SortFunc(w, byName)
			slices.SortFunc(g, byName)
		}
		for i := range w {
			requireSame(t, w[i], g[i], where, noisy)
		}
	case float64:
		tolerance := 1e-9
		if noisy && strings.HasSuffix(where, ".ratio") {
			tolerance = 2e-4
		}
		g, ok := got.(float64)
		if !ok || math.Abs(w-g) > tolerance*max(1, math.Abs(w)) {
			require.Failf(t, "differs", "%s: %v, the reference has %v", where, got, w)
		}
	default:
		require.Equal(t, want, got, where)
	}
}

func TestTheCommandAnswersEveryGoldenRequestAsTheReferenceDoes(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"cases-01", "cases-02", "cases-edges", "cases-small", "cases-typical", "cases-large"} {
		cases := golden[[]struct {
			Name      string
			Request   json.RawMessage
			Result    any
			Exception string
		}](t, "kayenta-judge/"+file)
		var in bytes.Buffer
		code := exitOK
		for i, c := range cases {
			if i > 0 {
				in.WriteString("\n")
			}
			require.NoError(t, json.Compact(&in, c.Request))
			if c.Exception != "" {
				code = exitError
			}
		}
		array := "[" + strings.ReplaceAll(in.String(), "\n", ",\n") + "]"

		got, stdout, _ := serin(t, &in, "judge", "-")
		require.Equal(t, code, got)
		answers := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		require.Len(t, answers, len(cases))
		for i, c := range cases {
			var answer any
			require.NoError(t, json.Unmarshal([]byte(answers[i]), &answer))
			if c.Exception != "" {
				require.Contains(t, answer, "error", c.Name)
				continue
			}
			requireSame(t, c.Result, answer, c.Name, true)
		}

		got, again, _ := serin(t, strings.NewReader(array), "judge", "-")
		require.Equal(t, code, got)
		require.Equal(t, "[\n"+strings.Join(answers, ",\n")+"\n]\n", again)
	}
}

func TestTheCommandAnswersEveryGoldenLookAsTheReferenceDoes(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"sequences"} {
		var in bytes.Buffer
		var expected []map[string]any
		for _, s := range golden[[]map[string]any](t, "sequential/"+file) {
			looks := s["looks"].([]any)
			for i, e := range s["expected"].([]any) {
				expected = append(expected, e.(map[string]any))
				expected[len(expected)-1]["name"], expected[len(expected)-1]["look"] = s["name"], float64(i+1)
			}
			delete(s, "looks")
			delete(s, "expected")
			e := json.NewEncoder(&in)
			require.NoError(t, e.Encode(s))
			for _, l := range looks {
				require.NoError(t, e.Encode(l))
			}
		}
		code, stdout, stderr := serin(t, &in, "judge", "--judge", "sequential", "-")
		require.Equal(t, exitOK, code, stderr)
		answers := json.NewDecoder(strings.NewReader(stdout))
		for i, want := range expected {
			var got map[string]any
			require.NoError(t, answers.Decode(&got))
			requireSame(t, want, got, fmt.Sprintf("%s, answer %d", file, i+1), false)
		}
		require.ErrorIs(t, answers.Decode(new(any)), io.EOF)
	}
}

// slow delivers one line, then nothing until the answer has been seen.
type slow struct {
	lines []string
	seen  func() string
	t     *testing.T
}

func (s *slow) Read(b []byte) (int, error) {
	if len(s.lines) == 0 {
		return 0, io.EOF
	}
	line := s.lines[0]
	if strings.HasPrefix(line, "?") {
		require.Contains(s.t, s.seen(), line[1:])
		s.lines = s.lines[1:]
		return s.Read(b)
	}
	s.lines = s.lines[1:]
	return copy(b, line), nil
}

func TestAnAnswerDoesNotWaitForTheNextQuestion(t *testing.T) {
	var out bytes.Buffer
	in := &slow{t: t, seen: out.String, lines: []string{
		`{"name": "a", "seconds": 10, "metric": {"kind": "gauge", "falseRollback": 0.01, "falseAdvance": 0.05, "margin": {"relative": 0.25}, "noise": 0.3}}` + "\n",
		`{"canary": {"value": 1}, "baseline": {"value": 1}}` + "\n", `?"look":1`,
		`{"canary": {"value": 1}, "baseline": {"value": 1}}` + "\n", `?"look":2`,
	}}
	a := &app{stdin: in, stdout: &out, stderr: io.Discard, getenv: os.Getenv}
	require.Equal(t, exitOK, a.run(t.Context(), []string{"judge", "--judge", "sequential", "-"}))
}
