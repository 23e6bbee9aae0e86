package sequential_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge/sequential"
)

// The golden data is the reference's of spec/sequential-judge.md; its form is in testdata/sequential/README.md.

type golden struct {
	Name     string            `json:"name"`
	Metric   json.RawMessage   `json:"metric"`
	Seconds  float64           `json:"seconds"`
	Looks    []json.RawMessage `json:"looks"`
	Expected []map[string]any  `json:"expected"`
}

func readGolden[T any](t testing.TB, name string) (data T) {
	f, err := os.Open("../../testdata/sequential/" + name + ".json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(z).Decode(&data))
	return data
}

// requireAgrees holds an answer against what the reference says; the answer may say more.
func requireAgrees(t *testing.T, want, got map[string]any, where string) {
	t.Helper()
	for name, w := range want {
		g, ok := got[name]
		require.True(t, ok, "%s: %s is missing", where, name)
		switch w := w.(type) {
		case map[string]any:
			requireAgrees(t, w, g.(map[string]any), where)
		case float64:
			if math.Abs(w-g.(float64)) > 1e-9*max(1, math.Abs(w)) {
				require.Failf(t, "differs", "%s: %s is %v, the reference has %v", where, name, g, w)
			}
		default:
			require.Equal(t, w, g, "%s: %s", where, name)
		}
	}
}

// begins is the line that begins the sequence.
func (g golden) begins(t testing.TB) []byte {
	b, err := json.Marshal(map[string]any{"name": g.Name, "metric": g.Metric, "seconds": g.Seconds})
	require.NoError(t, err)
	return b
}

// spec/sequential-judge.md, Numbers that a re-implementation has to agree with.
func TestEveryLookAgreesWithTheReference(t *testing.T) {
	for _, file := range []string{"sequences", "more", "anew"} {
		for _, g := range readGolden[[]golden](t, file) {
			t.Run(g.Name, func(t *testing.T) {
				require.Len(t, g.Expected, len(g.Looks))
				var s sequential.Lines
				said, err := s.Line(g.begins(t))
				require.NoError(t, err)
				require.Nil(t, said)
				for i, look := range g.Looks {
					said, err := s.Line(look)
					require.NoError(t, err)
					require.Equal(t, g.Name, said.Name)
					require.Equal(t, i+1, said.Look)
					encoded, err := json.Marshal(said)
					require.NoError(t, err)
					var got map[string]any
					require.NoError(t, json.Unmarshal(encoded, &got))
					requireAgrees(t, g.Expected[i], got, fmt.Sprintf("look %d", i+1))
				}
			})
		}
	}
}
