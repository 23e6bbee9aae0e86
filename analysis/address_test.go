package analysis_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
)

func TestAnAddressIsShownWithoutWhatMayBeASecret(t *testing.T) {
	for address, shown := range map[string]string{
		"http://127.0.0.1:8082/metrics":                 "http://127.0.0.1:8082/metrics",
		"https://ann:secret@app/metrics":                "https://app/metrics",
		"https://app/metrics?token=secret&format=proto": "https://app/metrics?***",
		"https://app/metrics#secret":                    "https://app/metrics",
		"https://app:secret/metrics":                    "an address that is not shown",
	} {
		require.Equal(t, shown, analysis.ShownAddress(address))
	}
}
