package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParseTokens: no result on an error, else what is written is read back as the same.
func FuzzParseTokens(f *testing.F) {
	const hash = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, seed := range []string{
		"", "tokens:", "tokens: []", "tokens: [{name: a, roles: [viewer], hash: '" + hash + "'}]",
		"# comment\ntokens:\n  - name: ci\n    roles: [operator, qa]\n    hash: " + hash + "\n",
		"tokens: &a [*a]", "a: &a [1,2]\nb: [*a,*a]", "tokens: [{name: serin, roles: [x], hash: ''}]", "tokens: {", "\x00",
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "tokens.yaml")
	f.Fuzz(func(t *testing.T, b []byte) {
		tokens, err := parseTokens(b)
		if err != nil {
			require.Nil(t, tokens)
			return
		}
		require.NoError(t, SaveTokens(path, tokens))
		got, err := LoadTokens(path)
		require.NoError(t, err)
		require.Len(t, got, len(tokens))
		for i := range got {
			require.Equal(t, tokens[i], got[i])
		}
		require.NoError(t, os.Remove(path))
	})
}
