package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
		var refused [2]int
		answers := make(chan error)
		for range 60 { // at once: what is charged after the work is not charged in time
			go func() {
				_, err := verify.Verify(t.Context(), wrong(t, "ada"), "192.0.2.1:2")
				answers <- err
			}()
		}
		for range 60 {
			switch status(<-answers) {
			case http.StatusUnauthorized:
				refused[0]++
			case http.StatusTooManyRequests:
				refused[1]++
			}
		}
		require.Equal(t, [2]int{10, 50}, refused)
		for _, name := range []string{"ada", "vera", "otto"} {
			who, err := verify.Verify(t.Context(), secrets[name], "192.0.2.1:3")
			require.NoError(t, err, "the right one gets in, whatever others do from the same address")
			require.Equal(t, name, who.Name)
		}
		time.Sleep(6 * time.Second)
		_, err := verify.Verify(t.Context(), "nonsense", "192.0.2.1:3")
		require.Equal(t, http.StatusUnauthorized, status(err), "one more after a while")
		_, err = verify.Verify(t.Context(), "nonsense", "192.0.2.1:3")
		require.Equal(t, http.StatusTooManyRequests, status(err))
	})
}

func TestTokensOfAnEarlierReleaseAreTaken(t *testing.T) {
	secrets, tokens := roster()
	secret, old := server.OldToken(t, "gran", "operator")
	_, verify, log := openTokens(t, append([]server.Token{old}, tokens...))
	require.Contains(t, log.String(), "gran")
	for range 2 {
		who, err := verify.Verify(t.Context(), secret, "192.0.2.1:1")
		require.NoError(t, err)
		require.Equal(t, server.Identity{Name: "gran", Roles: []string{"operator"}}, who)
	}
	require.NotContains(t, log.String(), old.Hash)

	// A flood of wrong ones holds up neither others nor, once it has been here, this one.
	gone, leave := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for i := range 200 {
		flood.Go(func() {
			_, err := verify.Verify(gone, secret[:len(secret)-1]+"~", fmt.Sprintf("192.0.2.%d:1", i))
			require.Error(t, err)
		})
	}
	_, err := verify.Verify(t.Context(), secrets["ada"], "192.0.2.1:1")
	require.NoError(t, err)
	_, err = verify.Verify(t.Context(), secret, "192.0.2.1:1")
	require.NoError(t, err)
	leave()
	flood.Wait()

	for range 20 {
		_, err = verify.Verify(t.Context(), "nonsense", "192.0.2.250:1")
		require.Error(t, err)
	}
	again, verifyAgain, _ := openTokens(t, []server.Token{old})
	require.NotEmpty(t, again)
	for range 20 {
		_, err = verifyAgain.Verify(t.Context(), "nonsense", "192.0.2.250:1")
		require.Error(t, err)
	}
	_, err = verifyAgain.Verify(t.Context(), secret, "192.0.2.250:1")
	require.NoError(t, err, "who tries other names takes nothing from this one")
}

// A caller that gives up is no defect of the daemon's: nobody can ring an alert by it.
func TestACallerThatHasGoneIsNoFailureOfTheDaemon(t *testing.T) {
	secret, old := server.OldToken(t, "gran", "operator")
	_, verify, _ := openTokens(t, []server.Token{old})
	registry := prometheus.NewRegistry()
	api := server.New(server.Options{Tokens: verify, Log: quiet(), Registry: registry})
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 20 { // a choice between two channels that are ready is one by chance
		r := httptest.NewRequestWithContext(gone, http.MethodGet, "/api/v1/me", nil)
		r.Header.Set("Authorization", "Bearer "+secret[:len(secret)-1]+"~")
		api.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				require.False(t, l.GetName() == "code" && strings.HasPrefix(l.GetValue(), "5"), "%s", m)
			}
		}
	}
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
