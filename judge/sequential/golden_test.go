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

// golden is a sequence of testdata/sequential, written by the second implementation, reference.py.
type golden struct {
	Name     string
	Begins   map[string]json.RawMessage // the line with metric
	Looks    []json.RawMessage
	Expected []map[string]any
}

func (g *golden) UnmarshalJSON(b []byte) error {
	var s struct {
		Name     string
		Looks    []json.RawMessage
		Expected []map[string]any
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	g.Name, g.Looks, g.Expected = s.Name, s.Looks, s.Expected
	if err := json.Unmarshal(b, &g.Begins); err != nil {
		return err
	}
	delete(g.Begins, "looks")
	delete(g.Begins, "expected")
	return nil
}

func (g *golden) begins(t testing.TB) []byte {
	b, err := json.Marshal(g.Begins)
	require.NoError(t, err)
	return b
}

func readGolden(t testing.TB) (data []golden) {
	f, err := os.Open("../../testdata/sequential/sequences.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(z).Decode(&data))
	return data
}

// requireAgrees compares an answer with the reference's; the answer may have more fields.
func requireAgrees(t *testing.T, want, got map[string]any, where string) {
	t.Helper()
	for name, w := range want {
		g, ok := got[name]
		require.True(t, ok, "%s: %s is missing", where, name)
		switch w := w.(type) {
		case map[string]any:
			requireAgrees(t, w, g.(map[string]any), where+" "+name)
		case float64:
			require.InDelta(t, w, g, 1e-9*math.Max(1, math.Abs(w)), "%s: %s", where, name)
		default:
			require.Equal(t, w, g, "%s: %s", where, name)
		}
	}
}

func TestTheReferenceAgrees(t *testing.T) {
	all := readGolden(t)
	require.GreaterOrEqual(t, len(all), 40)
	for _, g := range all {
		t.Run(g.Name, func(t *testing.T) {
			var s sequential.Lines
			said, err := s.Line(g.begins(t))
			require.NoError(t, err)
			require.Nil(t, said)
			for i, l := range g.Looks {
				said, err := s.Line(l)
				require.NoError(t, err)
				b, err := json.Marshal(said)
				require.NoError(t, err)
				var got map[string]any
				require.NoError(t, json.Unmarshal(b, &got))
				requireAgrees(t, g.Expected[i], got, fmt.Sprint("look ", i+1))
			}
		})
	}
}
