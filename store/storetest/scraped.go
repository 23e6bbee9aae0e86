package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (d Database) scraped(t *testing.T) {
	s := d.open(t)
	none, err := s.Scraped(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, none)
	keep := func(source string, minute int, body string, before int) {
		t.Helper()
		at := func(minute int) time.Time { return Start.Add(time.Duration(minute) * time.Minute) }
		require.NoError(t, s.KeepScraped(t.Context(), source, at(minute), []byte(body), at(before)))
	}
	keep("", 20, "second", 0)
	keep("", 10, "first \x00\xff", 0)
	keep("eu", 10, "another's", 0)
	keep("", 20, "second again", 0)
	all, err := s.Scraped(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("first \x00\xff"), []byte("second again")}, all, "oldest first, each once")
	keep("", 30, "third", 20)
	all, err = s.Scraped(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("second again"), []byte("third")}, all, "what is older goes")
	all, err = s.Scraped(t.Context(), "eu")
	require.NoError(t, err)
	require.Empty(t, all, "that of a removed source as well")
	require.NoError(t, s.ForgetScraped(t.Context(), Start.Add(30*time.Minute)))
	all, err = s.Scraped(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("third")}, all, "also where nothing is read any more")
}
