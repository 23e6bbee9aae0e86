package server_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/server"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// wrong is a secret of the right form that nobody has.
func wrong(t *testing.T, name string) string {
	t.Helper()
	secrets, _ := roster()
	right := secrets[name]
	end := "A"
	if strings.HasSuffix(right, end) {
		end = "Q"
	}
	return right[:len(right)-1] + end
}

func status(err error) int {
	if p, ok := err.(interface{ GetStatus() int }); ok {
		return p.GetStatus()
	}
	return 0
}

func openTokens(t *testing.T, tokens []server.Token) (string, *server.Tokens, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	require.NoError(t, server.SaveTokens(path, tokens))
	var log bytes.Buffer
	verify, err := server.OpenTokens(path, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	return path, verify, &log
}

func TestTokensFollowTheirFile(t *testing.T) {
	secrets, tokens := roster()
	path, verify, log := openTokens(t, tokens)
	who, err := verify.Verify(t.Context(), secrets["otto"], "192.0.2.1:1")
	require.NoError(t, err)
	require.Equal(t, server.Identity{Name: "otto", Roles: []string{"operator"}}, who)

	require.NoError(t, os.WriteFile(path, []byte("tokens: ["), 0o600))
	for range 3 {
		_, err = verify.Verify(t.Context(), secrets["otto"], "192.0.2.1:1")
		require.NoError(t, err, "a broken file leaves the last good one in use")
	}
	require.Equal(t, 1, strings.Count(log.String(), "tokens cannot be read"), "which is said once")

	require.NoError(t, os.Remove(path))
	_, err = verify.Verify(t.Context(), secrets["otto"], "192.0.2.1:1")
	require.NoError(t, err, "one that is gone as well: a mounted file vanishes for a moment when it is swapped")

	for i := range tokens {
		if tokens[i].Name == "otto" {
			promoted := append([]server.Token{}, tokens...)
			promoted[i].Roles = []string{"viewer"}
			require.NoError(t, server.SaveTokens(path, promoted))
		}
	}
	who, err = verify.Verify(t.Context(), secrets["otto"], "192.0.2.1:1")
	require.NoError(t, err)
	require.Equal(t, []string{"viewer"}, who.Roles, "other roles count at once")
	require.NotContains(t, log.String(), "argon2id")
}

func TestWrongTokensAreThrottledByTheirAddress(t *testing.T) {
	secrets, tokens := roster()
	synctest.Test(t, func(t *testing.T) {
		_, verify, _ := openTokens(t, tokens)
		_, err := verify.Verify(t.Context(), secrets["vera"], "192.0.2.1:1")
		require.NoError(t, err)
		for range 10 {
			_, err = verify.Verify(t.Context(), wrong(t, "ada"), "192.0.2.1:2")
			require.Equal(t, http.StatusUnauthorized, status(err))
		}
		_, err = verify.Verify(t.Context(), wrong(t, "ada"), "192.0.2.1:3")
		require.Equal(t, http.StatusTooManyRequests, status(err), "the eleventh at once")
		_, err = verify.Verify(t.Context(), secrets["ada"], "192.0.2.1:3")
		require.Equal(t, http.StatusTooManyRequests, status(err), "not even the right one: it might be guessed")
		_, err = verify.Verify(t.Context(), secrets["vera"], "192.0.2.1:4")
		require.NoError(t, err, "who was let in before stays in")
		_, err = verify.Verify(t.Context(), secrets["ada"], "192.0.2.2:1")
		require.NoError(t, err, "another address")
		time.Sleep(6 * time.Second)
		_, err = verify.Verify(t.Context(), secrets["olga"], "192.0.2.1:3")
		require.NoError(t, err, "one more after a while")
	})
}

func TestOneSiteIsOneAddress(t *testing.T) {
	_, tokens := roster()
	synctest.Test(t, func(t *testing.T) {
		_, verify, _ := openTokens(t, tokens)
		for _, from := range []string{"[2001:db8:1:2:3::4]:5", "[2001:db8:1:2::ffff%eth0]:6"} {
			for range 5 {
				_, err := verify.Verify(t.Context(), "nonsense", from)
				require.Equal(t, http.StatusUnauthorized, status(err))
			}
		}
		_, err := verify.Verify(t.Context(), "nonsense", "[2001:db8:1:2:aaaa::]:7")
		require.Equal(t, http.StatusTooManyRequests, status(err))
		_, err = verify.Verify(t.Context(), "nonsense", "[2001:db8:1:3::]:7")
		require.Equal(t, http.StatusUnauthorized, status(err))
	})
}

func TestTheFirstToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serin.token")
	_, err := server.FirstToken(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	secret, err := os.ReadFile(path)
	require.NoError(t, err)

	verify, err := server.FirstToken(path)
	require.NoError(t, err, "the next start takes the same")
	who, err := verify.Verify(t.Context(), strings.TrimSpace(string(secret)), "127.0.0.1:1")
	require.NoError(t, err)
	require.Equal(t, server.Identity{Name: "local-admin", Roles: []string{"admin"}}, who)
	_, err = verify.Verify(t.Context(), strings.TrimSpace(string(secret))+"x", "127.0.0.1:1")
	require.Equal(t, http.StatusUnauthorized, status(err))

	require.NoError(t, os.Chmod(path, 0o640))
	_, err = server.FirstToken(path)
	require.ErrorContains(t, err, "others may read")
	require.NoError(t, os.Chmod(path, 0o600))
	for _, text := range []string{"", "hello", strings.Repeat("x", 5000)} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err = server.FirstToken(path)
		require.ErrorContains(t, err, "does not hold a token")
	}
	_, err = server.FirstToken(filepath.Join(t.TempDir(), "no", "folder"))
	require.Error(t, err)
	_, err = server.OpenTokens(filepath.Join(t.TempDir(), "none.yaml"), quiet())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestNobodyIsCalledAsSerinItself(t *testing.T) {
	for _, name := range []string{"serin", "judge", "gateway", "webhook"} {
		_, _, err := server.NewToken(name, []string{"viewer"})
		require.Error(t, err, name)
	}
}

func TestHeadersWithoutAToken(t *testing.T) {
	d := newDaemon(t)
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "serin.vera.x", "Bearer nonsense"} {
		r := d.request("", http.MethodGet, "/api/v1/me", "")
		r.Header.Set("Authorization", header)
		require.Equal(t, http.StatusUnauthorized, d.do(r).status, header)
	}
	r := d.request("", http.MethodGet, "/api/v1/me", "")
	r.Header.Set("Authorization", "bearer  "+d.secrets["vera"])
	require.Equal(t, http.StatusOK, d.do(r).status, "the scheme's case does not matter")
	require.NotContains(t, d.logged(), d.secrets["vera"])
}
