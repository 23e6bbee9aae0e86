package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"github.com/serindev/serin/internal/testbed"
)

// Run runs a command whose test binaries share one cluster, and returns its exit code. The cluster starts together with
// the command, in its own network namespace; the command stays outside, and test binaries enter it through [Main].
func Run(command ...string) (int, error) {
	// An interrupt from the terminal reaches every process: the command ends at once, the cluster after the command.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM)
	if os.Getenv(inside) != "" {
		return 0, serve(handed())
	}
	dir, err := os.MkdirTemp("", "serin-cluster-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the server has already removed it, if it ran
	if err := os.Setenv(handedEnv, dir); err != nil {
		return 0, err
	}
	runtime.LockOSThread() // the parent-death signal comes when the thread that started the child ends
	defer runtime.UnlockOSThread()
	server := apart()
	server.Stdin = nil
	end, err := server.StdinPipe() // the server reads it, and ends when it is closed
	if err != nil {
		return 0, err
	}
	if err := server.Start(); err != nil {
		return 0, fmt.Errorf("start a cluster in a network namespace of its own: %w", err)
	}
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec,noctx // the caller's; it ends when it ends
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	code, err := exitCode(cmd.Run())
	if code != 0 {
		fmt.Fprintln(end, "failed") //nolint:errcheck // if that fails, no logs are shown
	}
	return code, errors.Join(err, end.Close(), server.Wait())
}

// serve runs a cluster in this process's network namespace, for others to use until standard input ends.
func serve(dir string) error {
	testbed.FromOutside()
	err := makeLocal()
	if err == nil {
		err = publish(dir, networkFile, strconv.Itoa(os.Getpid()))
	}
	if err != nil {
		return errors.Join(err, publish(dir, brokenFile, err.Error()))
	}
	c, err := startIn(context.Background(), filepath.Clean(dir))
	if err == nil {
		err = c.defineAll(context.Background())
	}
	if err == nil {
		err = c.hand()
	}
	if err != nil {
		os.MkdirAll(dir, 0o700) //nolint:errcheck,gosec // the next line reports it
		return errors.Join(err, publish(dir, brokenFile, err.Error()))
	}
	text, err := io.ReadAll(os.Stdin)
	if len(text) > 0 && os.Getenv("SERIN_CLUSTER_LOGS") != "" {
		c.showLogs()
	}
	return errors.Join(err, c.Close())
}

// defineAll installs the large definitions that tests will ask for. A definition that comes later costs the API server
// seconds of computing, for which it answers nobody in a busy cluster, so that leases of other tests run out.
func (c *Cluster) defineAll(ctx context.Context) error {
	root, err := testbed.Root()
	if err != nil {
		return err
	}
	files, err := gatewayDefinitions(ctx)
	if err != nil {
		return err
	}
	return c.define(ctx, append(files, filepath.Join(root, "deploy/kustomize/definitions/definitions.yaml"))...)
}
