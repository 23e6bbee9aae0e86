package server

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseHash(f *testing.F) {
	_, t, err := NewToken("a", []string{"viewer"})
	require.NoError(f, err)
	f.Add(t.Hash)
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if sum, ok := parseSum(text); ok {
			require.Equal(t, text, sumPrefix+hex.EncodeToString(sum[:]))
		}
		h, err := parseHash(text)
		if err != nil {
			require.Zero(t, h)
			return
		}
		require.Equal(t, text, h.String())
	})
}
