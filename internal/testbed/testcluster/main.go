package testcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

const (
	// inside is set in the environment of a program that runs in the network namespace of a cluster.
	inside = "SERIN_TEST_NETWORK"
	// podCIDR is where pods get their addresses, all of them local to that network namespace: see [addressOf].
	podCIDR = "10.128.0.0/9"
	// hostCIDR is where tests start servers that pods talk to, such as gateways: an EndpointSlice accepts no loopback
	// address.
	hostCIDR = "10.77.0.0/16"
	// serviceCIDR is where Services get theirs. No kube-proxy runs: a test that needs one listens on such an address itself.
	serviceCIDR = "10.96.0.0/16"
)

// Main is the TestMain of a package that tests with a cluster. It runs the tests in the network namespace of the run's
// cluster, or in a new one, where the addresses of pods are local; afterwards it ends the package's own cluster, if
// there is one. Without root it needs user namespaces.
func Main(m *testing.M) { os.Exit(run(m)) }

// Alone is [Main] for a package that always needs its own cluster, because its tests stop and restart parts of it.
func Alone(m *testing.M) {
	os.Unsetenv(handedEnv) //nolint:errcheck,gosec // the name is valid
	Main(m)
}

func run(m *testing.M) int {
	if os.Getenv(inside) == "" {
		code, err := reenter()
		if err != nil {
			fmt.Fprintf(os.Stderr, "run the tests in the network namespace of a cluster: %v\n", err)
			return 1
		}
		return code
	}
	quiet() // before any test that runs alongside others uses client-go
	if handed() == "" {
		if err := makeLocal(); err != nil {
			fmt.Fprintf(os.Stderr, "make the addresses of pods local: %v\n", err)
			return 1
		}
	}
	code := m.Run()
	if err := closeShared(code != 0); err != nil {
		fmt.Fprintf(os.Stderr, "end the cluster: %v\n", err)
		return max(code, 1)
	}
	return code
}

// reenter runs this program again in the network namespace of the run's cluster, or in a new one, and returns its exit
// code.
func reenter() (int, error) {
	var cmd *exec.Cmd
	if dir := handed(); dir != "" {
		pid, err := networkOf(dir)
		if err != nil {
			return 0, err
		}
		cmd = within(pid)
	} else {
		cmd = apart()
	}
	runtime.LockOSThread() // the parent-death signal comes when the thread that started the child ends
	defer runtime.UnlockOSThread()
	return exitCode(cmd.Run())
}

// again is a command that runs this program again, with the same arguments.
func again(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, append(args, os.Args[1:]...)...) //nolint:gosec,noctx // ourselves; it ends when the tests do
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// apart is a command that runs this program in a new network namespace.
func apart() *exec.Cmd {
	cmd := again("/proc/self/exe")
	cmd.Args[0] = os.Args[0]
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// within is a command that runs this program in the network namespace of another process. Only a single-threaded
// program may enter a user namespace, which no Go program is; util-linux's nsenter is.
func within(pid int) *exec.Cmd {
	args := []string{"--target", strconv.Itoa(pid), "--net"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--preserve-credentials")
	}
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return again("nsenter", append(args, "--", self)...)
}

func exitCode(err error) (int, error) {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// makeLocal sets up the network of a new namespace: loopback, and the addresses of pods on it.
func makeLocal() error {
	ip, err := ipProgram()
	if err != nil {
		return err
	}
	commands := [][]string{{"link", "set", "lo", "up"}}
	for _, local := range []string{podCIDR, hostCIDR, serviceCIDR} {
		commands = append(commands, []string{"route", "replace", "local", local, "dev", "lo"})
	}
	for _, args := range commands {
		if out, err := exec.Command(ip, args...).CombinedOutput(); err != nil { //nolint:gosec,noctx // it returns at once
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	return nil
}

// ipProgram also looks in root's folders: other users have no sbin in their PATH.
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
