package main

import (
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/client"
)

// asSerin is an environment variable that turns this program into serin itself, so that a test can run it in a terminal.
const asSerin = "SERIN_TEST_IS_SERIN"

func TestMain(m *testing.M) {
	if os.Getenv(asSerin) != "" {
		os.Args[0] = os.Getenv(asSerin)
		main()
		return
	}
	os.Exit(m.Run())
}

// seat is a person at a real terminal with serin running in it.
type seat struct {
	t   *testing.T
	pty *os.File
	cmd *exec.Cmd

	mu   sync.Mutex // guards what follows
	em   *vt.Emulator
	raw  []byte
	done chan error
}

// sit runs serin in a terminal of a given size.
func sit(t *testing.T, width, height int, env []string, args ...string) *seat {
	t.Helper()
	pty, tty := terminal(t)
	s := &seat{t: t, pty: pty, em: newEmulator(width, height), done: make(chan error, 1)}
	require.NoError(t, unix.IoctlSetWinsize(int(pty.Fd()), unix.TIOCSWINSZ, size(width, height))) //nolint:gosec // a descriptor fits
	s.cmd = exec.CommandContext(t.Context(), os.Args[0], args...)                                 //nolint:gosec // it is this program
	s.cmd.Env = append([]string{asSerin + "=serin", "TERM=xterm-256color", "HOME=" + t.TempDir()}, env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, s.cmd.Start())
	require.NoError(t, tty.Close())
	go func() { s.done <- s.cmd.Wait() }()
	go s.answers()
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 64<<10)
		for {
			n, err := pty.Read(b)
			s.mu.Lock()
			s.raw = append(s.raw, b[:n]...)
			_, _ = s.em.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-read
		_ = s.em.Close()
	})
	return s
}

// newEmulator is a terminal that ignores a scroll region which is larger than its screen, as a program sets that has not heard
// of a smaller size yet. vt would panic when it scrolls there.
func newEmulator(width, height int) *vt.Emulator {
	em := vt.NewEmulator(width, height)
	em.RegisterCsiHandler('r', func(p ansi.Params) bool {
		bottom, _, _ := p.Param(1, 0)
		return bottom > em.Height()
	})
	return em
}

func TestATerminalThatHasBecomeSmallerTakesWhatWasWrittenForTheOldSize(t *testing.T) {
	em := newEmulator(120, 40)
	em.Resize(40, 14)
	_, err := em.WriteString("\x1b[5;26r\x1b[2T\x1b[5;1H\x1b[2Lold\x1b[5;10r\x1b[2Tnew")
	require.NoError(t, err)
	require.Contains(t, em.String(), "new")
}

func size(width, height int) *unix.Winsize {
	return &unix.Winsize{Row: uint16(height), Col: uint16(width)} //nolint:gosec // small
}

// answers passes the terminal's answers to the program's queries.
func (s *seat) answers() {
	b := make([]byte, 1024)
	for {
		n, err := s.em.Read(b)
		if err != nil {
			return
		}
		_, _ = s.pty.Write(b[:n])
	}
}

func (s *seat) sees() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.em.String()
}

func (s *seat) shows(want ...string) {
	s.t.Helper()
	for _, w := range want {
		await.True(s.t, func() bool { return strings.Contains(s.sees(), w) }, "%q is missing in:\n%s", w, s.sees)
	}
}

func (s *seat) types(text string) {
	s.t.Helper()
	_, err := s.pty.WriteString(text)
	require.NoError(s.t, err)
}

func (s *seat) resize(width, height int) {
	s.mu.Lock()
	s.em.Resize(width, height)
	s.mu.Unlock()
	require.NoError(s.t, unix.IoctlSetWinsize(int(s.pty.Fd()), unix.TIOCSWINSZ, size(width, height))) //nolint:gosec // a descriptor fits
}

// leaves waits for the program to end and returns all its output.
func (s *seat) leaves() string {
	s.t.Helper()
	require.NoError(s.t, await.Receive(s.t, s.done, "it does not end: %s", s.sees), s.sees())
	var raw string
	await.True(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		raw = string(s.raw)
		return strings.Contains(raw, "\x1b[?1049l")
	})
	return raw
}

// wire stands between a command and a daemon, and can be cut.
type wire struct {
	t       *testing.T
	address string
	to      http.Handler
	server  *http.Server
}

func newWire(t *testing.T, to string) *wire {
	u, err := url.Parse(to)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(u) //nolint:staticcheck // in a test
	proxy.FlushInterval = -1
	w := &wire{t: t, address: "127.0.0.1:0", to: proxy}
	w.mend()
	t.Cleanup(w.cut)
	return w
}

func (w *wire) mend() {
	l, err := new(net.ListenConfig).Listen(w.t.Context(), "tcp", w.address)
	require.NoError(w.t, err)
	w.address = l.Addr().String()
	w.server = &http.Server{Handler: w.to, ReadHeaderTimeout: time.Minute}
	go func(s *http.Server) {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			w.t.Error(err)
		}
	}(w.server)
}

func (w *wire) cut() { _ = w.server.Close() }

// TestTheScreenAtARealTerminal takes a release from its first gate to its end, while the terminal changes its size and the
// connection breaks.
func TestTheScreenAtARealTerminal(t *testing.T) {
	t.Parallel()
	h, operator := quietHouse(t)
	require.True(t, h.starts(t, "shop", operator))
	w := newWire(t, h.url)
	s := sit(t, 100, 30, []string{"SERIN_SERVER=http://" + w.address, "SERIN_TOKEN=" + operator}, "watch")
	s.shows("serin watch", "Waiting for a person (1)", "› ! shop", "live")
	s.types("\r")
	s.shows("[a] Approve", "○ full-release, gate", "started by otto", "p pause")
	s.types("a")
	s.shows("Why (others will read it)", "Enter does it")
	s.types("schön \x1b[200~and tested\x1b[201~\r")
	s.shows("gate tested is approved", "✓ tested, gate", "gate tested approved by otto: schön and tested")

	s.resize(40, 14)
	s.shows("serin watch  shop", "q quit")
	s.shows("Shall everybody get the new version?")
	w.cut()
	s.shows("no connection", "No connection to the daemon for")
	require.NotContains(t, s.sees(), "p pause")
	w.mend()
	s.shows("live", "p pause")

	s.types("p")
	s.shows("Pause the release?")
	s.types("\r")
	s.shows("Paused by otto", "shop: paused") // keys do nothing before the answer has come
	s.resize(120, 40)
	s.types("p")
	s.shows("Timers continue from where they stopped.")
	s.types("\r")
	s.shows("shop: resumed", "[x] Reject", "resumed by otto", "p pause") // a question is dropped when its subject changes
	c, err := client.New(h.url, operator, nil)
	require.NoError(t, err)
	now := func() record.View {
		v, err := c.Rollout(t.Context(), "shop")
		require.NoError(t, err)
		return v
	}
	require.Equal(t, "schön and tested", now().State.Answered["tested"].Reason)
	require.Nil(t, now().State.Pause)
	s.types("x")
	s.shows("Who may answer", "Enter does it")
	s.types("\x1b") // leaves it
	await.True(t, func() bool { return !strings.Contains(s.sees(), "Enter does it") }, "%s", s.sees)
	require.Equal(t, rollout.Active, now().State.Phase)
	s.types("x")
	s.shows("Enter does it")
	s.types("no\r")
	s.shows("gate full-release is rejected", "What happened", "ended: ")
	require.True(t, now().State.Ended())
	s.types("\x1b")
	s.shows("Enter opens")
	s.types("q")
	require.Contains(t, s.leaves(), "\x1b[?1049l", "the terminal is restored")
}

// TestAReleaseIsWatchedUntilItsEnd also watches as kubectl serin get -w does, and in lines.
func TestAReleaseIsWatchedUntilItsEnd(t *testing.T) {
	t.Parallel()
	h, operator := quietHouse(t)
	require.True(t, h.starts(t, "shop", operator))
	env := []string{"SERIN_SERVER=" + h.url, "SERIN_TOKEN=" + operator, "NO_COLOR=1"}
	c, err := client.New(h.url, operator, nil)
	require.NoError(t, err)
	v, err := c.Rollout(t.Context(), "shop")
	require.NoError(t, err)
	one := sit(t, 100, 30, env, "status", "shop", "-w")
	until := sit(t, 100, 30, env, "watch", v.Release.ID)
	lines := sit(t, 100, 30, env, "watch", "shop", "--lines")
	one.shows("Who may answer", "p pause")
	until.shows("Who may answer", "p pause")
	lines.shows("at a gate")
	require.NotContains(t, lines.sees(), "p pause")
	_, err = c.Act(t.Context(), v.Release.ID, server.Cancel, "enough")
	require.NoError(t, err)
	out := until.leaves()
	_, after, _ := strings.Cut(out, "\x1b[?1049l")
	require.Contains(t, after, "cancelled", "how it has ended stays on the terminal")
	one.shows("Cancelled (by otto): enough")
	lines.shows("cancelled")
	one.types("q")
	require.NotContains(t, one.leaves(), "\x1b[31m", "NO_COLOR")
	lines.types("\x03")
	require.NoError(t, <-lines.done)
}
