package sequential

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// spec/sequential-judge.md, Grid and prior.
func TestTheGridAgreesWithTheReference(t *testing.T) {
	f, err := os.Open("../../testdata/sequential/grid.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var golden struct{ Ratio, LogRatio, Prior []float64 }
	require.NoError(t, json.NewDecoder(z).Decode(&golden))
	require.Len(t, golden.Ratio, gridSize)
	for j := range gridSize {
		require.InEpsilon(t, golden.Ratio[j], ratios[j], 1e-12)
		require.InDelta(t, golden.LogRatio[j], logRatios[j], 1e-12)
		require.InEpsilon(t, golden.Prior[j], prior[j], 1e-9)
	}
	require.Equal(t, 1.0, ratios[one])
	require.InDelta(t, 1, above[one]+below[one]+prior[one], 1e-12)
}
