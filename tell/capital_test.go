package tell_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/tell"
)

func TestASentenceBeginsWithACapitalInAnyAlphabet(t *testing.T) {
	for text, want := range map[string]string{"": "", "held": "Held", "ärger": "Ärger", "5% more": "5% more", "版本": "版本"} {
		require.Equal(t, want, tell.Capital(text))
	}
}
