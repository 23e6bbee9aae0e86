package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// daemonLog is the pipe to which the daemon logs.
//
// Armed, it kills the daemon at an exact place. The pipe is kept full, so that the daemon blocks in each write of a
// line until it is released; meanwhile the line is read from its memory. The daemon dies after the logged event has
// happened, and before anything follows from it.
type daemonLog struct {
	path string
	fd   int
	pid  func() int

	mu     sync.Mutex // guards what follows
	part   []byte
	lines  []string
	lethal func(line string) bool
	killed chan string
}

const (
	// logPipe is the smallest size of a pipe: one page.
	logPipe = 4096
	// logEvery is how often the pipe is checked.
	logEvery = time.Millisecond
)

func newDaemonLog(t *testing.T, path string, pid func() int) *daemonLog {
	t.Helper()
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0) // for both reading and writing, so that there is never an end of file
	require.NoError(t, err)
	_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), 1031 /* F_SETPIPE_SZ */, logPipe)
	require.Zero(t, errno)
	d := &daemonLog{path: path, fd: fd, pid: pid, killed: make(chan string, 1)}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		d.run(stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		require.NoError(t, syscall.Close(fd))
		if t.Failed() {
			t.Logf("the end of the daemon's log:\n%s", strings.Join(d.lines[max(0, len(d.lines)-80):], "\n"))
		}
	})
	return d
}

func (d *daemonLog) run(stop chan struct{}) {
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		d.mu.Lock()
		if d.lethal == nil {
			d.drain()
		} else {
			d.step()
		}
		d.mu.Unlock()
	}
}

// arm kills the daemon at the first line that lethal picks; nil disarms.
func (d *daemonLog) arm(lethal func(line string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drain()
	if d.lethal = lethal; lethal != nil {
		d.fill()
	}
}

// drain reads everything in the pipe.
func (d *daemonLog) drain() {
	buffer := make([]byte, logPipe)
	for {
		n, err := syscall.Read(d.fd, buffer)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		d.take(buffer[:n])
	}
}

// take splits what was read into lines.
func (d *daemonLog) take(text []byte) {
	d.part = append(d.part, text...)
	for {
		line, rest, found := bytes.Cut(d.part, []byte{'\n'})
		if !found {
			return
		}
		if d.part = rest; len(line) > 0 {
			d.lines = append(d.lines, string(line))
		}
	}
}

// fill fills the pipe with empty lines, which its readers ignore.
func (d *daemonLog) fill() {
	for size := logPipe; size > 0; size /= 2 {
		_, _ = syscall.Write(d.fd, bytes.Repeat([]byte{'\n'}, size)) // it fails once the pipe is full, as it should
	}
}

// step looks at the line that the daemon is blocked on, if any, and kills the daemon or lets it continue.
func (d *daemonLog) step() {
	pid := d.pid()
	line, found := standsAt(pid)
	if !found {
		return
	}
	if d.lethal(line) {
		d.die(pid, line)
		return
	}
	from := len(d.lines)
	buffer := make([]byte, logPipe)
	for end := time.Now().Add(time.Second); len(d.lines) == from && time.Now().Before(end); {
		if n, err := syscall.Read(d.fd, buffer); err == nil && n > 0 {
			d.take(buffer[:n])
		}
	}
	d.fill() // as soon as the line is out, before another one gets in
	for _, other := range d.lines[from:] {
		if other != line && d.lethal(other) { // two threads logged at once and this line got through: the kill is a moment late
			d.die(pid, other)
			return
		}
	}
}

func (d *daemonLog) die(pid int, line string) {
	_ = syscall.Kill(-pid, syscall.SIGKILL) // it may be gone already
	d.lethal = nil
	d.lines = append(d.lines, "killed at "+line)
	d.killed <- line
}

// standsAt returns the line that a process is blocked on writing to its standard error.
func standsAt(pid int) (string, bool) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil {
		return "", false
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task) //nolint:gosec // our own child
		fields := strings.Fields(string(text))
		if err != nil || len(fields) < 4 || fields[0] != strconv.Itoa(syscall.SYS_WRITE) || fields[1] != "0x2" {
			continue
		}
		at, err1 := strconv.ParseInt(fields[2], 0, 64)
		size, err2 := strconv.ParseInt(fields[3], 0, 32)
		if err1 != nil || err2 != nil || size > 1<<16 {
			continue
		}
		if line, err := memory(pid, at, size); err == nil {
			return strings.TrimSuffix(line, "\n"), true
		}
	}
	return "", false
}

func memory(pid int, at, size int64) (string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	out := make([]byte, size)
	_, err = f.ReadAt(out, at)
	return string(out), err
}
