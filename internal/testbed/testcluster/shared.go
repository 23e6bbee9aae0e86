package testcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/serindev/serin/internal/testbed"
)

// handedEnv names the folder of a cluster that another process has started for all packages of a run. The folder exists
// before the cluster does: the files below say how far its start has come.
const handedEnv = "SERIN_CLUSTER"

const (
	// networkFile has the id of a process in the network namespace of the cluster.
	networkFile = "network"
	// clusterFile is a [handover], written once the cluster can be used.
	clusterFile = "cluster.json"
	// brokenFile says why there will be no cluster.
	brokenFile = "broken"
)

// handover is what another process needs to use a cluster, in addition to its certificates.
type handover struct {
	API     string   `json:"api"`
	Relay   string   `json:"relay"`
	APIArgs []string `json:"apiArgs"`
}

// handed is the folder of the run's cluster, empty for none. os.Getenv would make go test's cached results depend on
// it, and every run has a different folder.
func handed() string {
	dir, _ := syscall.Getenv(handedEnv)
	return dir
}

// hand lets other processes use the cluster.
func (c *Cluster) hand() error {
	data, err := json.Marshal(handover{API: c.Config.Host, Relay: c.relayed, APIArgs: c.apiArgs})
	if err != nil {
		return err
	}
	return publish(c.dir, clusterFile, string(data))
}

// publish writes a file atomically.
func publish(dir, name, text string) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// waitFor waits until a file of the run's cluster exists, and returns its content.
func waitFor(ctx context.Context, dir, name string) (string, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		data, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // of the run
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return string(data), err
		}
		if why, err := os.ReadFile(filepath.Join(dir, brokenFile)); err == nil { //nolint:gosec // of the run
			return "", errors.New(string(why))
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the cluster of this run: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// networkOf is the id of a process in the network namespace of the run's cluster.
func networkOf(dir string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	text, err := waitFor(ctx, dir, networkFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(text))
}

// attach uses the cluster of the run. This process answers for the pods of the namespaces that it makes.
func attach(ctx context.Context, dir string) (*Cluster, error) {
	c := &Cluster{dir: dir, attached: true, Kubeconfig: filepath.Join(dir, kubeconfig)}
	if err := c.take(ctx); err != nil {
		return nil, fmt.Errorf("use the cluster of this run: %w", err)
	}
	return c, nil
}

func (c *Cluster) take(ctx context.Context) error {
	text, err := waitFor(ctx, c.dir, clusterFile)
	if err != nil {
		return err
	}
	var h handover
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return err
	}
	cert, err := os.ReadFile(filepath.Join(c.dir, caCert))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(c.dir, caKey))
	if err != nil {
		return err
	}
	if c.ca, err = testbed.LoadAuthority(cert, key); err != nil {
		return err
	}
	c.relayed, c.apiArgs = h.Relay, h.APIArgs
	c.Config = c.config(h.API, adminToken)
	if c.Client, err = kubernetes.NewForConfig(typed(c.Config)); err != nil {
		return err
	}
	c.pods, err = startPods(ctx, c)
	return err
}
