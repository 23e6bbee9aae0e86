// Package testbed starts the real servers that Serin works with, on free loopback ports: Traefik, Prometheus,
// PostgreSQL, a small application server whose behaviour can be changed, and a load on it.
//
// It is for tests, the end-to-end suite and the demo, and never part of the product. It starts servers, waits until
// they are ready, and stops, kills and restarts them; what to do with them is up to the caller.
//
// Every server can be started in two ways: by StartX(ctx, config) in programs, which end it with Close, and by NewX(tb,
// config) in tests, which ends it with the test and shows the end of its log if the test failed. Start reading at
// [Process].
package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// module is the first line of our own go.mod, by which the repository is found from any working directory in it.
const module = "module github.com/serindev/serin"

// Loopback ports are taken below Linux's default range for outgoing connections (32768 and above): a port in that
// range may be taken by a connection of the load between choosing it and listening on it.
const firstPort, lastPort = 18000, 32000

// ports are those that this process has been given, by number. Each has a file that stays locked until the process
// ends, because another test binary may look for a port while a server of this one is down.
var ports struct {
	mu   sync.Mutex // guards used
	used map[int]*os.File
}

// FreePort returns a loopback port that nothing listens on and that no other test process has been given.
func FreePort() (int, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.used == nil {
		ports.used = map[int]*os.File{}
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("serin-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("find a free loopback port: %w", err)
	}
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // the number protects nothing
		if ports.used[port] != nil {
			continue
		}
		claim, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // a number in our own folder
		if err != nil {
			return 0, fmt.Errorf("find a free loopback port: %w", err)
		}
		if !claimed(claim, port) {
			_ = claim.Close() // nothing was written
			continue
		}
		ports.used[port] = claim
		return port, nil
	}
	return 0, errors.New("find a free loopback port: none after 1000 tries")
}

// claimed tries to claim a port for this process, and reports whether it could.
func claimed(file *os.File, port int) bool {
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	// A child started between Listen and Close would have a copy of the listener until it runs its program.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", loopback(port)) //nolint:noctx // listens only to see whether it can
	return err == nil && l.Close() == nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Root returns the folder of Serin's go.mod, looked for from the working directory upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // our own tree
		if err == nil && strings.HasPrefix(string(data), module+"\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: no go.mod of Serin above the working directory")
		}
		dir = parent
	}
}

// Serin builds the program into a folder as it is shipped, however the test is built, and returns its path.
func Serin(folder string) (string, error) { return Program(folder, "cmd/serin") }

// Program builds a program of this repository into a folder, named after the folder of its source, and returns its path.
// What it is built from counts as read: see [Reads]. A process asks go only once whether a program is up to date.
func Program(folder, source string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, filepath.Base(source))
	programs.Lock()
	defer programs.Unlock()
	if err := build(root, source, path); err != nil {
		return "", fmt.Errorf("build %s: %w", source, err)
	}
	if programs.built[source] {
		return path, nil
	}
	const files = "{{$dir := .Dir}}{{$dir}}{{range .EmbedFiles}}\n{{$dir}}/{{.}}{{end}}"
	sources, err := goTool(root, "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}"+files+"{{end}}{{end}}", "./"+source)
	if err != nil {
		return "", err
	}
	for source := range strings.Lines(sources) {
		if err := read(strings.TrimSuffix(source, "\n")); err != nil {
			return "", fmt.Errorf("build %s: %w", path, err)
		}
	}
	programs.built[source] = true
	return path, nil
}

// programs are those that this process has built, by the folder of their source.
var programs = struct {
	sync.Mutex // guards built
	built      map[string]bool
}{built: map[string]bool{}}

// build builds a program in a folder that all test binaries share, so that go links it only if something has changed,
// and copies it to path. One binary builds at a time. The caller has locked programs.
func build(root, source, path string) error {
	dir := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // of this repository
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // it frees the lock, and nothing was written
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	built := filepath.Join(dir, filepath.Base(source))
	if !programs.built[source] {
		if _, err := goTool(root, "build", "-buildvcs=false", "-ldflags=-s -w", "-o", built, "./"+source); err != nil {
			return err
		}
	}
	// A separate process copies it: a child that is started at the same moment could inherit a file that this process
	// has open for writing, and a program that is open for writing cannot be run.
	if said, err := exec.Command("cp", built, path).CombinedOutput(); err != nil { //nolint:gosec,noctx // paths of ours, and it is over soon
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

// goTool runs go in the repository, with the settings of the shipped program, and returns what it prints.
func goTool(root string, args ...string) (string, error) {
	cmd := exec.Command("go", args...) //nolint:gosec,noctx // it ends with the test
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, wrong.String())
	}
	return string(out), nil
}

// Reads declares that programs started by a test read these files and folders of the repository, with all that is in
// them. Go caches a test's result for as long as what the test itself has opened stays the same. It does not see what
// other programs open, and would reuse a result after those files have changed.
func Reads(paths ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	for _, path := range paths {
		err := filepath.WalkDir(filepath.Join(root, path), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			return read(path)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read opens a file, or a folder with what it lists.
func read(path string) error {
	f, err := os.Open(path) //nolint:gosec // of the repository
	if err != nil {
		return err
	}
	return f.Close()
}

// Tool returns the path of a server's binary. SERIN_TOOLS, if set, names the only folder to look in; otherwise the
// pinned binary in the repository's .toolchain/bin comes first, then PATH.
func Tool(name string) (string, error) {
	if dir := os.Getenv("SERIN_TOOLS"); dir != "" {
		return executable(filepath.Join(dir, name))
	}
	if root, err := Root(); err == nil {
		if path, err := executable(filepath.Join(root, ".toolchain", "bin", name)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither in .toolchain/bin nor in PATH: run `make tools`", name)
	}
	return path, nil
}

func executable(path string) (string, error) {
	info, err := os.Stat(path) //nolint:gosec // set by the person who runs the tests
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: run `make tools`", err)
	case info.IsDir() || info.Mode()&0o111 == 0:
		return "", fmt.Errorf("%s is not a program: run `make tools`", path)
	}
	return path, nil
}
