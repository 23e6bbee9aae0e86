package server_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/server"
)

func TestASecretOpensItsTokenOnly(t *testing.T) {
	alice, a, err := server.NewToken("alice", []string{"operator"})
	require.NoError(t, err)
	bob, b, err := server.NewToken("bob", []string{"viewer", "release-managers"})
	require.NoError(t, err)
	tokens := []server.Token{a, b}

	whose := func(secret string) int {
		return slices.IndexFunc(tokens, func(t server.Token) bool { return t.Verify(secret) })
	}
	require.Equal(t, 1, whose(bob))
	require.Equal(t, 0, whose(alice))

	for name, secret := range map[string]string{
		"nothing":                     "",
		"one character off":           alice[:len(alice)-1] + "~",
		"another one's name":          strings.Replace(alice, ".alice.", ".bob.", 1),
		"nobody's name":               strings.Replace(alice, ".alice.", ".carol.", 1),
		"the hash":                    a.Hash,
		"a secret of something else":  "ghp_" + alice,
		"a secret with a line behind": alice + "\n",
	} {
		require.Equal(t, -1, whose(secret), name)
	}
	require.NotContains(t, a.Hash, alice)
}

func TestTokensAreReadAsTheyWereWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	_, a, err := server.NewToken("alice", []string{"admin"})
	require.NoError(t, err)
	require.NoError(t, server.SaveTokens(path, []server.Token{a}))

	got, err := server.LoadTokens(path)
	require.NoError(t, err)
	require.Equal(t, []server.Token{a}, got)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

	require.Error(t, server.SaveTokens(path, []server.Token{a, a}), "two of one name")
	got, err = server.LoadTokens(path)
	require.NoError(t, err)
	require.Len(t, got, 1, "the old file is still there")
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "and nothing else")
}

func TestBadFilesOfTokensAreRefused(t *testing.T) {
	_, err := server.LoadTokens(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, fs.ErrNotExist)

	good := "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, text := range map[string]string{
		"a hash that is cut off": "tokens: [{name: a, roles: [viewer], hash: 'sha256:c2FsdHNh'}]",
		"an unknown field":       "tokens: [{name: a, roles: [viewer], hash: '" + good + "', extra: 1}]",
		"a name with a dot":      "tokens: [{name: a.b, roles: [viewer], hash: '" + good + "'}]",
		"no role":                "tokens: [{name: a, roles: [], hash: '" + good + "'}]",
		"a secret, not a hash":   "tokens: [{name: a, roles: [viewer], hash: serin.a.xyz}]",
		"a hash of another kind": "tokens: [{name: a, roles: [viewer], hash: '" + strings.Replace(good, "argon2id", "argon2i", 1) + "'}]",
		"a hash that eats 90 GB": "tokens: [{name: a, roles: [viewer], hash: '" + strings.Replace(good, "m=64", "m=90000000", 1) + "'}]",
		"no YAML":                "tokens: [",
	} {
		path := filepath.Join(t.TempDir(), "tokens.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := server.LoadTokens(path)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "c2FsdHNh", name)
	}
}
