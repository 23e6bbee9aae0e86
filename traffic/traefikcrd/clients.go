package traefikcrd

import (
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
)

// Clients talk to one cluster, for the routers of all rollouts there: they share a limit of requests a second, and what
// watches have told.
type Clients struct {
	kubernetes kubernetes.Interface
	traefik    versioned.Interface
	dynamic    dynamic.Interface
	knowledge  *knowledge
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
	d, err := dynamic.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return &Clients{kubernetes: k, traefik: t, dynamic: d, knowledge: newKnowledge()}, nil
}

// Router is [New] with these clients, and with what their watches tell.
func (c *Clients) Router(config Config) (*Router, error) {
	return newRouter(config, c.kubernetes, c.traefik, c.knowledge)
}
