package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal: output written to tty can be read from screen.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd()) //nolint:gosec // a descriptor fits
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}))
	return screen, tty
}

// TestATerminalGetsColours also checks that nothing else does: a pipe and NO_COLOR get plain text.
func TestATerminalGetsColours(t *testing.T) {
	t.Parallel()
	h, operator := quietHouse(t)
	env := map[string]string{"SERIN_SERVER": h.url, "SERIN_TOKEN": operator, "TERM": "xterm"}
	run := func(out io.Writer, args ...string) {
		t.Helper()
		a := &app{stdout: out, stderr: t.Output(), getenv: func(name string) string { return env[name] }}
		require.Equal(t, exitOK, a.run(t.Context(), args), args)
	}
	shown := func(args ...string) string {
		t.Helper()
		screen, tty := terminal(t)
		all := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(screen) // once the other end is closed, reading ends with an error
			all <- b
		}()
		run(tty, args...)
		require.NoError(t, tty.Close())
		return string(<-all)
	}
	var pipe bytes.Buffer
	run(&pipe, "start", "shop")
	run(&pipe, "status", "shop")
	require.NotContains(t, pipe.String(), "\x1b")
	require.Contains(t, shown("status"), "\x1b[1mshop\x1b[0m")
	require.Contains(t, shown("status", "shop"), "\x1b[1mshop\x1b[0m")

	env["NO_COLOR"] = "1"
	require.NotContains(t, shown("status"), "\x1b[1m")
}
