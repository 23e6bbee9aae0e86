package testcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

const (
	// inside is set in the environment of a test binary that runs in a network namespace of its own.
	inside = "SERIN_TEST_NETWORK"
	// podCIDR is where pods get their addresses, all of them local to that network namespace.
	podCIDR = "10.77.0.0/16"
)

// Main is the TestMain of a package that tests with a cluster. It runs the tests in a network namespace of their
// own, in which the addresses of pods are local, and ends the cluster after them. As another user than root it needs
// user namespaces.
func Main(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(inside) == "" {
		code, err := reenter()
		if err != nil {
			fmt.Fprintf(os.Stderr, "run the tests in a network namespace of their own: %v\n", err)
			return 1
		}
		return code
	}
	if err := makeLocal(); err != nil {
		fmt.Fprintf(os.Stderr, "make the addresses of pods local: %v\n", err)
		return 1
	}
	code := m.Run()
	if err := closeShared(code != 0); err != nil {
		fmt.Fprintf(os.Stderr, "end the cluster: %v\n", err)
		return max(code, 1)
	}
	return code
}

// reenter runs this program again in a new network namespace and returns its exit code.
func reenter() (int, error) {
	runtime.LockOSThread() // the parent-death signal comes when the thread ends that started the child
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:gosec,noctx // ourselves; it ends when the tests do
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// makeLocal sets up the network of a new namespace: loopback, and the addresses of pods on it. Twice is as once.
func makeLocal() error {
	ip, err := ipProgram()
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"route", "replace", "local", podCIDR, "dev", "lo"}} {
		if out, err := exec.Command(ip, args...).CombinedOutput(); err != nil { //nolint:gosec,noctx // it returns at once
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	return nil
}

// ipProgram looks where root has it, too: the PATH of other users has no sbin.
func ipProgram() (string, error) {
	path, err := exec.LookPath("ip")
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path := filepath.Join(dir, "ip"); exec.Command(path, "-V").Run() == nil { //nolint:gosec,noctx // it returns at once
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: run `make deps`", err)
}
