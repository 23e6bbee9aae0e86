package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (d Database) sessions(t *testing.T) {
	t.Run("a session that was ended is remembered until it would have ended by itself", func(t *testing.T) {
		s, other := d.pair(t)
		ends := Start.Add(12 * time.Hour)
		require.NoError(t, s.SignOut(t.Context(), "one", ends, Start))
		require.NoError(t, s.SignOut(t.Context(), "one", ends, Start), "twice is once")
		got, err := other.SignedOut(t.Context(), Start)
		require.NoError(t, err)
		require.Equal(t, map[string]time.Time{"one": ends}, got)
		got, err = other.SignedOut(t.Context(), ends)
		require.NoError(t, err)
		require.Empty(t, got)
		require.NoError(t, s.SignOut(t.Context(), "two", ends.Add(time.Hour), ends))
		got, err = other.SignedOut(t.Context(), Start)
		require.NoError(t, err)
		require.Equal(t, map[string]time.Time{"two": ends.Add(time.Hour)}, got, "and forgotten then")
	})
}
