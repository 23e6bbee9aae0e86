package traefikcrd

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
)

// source is where objects are read from: the API server itself, before a write, or the cache, see [known]. Callers must
// not change what it returns.
type source interface {
	// object of the rollout's namespace; nil if there is none.
	object(ctx context.Context, k key) (*stored, error)
	// ingressRoute of the rollout's namespace as JSON, with the fields that Traefik's types do not know.
	ingressRoute(ctx context.Context, name string) ([]byte, error)
	service(ctx context.Context, namespace, name string) (*corev1.Service, error)
	// slices are the endpoint slices of a Service.
	slices(ctx context.Context, namespace, service string) ([]discoveryv1.EndpointSlice, error)
}

// live is the API server.
type live struct {
	namespace  string
	kubernetes kubernetes.Interface
	traefik    versioned.Interface
	kinds      map[kindName]kind
}

func (l *live) object(ctx context.Context, k key) (*stored, error) {
	s, err := l.kinds[k.kind].get(ctx, k.name)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // nothing is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", k, err)
	}
	return s, nil
}

func (l *live) ingressRoute(ctx context.Context, name string) ([]byte, error) {
	return l.traefik.TraefikV1alpha1().RESTClient().Get().Namespace(l.namespace).Resource("ingressroutes").Name(name).Do(ctx).Raw()
}

func (l *live) service(ctx context.Context, namespace, name string) (*corev1.Service, error) {
	return l.kubernetes.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (l *live) slices(ctx context.Context, namespace, service string) ([]discoveryv1.EndpointSlice, error) {
	list, err := l.kubernetes.DiscoveryV1().EndpointSlices(namespace).List(ctx, selects(service))
	if err != nil {
		return nil, fmt.Errorf("list the EndpointSlices of Service %s: %w", service, err)
	}
	return list.Items, nil
}

func selects(service string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service}
}
