package testbed

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout bounds a start whose context has no deadline; a cold machine with two cores needs a few seconds, a busy
	// one more.
	startTimeout = 5 * time.Minute
	// stopTimeout is how long a server may take to end after it was asked to, before it is killed.
	stopTimeout = 10 * time.Second
	// readyEvery is the pause between two readiness checks.
	readyEvery = 20 * time.Millisecond
	// tailBytes of a log are shown with an error: enough for a few dozen lines.
	tailBytes = 8 << 10
)

// Command says how a server is started.
type Command struct {
	// Name is used in messages and for the log file, NAME.log.
	Name string
	Path string
	Args []string
	// Env is added to this process's environment.
	Env []string
	// Single makes a Go program run its code on one processor at a time. A server that is not under test and has little
	// to do needs a fifth less processor time then: its threads do not wake each other up to look for work.
	Single bool
	// Urgent: it is scheduled before other programs, where we may ask for that.
	Urgent bool
	// Dir holds the log and is the working directory. Empty: a new temporary folder, removed by Close.
	Dir string
	// UID and GID run the server as another user, if both are set; that needs root.
	UID, GID uint32
	// StopSignal asks it to end; 0: SIGTERM.
	StopSignal syscall.Signal
	// Ready returns nil once the server can be used; nil: it is ready as soon as it runs.
	Ready func(ctx context.Context) error
	// Retries is how often it is started again, as a supervisor would, if it ends before it is ready.
	Retries int
}

// Process is a server that is running or has run. Ending it ends all its descendants, by their process ids; if we die
// first, the kernel ends it. Its methods may be called from several goroutines.
type Process struct {
	command Command
	ownDir  bool

	mu  sync.Mutex // guards run
	run *run
}

// run is one life of a process. State may be read once done is closed.
type run struct {
	pid   int
	done  chan struct{}
	state *os.ProcessState
}

// Start starts the command and returns when it is ready. ctx bounds the start, not the life. On an error nothing is
// left running, and the error shows the end of the log.
func Start(ctx context.Context, c Command) (*Process, error) {
	p := &Process{command: c}
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "serin-"+c.Name+"-")
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", c.Name, err)
		}
		p.command.Dir, p.ownDir = dir, true
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// start starts a new life; the caller makes sure that the previous one has ended.
func (p *Process) start(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTimeout)
		defer cancel()
	}
	for tried := 0; ; tried++ {
		r, err := p.spawn()
		if err != nil {
			return fmt.Errorf("start %s: %w", p.command.Name, err)
		}
		p.mu.Lock()
		p.run = r
		p.mu.Unlock()
		err = p.awaitReady(ctx, r)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errEnded) || tried == p.command.Retries {
			return errors.Join(fmt.Errorf("start %s: %w\n%s", p.command.Name, err, p.LogTail()), p.Kill())
		}
	}
}

// spawn runs the command on a thread that lives as long as the child: the kernel sends the parent-death signal when
// the thread that started the child ends, not when the process does.
func (p *Process) spawn() (*run, error) {
	c := p.command
	log, err := os.OpenFile(p.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(c.Path, c.Args...) //nolint:gosec,noctx // the caller's command; its life is not a context's
	if c.Urgent {
		cmd = exec.Command("nice", append([]string{"-n", "-10", c.Path}, c.Args...)...) //nolint:gosec,noctx // likewise
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, log, log
	cmd.Env = append(os.Environ(), c.Env...)
	if c.Single {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.UID != 0 && c.GID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.UID, Gid: c.GID}
	}
	r := &run{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close() //nolint:errcheck // nothing of ours is written to it
		err := cmd.Start()
		if err == nil {
			r.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		cmd.Wait() //nolint:errcheck,gosec // how it ended is in ProcessState
		r.state = cmd.ProcessState
		close(r.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return r, nil
}

var errEnded = errors.New("it ended before it was ready")

func (p *Process) awaitReady(ctx context.Context, r *run) error {
	if p.command.Ready == nil {
		return nil
	}
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		err := p.command.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-r.done:
			return fmt.Errorf("%w: %s", errEnded, r.state)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}

func (p *Process) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// Signal sends a signal to the process, not to its group. After SIGSTOP the server is there but does not answer.
func (p *Process) Signal(sig syscall.Signal) error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("signal %s: it is not running", p.command.Name)
	}
	select {
	case <-r.done:
		return fmt.Errorf("signal %s: it has ended: %s", p.command.Name, r.state)
	default:
	}
	if err := syscall.Kill(r.pid, sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.command.Name, err)
	}
	return nil
}

// SignalAll sends a signal to the process and to all its descendants: PostgreSQL answers through its children.
func (p *Process) SignalAll(sig syscall.Signal) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	for _, m := range family(p.PID()) {
		if err := syscall.Kill(m.pid, sig); err != nil && m.lives() {
			return fmt.Errorf("signal a child of %s: %w", p.command.Name, err)
		}
	}
	return nil
}

// Stop asks the process to end, kills it if it does not, and returns when it is gone. Its folder stays. Stopping a
// process that is not running is not an error.
func (p *Process) Stop() error { return p.end(cmp.Or(p.command.StopSignal, syscall.SIGTERM)) }

// Kill ends the process and its group at once, and returns when it is gone.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

func (p *Process) end(sig syscall.Signal) error {
	r := p.current()
	if r == nil {
		return nil
	}
	select {
	case <-r.done:
		return nil
	default:
	}
	children := family(r.pid)
	if err := p.endLeader(r, sig); err != nil {
		return err
	}
	if err := bury(children); err != nil {
		return fmt.Errorf("end %s: %w", p.command.Name, err)
	}
	return nil
}

func (p *Process) endLeader(r *run, sig syscall.Signal) error {
	if err := signalGroup(r.pid, sig); err != nil {
		return fmt.Errorf("end %s: %w", p.command.Name, err)
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-r.done:
		return nil
	case <-timer.C:
	}
	if err := signalGroup(r.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.command.Name, err)
	}
	<-r.done
	return nil
}

// signalGroup signals a group whose leader we have not reaped, or have only just reaped: it is no error if the group is
// gone.
func signalGroup(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(-pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	if sig != syscall.SIGKILL { // a stopped process handles a signal only once it continues
		if err := syscall.Kill(-pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// Restart stops the process if it runs, starts it again with the same ports and folder, and returns when it is
// ready. ctx bounds the start.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.Stop(); err != nil {
		return err
	}
	return p.start(ctx)
}

// Close stops the process as Stop does, and removes its folder if that is a temporary one.
func (p *Process) Close() error {
	err := p.Stop()
	if p.ownDir {
		err = errors.Join(err, os.RemoveAll(p.command.Dir))
	}
	return err
}

// Done is closed when the current life of the process has ended.
func (p *Process) Done() <-chan struct{} { return p.current().done }

// ExitCode waits for the end of the process and returns its exit code, -1 if a signal ended it.
func (p *Process) ExitCode(ctx context.Context) (int, error) {
	r := p.current()
	select {
	case <-r.done:
		return r.state.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for %s: %w", p.command.Name, ctx.Err())
	}
}

// PID is the process id of the current life, which may have ended.
func (p *Process) PID() int { return p.current().pid }

// Dir is the working directory, with the log.
func (p *Process) Dir() string { return p.command.Dir }

// LogPath is the file with everything that the process wrote to stdout and stderr, over all its lives.
func (p *Process) LogPath() string { return filepath.Join(p.command.Dir, p.command.Name+".log") }

// LogTail is the end of the log, for messages; empty if it cannot be read.
func (p *Process) LogTail() string {
	f, err := os.Open(p.LogPath())
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	if end, err := f.Seek(0, io.SeekEnd); err != nil || end < tailBytes {
		_, err = f.Seek(0, io.SeekStart)
		if err != nil {
			return ""
		}
	} else if _, err := f.Seek(end-tailBytes, io.SeekStart); err != nil {
		return ""
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	if _, rest, ok := bytes.Cut(data, []byte("\n")); ok && len(data) == tailBytes {
		data = rest // the first line is incomplete
	}
	return string(data)
}

// httpReady is ready once url answers 200.
func httpReady(url string) func(context.Context) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // only the status matters
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	}
}
