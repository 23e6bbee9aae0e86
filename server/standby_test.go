package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
)

// at is a leader that is at a host, or nobody for an empty one.
func at(host string) server.Leader {
	return func() (string, bool) { return host, host != "" }
}

// peerKey is shared by the daemons, and proxies are those that they trust.
var (
	peerKey = []byte(strings.Repeat("k", 32))
	proxies = server.Proxies{netip.MustParsePrefix("127.0.0.5/32")}
)

// standby is a daemon that stands by for d, on another address of this machine and the same port.
func (d *daemon) standby(leader server.Leader) *daemon {
	d.t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(d.url, "http://"))
	require.NoError(d.t, err)
	log := slog.New(slog.DiscardHandler)
	c := server.ListenConfig{Address: net.JoinHostPort("127.0.0.2", port), PeerKey: peerKey}
	elsewhere, err := server.NewForwarder(leader, c, log)
	require.NoError(d.t, err)
	tokens, err := server.OpenTokens(d.tokens, log)
	require.NoError(d.t, err)
	l, err := server.Listen(d.t.Context(), c)
	require.NoError(d.t, err)
	s := server.New(server.Options{Elsewhere: elsewhere, Tokens: tokens, Log: log, Registry: prometheus.NewRegistry(), PeerKey: peerKey, Proxies: proxies})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	d.t.Cleanup(func() {
		cancel()
		require.NoError(d.t, <-done)
	})
	other := *d
	other.url = "http://" + l.Addr().String()
	return &other
}

func TestTheLeaderAnswersRequestsToAStandby(t *testing.T) {
	d := newDaemon(t)
	s := d.standby(at("127.0.0.1"))
	a := s.post("otto", "/rollouts/shop/releases", `{}`)
	require.Equal(t, http.StatusCreated, a.status, a.body)
	id := as[record.Release](t, a).ID
	d.until(id, func(v record.View) bool { return v.Gate == "start" })
	require.Equal(t, http.StatusForbidden, s.post("vera", "/releases/"+id+"/rollback", `{}`).status)
	require.Equal(t, http.StatusUnauthorized, s.get("", "/releases/"+id).status)
	require.Len(t, a.header.Values("X-Request-Id"), 1, "headers are the leader's, once")
	require.Len(t, a.header.Values("Content-Security-Policy"), 1)

	audit := as[[]record.AuditEntry](t, s.get("vera", "/audit?rollout=shop"))
	require.Regexp(t, `^127\.0\.0\.1:\d+ for 127\.0\.0\.1$`, audit[1].From, "who asked, and through whom")

	r := s.request("vera", http.MethodGet, "/api/v1/releases/"+id+"/events/stream", "")
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	require.NoError(t, err)
	require.NotEmpty(t, line, "events come as they happen")
}

func TestADaemonThatStandsByHasItsOwnHealthAndMetrics(t *testing.T) {
	d := newDaemon(t)
	for name, leader := range map[string]string{"while another leads": "127.0.0.1", "while nobody leads": ""} {
		t.Run(name, func(t *testing.T) {
			d := *d
			d.t = t
			s := d.standby(at(leader))
			for _, path := range []string{"/healthz", "/readyz"} {
				require.Equal(t, http.StatusOK, s.do(s.request("", http.MethodGet, path, "")).status, path)
			}
			require.NotContains(t, s.do(s.request("", http.MethodGet, "/metrics", "")).body, "serin_looks", "these are not the leader's")
		})
	}
}

func TestNobodyLeads(t *testing.T) {
	d := newDaemon(t)
	for name, leader := range map[string]string{"none is known": "", "the one that did is dead": "127.0.0.9", "it takes itself for the one": "127.0.0.2"} {
		t.Run(name, func(t *testing.T) {
			d := *d
			d.t = t
			a := d.standby(at(leader)).get("vera", "/rollouts")
			require.Equal(t, http.StatusServiceUnavailable, a.status)
			require.Equal(t, "3", a.header.Get("Retry-After"))
			require.Contains(t, as[server.Problem](t, a).Detail, "stands by")
		})
	}
}

func TestFailuresToSignInAreCountedByWhoConnects(t *testing.T) {
	d := newDaemon(t)
	last := 0
	for n := range 50 {
		r := d.request("", http.MethodGet, "/api/v1/rollouts", "")
		r.Header.Set("Authorization", "Bearer serin_wrong")
		r.Header.Set("Serin-Forwarded", "1")
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("2001:db8:%x::1", n))
		if last = d.do(r).status; last == http.StatusTooManyRequests {
			return
		}
	}
	require.Equal(t, http.StatusTooManyRequests, last, "a caller cannot choose by what it is counted")
}

func TestDaemonsTrustTheCertificateThatTheyShare(t *testing.T) {
	dir := t.TempDir()
	paths := func(name string) server.ListenConfig {
		return server.ListenConfig{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	}
	for _, name := range []string{"ours", "theirs"} {
		c := paths(name)
		certificate(t, c.Cert, c.Key, "serin.example.com")
	}
	c := paths("ours")
	c.Address = "127.0.0.1:0"
	l, err := server.Listen(t.Context(), c)
	require.NoError(t, err)
	leader := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })} //nolint:gosec // of this test
	go func() { _ = leader.Serve(l) }()
	t.Cleanup(func() { _ = leader.Close() })
	for name, status := range map[string]int{"ours": http.StatusOK, "theirs": http.StatusServiceUnavailable} {
		own := paths(name)
		own.Address = l.Addr().String()
		f, err := server.NewForwarder(at("127.0.0.1"), own, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://serin.example.com/", nil))
		require.Equal(t, status, w.Code, name)
		if status == http.StatusOK {
			require.Equal(t, "serin.example.com", w.Body.String(), "the host is the caller's")
		}
	}
}

// slow is a caller that reads now and then: it keeps the bounds under which each write was made.
type slow struct {
	*httptest.ResponseRecorder
	deadline time.Time
	bounds   []time.Time
	reading  bool // the bound of its own request was taken away
}

func (s *slow) SetWriteDeadline(at time.Time) error {
	s.deadline = at
	return nil
}

func (s *slow) SetReadDeadline(at time.Time) error {
	s.reading = s.reading || at.IsZero()
	return nil
}

func (s *slow) Write(b []byte) (int, error) {
	s.bounds = append(s.bounds, s.deadline)
	return s.ResponseRecorder.Write(b)
}

func (s *slow) FlushError() error {
	s.bounds = append(s.bounds, s.deadline)
	return nil
}

func TestACallerThatDoesNotReadDoesNotBlockForever(t *testing.T) {
	answer := strings.Repeat("serin ", 100_000)
	leader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
	defer leader.Close()
	f, err := server.NewForwarder(at("127.0.0.1"), server.ListenConfig{Address: leader.Listener.Addr().String()}, quiet())
	require.NoError(t, err)
	caller := &slow{ResponseRecorder: httptest.NewRecorder()}
	f.ServeHTTP(caller, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	require.Equal(t, answer, caller.Body.String())
	require.NotEmpty(t, caller.bounds)
	for _, bound := range caller.bounds {
		require.False(t, bound.IsZero(), "each write has an end")
	}
	require.False(t, caller.deadline.IsZero(), "what net/http writes afterwards, too")
	require.False(t, caller.reading, "nor is its body waited for forever")
}

func TestConnectionsAreRelayedByteForByte(t *testing.T) {
	echo, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	t.Cleanup(func() { _ = echo.Close() })
	_, port, err := net.SplitHostPort(echo.Addr().String())
	require.NoError(t, err)

	for leader, want := range map[string]string{"127.0.0.1": "hello", "": "", "127.0.0.9": ""} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.2", port))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- server.Relay(ctx, l, at(leader), slog.New(slog.DiscardHandler)) }()
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
		require.NoError(t, err)
		_, _ = io.WriteString(conn, "hello") // one that is closed at once takes nothing
		_ = conn.(*net.TCPConn).CloseWrite() // as above
		got, _ := io.ReadAll(conn)           //nolint:errcheck // a reset is as good as an end
		require.Equal(t, want, string(got), leader)
		_ = conn.Close()

		open, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
		require.NoError(t, err)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled, "connections that are open end with it")
		_ = open.Close()
	}
}

// short is a listener of a process that has no file descriptors left when it is first asked.
type short struct {
	net.Listener
	asked bool
}

func (s *short) Accept() (net.Conn, error) {
	if !s.asked {
		s.asked = true
		return nil, syscall.EMFILE
	}
	return s.Listener.Accept()
}

func TestAConnectionThatTheLeaderEndsIsOver(t *testing.T) {
	leader, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = leader.Close() })
	_, port, err := net.SplitHostPort(leader.Addr().String())
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.2", port))
	require.NoError(t, err)
	go func() { _ = server.Relay(t.Context(), &short{Listener: l}, at("127.0.0.1"), quiet()) }()

	caller, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = caller.Close() })
	conn, err := leader.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "408")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(await.Patience)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "although the caller says nothing, and does not go")
	last, err := io.ReadAll(caller)
	require.NoError(t, err)
	require.Equal(t, "408", string(last))
}

// Forwarding headers are trusted only from configured proxies, also through a daemon that stands by.
func TestOnlyConfiguredProxiesAreTrusted(t *testing.T) {
	pages := func(o *server.Options) {
		o.Pages = func(*server.Server) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, server.Secure(r)) })
		}
	}
	d := newDaemon(t, pages)
	s := d.standby(at("127.0.0.1"))
	asked := func(d *daemon, from string, header map[string]string) (page, audited string) {
		client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext, DisableKeepAlives: true}}
		answer := ""
		for _, r := range []*http.Request{d.request("", http.MethodGet, "/", ""), d.request("otto", http.MethodPost, "/api/v1/releases/none/rollback", "")} {
			for name, value := range header {
				r.Header.Set(name, value)
			}
			resp, err := client.Do(r)
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			if r.Method == http.MethodGet {
				answer = string(b)
			}
		}
		return answer, as[[]record.AuditEntry](t, d.get("vera", "/audit?limit=1"))[0].From
	}
	said := map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.66, 203.0.113.9%25zone, 203.0.113.9"}
	forged := map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "fe80::1%<script>", "Serin-Forwarded": "1"}

	page, audited := asked(d, "127.0.0.5", said)
	require.Equal(t, "true", page)
	require.Regexp(t, `^127\.0\.0\.5:\d+ for 203\.0\.113\.9$`, audited)
	page, audited = asked(s, "127.0.0.5", said)
	require.Equal(t, "true", page, "the leader sees what the proxy in front of the other daemon said")
	require.Regexp(t, `^127\.0\.0\.1:\d+ for 203\.0\.113\.9$`, audited)

	for _, header := range []map[string]string{said, forged} {
		page, audited = asked(d, "127.0.0.6", header)
		require.Equal(t, "false", page)
		require.Regexp(t, `^127\.0\.0\.6:\d+$`, audited)
	}
	page, audited = asked(s, "127.0.0.6", said)
	require.Equal(t, "false", page)
	require.Regexp(t, `^127\.0\.0\.1:\d+ for 127\.0\.0\.6$`, audited)
}
