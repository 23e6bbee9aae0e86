package spelling_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/spelling"
)

func TestTheNearestWordIsOneThatMayHaveBeenMeant(t *testing.T) {
	for word, want := range map[string]string{
		"service": "service", "servce": "service", "sevrice": "service", "Service": "service", "serivces": "service", "pod": "", "": "", "job": "",
	} {
		got, ok := spelling.Nearest(word, []string{"exported_service", "service", "instance"})
		require.Equal(t, want, got, word)
		require.Equal(t, want != "", ok, word)
	}
}
