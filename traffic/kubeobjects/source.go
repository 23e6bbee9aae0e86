package kubeobjects

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Source is where objects are read from: the API server itself, before a write, or the cache. Callers must not change
// what it returns.
type Source interface {
	// Object returns an object of the rollout; nil if there is none.
	Object(ctx context.Context, k Key) (*Stored, error)
	// Raw returns an object as JSON, including fields that its type does not know. It returns [ErrMissing] if there is
	// none.
	Raw(ctx context.Context, k Key) ([]byte, error)
	// Service returns a Service of any namespace, or the API server's error.
	Service(ctx context.Context, namespace, name string) (*corev1.Service, error)
	// Slices returns the endpoint slices of a Service.
	Slices(ctx context.Context, namespace, service string) ([]discoveryv1.EndpointSlice, error)
}

// ErrMissing is returned by [Source.Raw] if the object does not exist.
var ErrMissing = errors.New("does not exist")

// live is the API server.
type live struct{ *Store }

func (l *live) Object(ctx context.Context, k Key) (*Stored, error) {
	s, err := l.kinds[k.Kind].get(ctx, k.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // there is none, which is known
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", k, err)
	}
	return s, nil
}

func (l *live) Raw(ctx context.Context, k Key) ([]byte, error) {
	data, err := l.kinds[k.Kind].raw(ctx, k.Name)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%s %w", k, ErrMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", k, err)
	}
	return data, nil
}

func (l *live) Service(ctx context.Context, namespace, name string) (*corev1.Service, error) {
	return l.kubernetes.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (l *live) Slices(ctx context.Context, namespace, service string) ([]discoveryv1.EndpointSlice, error) {
	list, err := l.kubernetes.DiscoveryV1().EndpointSlices(namespace).List(ctx, selects(service))
	if err != nil {
		return nil, fmt.Errorf("list the EndpointSlices of Service %s: %w", service, err)
	}
	return list.Items, nil
}

func selects(service string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service}
}
