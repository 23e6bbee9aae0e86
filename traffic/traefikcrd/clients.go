package traefikcrd

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
)

// Clients talk to one cluster, for the routers of all rollouts there: they share a limit of requests a second.
type Clients struct {
	kubernetes kubernetes.Interface
	traefik    versioned.Interface
}

// Connect makes clients for the cluster that c leads to; nothing is asked yet.
func Connect(c *rest.Config) (*Clients, error) {
	k, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	t, err := versioned.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return &Clients{kubernetes: k, traefik: t}, nil
}

// Router is [New] with these clients.
func (c *Clients) Router(config Config) (*Router, error) { return New(config, c.kubernetes, c.traefik) }

// Watch is the package's [Watch] with these clients.
func (c *Clients) Watch(ctx context.Context, namespace string, changed func(Change)) error {
	return Watch(ctx, namespace, c.kubernetes, c.traefik, changed)
}
