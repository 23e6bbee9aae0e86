package kubeobjects

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/serindev/serin/traffic"
)

// ErrNoEndpoints is returned for a Service that should get requests and has no ready endpoint.
var ErrNoEndpoints = errors.New("no ready endpoints")

// endpointsTimeout bounds the wait for the endpoints of Services that were just made, which takes the controller less
// than a second.
const endpointsTimeout = 15 * time.Second

// portOf is the port of a Service by number or name.
func portOf(s *corev1.Service, port string) (corev1.ServicePort, error) {
	for _, p := range s.Spec.Ports {
		if p.Name == port || strconv.Itoa(int(p.Port)) == port {
			return p, nil
		}
	}
	return corev1.ServicePort{}, fmt.Errorf("no port %s in Service %s", port, s.Name)
}

// addresses are the host and port of each ready endpoint, sorted.
func addresses(slicesOf []discoveryv1.EndpointSlice, portName string) []string {
	var out []string
	for _, slice := range slicesOf {
		i := slices.IndexFunc(slice.Ports, func(p discoveryv1.EndpointPort) bool {
			return p.Port != nil && (p.Name == nil && portName == "" || p.Name != nil && *p.Name == portName)
		})
		if i < 0 {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, a := range e.Addresses {
				out = append(out, net.JoinHostPort(a, strconv.Itoa(int(*slice.Ports[i].Port))))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Backend is a Service as it is, with its ready endpoints.
type Backend struct {
	Service *corev1.Service
	Ready   []string
}

// Own is the address of the Service itself at a port; none for a headless one.
func (b *Backend) Own(port string) []string {
	p, err := portOf(b.Service, port)
	if err != nil || b.Service.Spec.ClusterIP == "" || b.Service.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	return []string{net.JoinHostPort(b.Service.Spec.ClusterIP, strconv.Itoa(int(p.Port)))}
}

// Backend reads a Service and its endpoints. With [ErrNoEndpoints], it returns the backend too if
// the Service and its port exist.
func (s *Store) Backend(ctx context.Context, in Source, b traffic.Backend) (*Backend, error) {
	service, err := in.Service(ctx, s.arms, b.Service)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w behind Service %s: it does not exist", ErrNoEndpoints, b.Service)
	}
	if err != nil {
		return nil, fmt.Errorf("get Service %s: %w", b.Service, err)
	}
	port, err := portOf(service, b.Port)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoEndpoints, err)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return &Backend{service, []string{net.JoinHostPort(service.Spec.ExternalName, strconv.Itoa(int(port.Port)))}}, nil
	}
	list, err := in.Slices(ctx, s.arms, b.Service)
	if err != nil {
		return nil, err
	}
	found := &Backend{service, addresses(list, port.Name)}
	if len(found.Ready) == 0 {
		return found, fmt.Errorf("%w behind Service %s", ErrNoEndpoints, b.Service)
	}
	return found, nil
}

// Arms reads both backends. Stable's endpoints must not include the canary's: its pods would get requests that were not
// meant for them.
func (s *Store) Arms(ctx context.Context, in Source, stableArm, canaryArm traffic.Backend) (stable, canary *Backend, err error) {
	stable, err = s.Backend(ctx, in, stableArm)
	canary, err2 := s.Backend(ctx, in, canaryArm)
	if err = errors.Join(err, err2); err != nil {
		return stable, canary, err
	}
	if stable.Service.Spec.Type == corev1.ServiceTypeExternalName {
		return stable, canary, nil
	}
	for _, address := range canary.Ready {
		if slices.Contains(stable.Ready, address) {
			return stable, canary, fmt.Errorf("the pod at %s is behind Service %s and Service %s: stable's selector "+
				"has to leave the canary's pods out",
				address, stableArm.Service, canaryArm.Service)
		}
	}
	return stable, canary, nil
}

// CheckArms disables the routes with a share for the canary while one of the arms cannot answer: Traefik drops such a
// route as a whole, or soon will, and other gateways answer part of its requests with errors.
func (s *Store) CheckArms(ctx context.Context, stable, canary traffic.Backend, c *traffic.Configured) {
	_, _, err := s.Arms(ctx, s.Known(), stable, canary)
	if err == nil {
		return
	}
	for _, route := range []*traffic.RouteServed{c.Main, c.Cohort, c.Mirror, c.Preview} {
		if route != nil && route.Weight > 0 {
			route.Enabled, route.Problem = false, err.Error()
		}
	}
}

// IsOf returns an error if a target is not about the arms of a rollout.
func IsOf(t *traffic.Target, stable, canary traffic.Backend) error {
	same := func(what string, is, want traffic.Backend) error {
		if is.Service != want.Service || is.Port != want.Port || len(is.Servers) > 0 {
			return fmt.Errorf("%s is %s:%s, not the rollout's %s:%s", what, is.Service, is.Port, want.Service, want.Port)
		}
		return nil
	}
	return errors.Join(same("stable", t.Stable, stable), same("canary", t.Canary, canary))
}

// LostCanary reports whether cause means that the canary alone has no endpoints.
func LostCanary(cause error, stable, canary *Backend) bool {
	return errors.Is(cause, ErrNoEndpoints) && stable != nil && len(stable.Ready) > 0 && (canary == nil || len(canary.Ready) == 0)
}

// SamePods is a Service with the same pods as another. The requests of a lane are counted under its name.
func SamePods(like *corev1.Service) (Object, error) {
	spec := map[string]any{"type": string(corev1.ServiceTypeClusterIP)}
	switch {
	case like.Spec.Type == corev1.ServiceTypeExternalName:
		spec["type"], spec["externalName"] = string(like.Spec.Type), like.Spec.ExternalName
	case len(like.Spec.Selector) == 0:
		return Object{}, fmt.Errorf("no selector in Service %s: another Service could not have the same pods", like.Name)
	default:
		spec["selector"] = like.Spec.Selector
		if like.Spec.ClusterIP == corev1.ClusterIPNone {
			spec["clusterIP"] = corev1.ClusterIPNone
		}
	}
	var ports []corev1.ServicePort
	for _, p := range like.Spec.Ports {
		p.NodePort = 0
		ports = append(ports, p)
	}
	spec["ports"] = ports
	return Object{Spec: SpecMap(spec)}, nil
}

// noticing covers the delay between a gateway's watches: Traefik builds its configuration at most every two seconds.
const noticing = 2 * time.Second

// LetNotice gives a gateway time to learn of a new service before a route leads to it. A gateway learns of the two through
// separate watches, and would answer the requests of a route whose service it does not have yet with an error.
func LetNotice(ctx context.Context) error {
	select {
	case <-time.After(noticing):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// AwaitEndpoints watches until a Service has ready endpoints.
func (s *Store) AwaitEndpoints(ctx context.Context, b traffic.Backend) error {
	ctx, cancel := context.WithTimeout(ctx, endpointsTimeout)
	defer cancel()
	if err := s.awaitBackend(ctx, b); err != nil {
		return fmt.Errorf("wait for endpoints: %w", err)
	}
	return nil
}

func (s *Store) awaitBackend(ctx context.Context, b traffic.Backend) error {
	if _, err := s.Backend(ctx, s.Live(), b); err == nil || !errors.Is(err, ErrNoEndpoints) {
		return err
	}
	w, err := s.kubernetes.DiscoveryV1().EndpointSlices(s.arms).Watch(ctx, selects(b.Service))
	if err != nil {
		return fmt.Errorf("watch the EndpointSlices of Service %s: %w", b.Service, err)
	}
	defer w.Stop()
	for { // queried once more first: the endpoints may have appeared before the watch began
		_, err := s.Backend(ctx, s.Live(), b)
		if err == nil || !errors.Is(err, ErrNoEndpoints) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case e, ok := <-w.ResultChan():
			if !ok || e.Type == watch.Error {
				return fmt.Errorf("watch the EndpointSlices of Service %s: it was closed", b.Service)
			}
		}
	}
}
