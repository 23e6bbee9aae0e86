package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	kubeerrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/scrape"
	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/internal/mirror"
)

// service is a Service of the cluster, each of whose replicas is read.
func (m *metrics) service(address string) (scrape.Service, error) {
	of, err := config.ServiceMetrics(address)
	if err != nil {
		return scrape.Service{}, err
	}
	if m.cluster == nil {
		return scrape.Service{}, engine.ErrNoCluster
	}
	client, err := kubernetes.NewForConfig(m.cluster)
	if err != nil {
		return scrape.Service{}, err
	}
	return scrape.Service{Name: analysis.ShownURL(&of.URL), Follow: (&replicas{of: of, client: client}).follow}, nil
}

// replicas watches who is behind one Service: its Endpoints' slices, and the Service itself for its port. Nothing else in
// the namespace is read.
type replicas struct {
	of     config.ScrapedService
	client kubernetes.Interface
}

func (r *replicas) follow(ctx context.Context, told func([]scrape.Target, error)) error {
	news := make(chan struct{}, 1)
	services := watching(r.client.CoreV1().Services(r.of.Namespace), news, func(o *meta.ListOptions) {
		o.FieldSelector = "metadata.name=" + r.of.Name
	})
	endpoints := watching(r.client.DiscoveryV1().EndpointSlices(r.of.Namespace), news, func(o *meta.ListOptions) {
		o.LabelSelector = discovery.LabelServiceName + "=" + r.of.Name
	})
	var running sync.WaitGroup
	defer running.Wait()
	until, cancel := context.WithCancel(ctx)
	defer cancel() // before they are waited for
	for _, w := range []*watched{services, endpoints} {
		running.Go(func() { w.Run(until) })
	}
	noServices, noEndpoints := services.Filled(), endpoints.Filled() // nil once that is known
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-noServices:
			noServices = nil
		case <-noEndpoints:
			noEndpoints = nil
		case <-news:
		}
		if err := cmp.Or(services.unknown(), endpoints.unknown()); err != nil {
			told(nil, err)
		} else if noServices == nil && noEndpoints == nil {
			told(r.targets(services.Objects().List(), endpoints.Objects().List()))
		}
	}
}

// watched is a mirror with the newest reason why it has no watch.
type watched struct {
	*mirror.Mirror
	wrong atomic.Pointer[error]
}

// watching tells news of every change of what it has or lacks.
func watching[L runtime.Object](s mirror.Source[L], news chan struct{}, narrow func(*meta.ListOptions)) *watched {
	w := &watched{}
	say := func(err *error) {
		w.wrong.Store(err)
		offer(news, struct{}{})
	}
	w.Mirror = mirror.Of(s, mirror.Config{
		Narrow: narrow, Changed: func(mirror.Change) { offer(news, struct{}{}) },
		Answered: func() { say(nil) }, Failed: func(err error) { say(&err) },
	})
	return w
}

// unknown is why there may be objects that it does not have: there was no answer yet, or Serin may not ask any more. An API
// server that is away for a while is no reason: what it has said still holds.
func (w *watched) unknown() error {
	if err := w.wrong.Load(); err != nil && (!w.HasFilled() || kubeerrors.IsForbidden(*err)) {
		return *err
	}
	return nil
}

// offer puts v into c unless something is in there already.
func offer[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

// targets are the addresses of all replicas, those included that are not ready: one in trouble is what has to be seen.
func (r *replicas) targets(services, list []any) ([]scrape.Target, error) {
	if len(services) == 0 {
		return nil, fmt.Errorf("there is no Service %s in namespace %s", r.of.Name, r.of.Namespace)
	}
	service, ok := services[0].(*core.Service)
	if !ok || service.Spec.Type == core.ServiceTypeExternalName {
		return nil, errors.New("it is a Service without endpoints (ExternalName): name its address under targets")
	}
	port := slices.IndexFunc(service.Spec.Ports, func(p core.ServicePort) bool { return int(p.Port) == r.of.Port })
	var out []scrape.Target
	for _, slice := range ofOneFamily(service, list) {
		number := r.of.Port // of the pods, where the Service has no such port
		if port >= 0 {
			name := service.Spec.Ports[port].Name
			i := slices.IndexFunc(slice.Ports, func(p discovery.EndpointPort) bool {
				return p.Port != nil && (p.Name == nil && name == "" || p.Name != nil && *p.Name == name)
			})
			if i < 0 {
				continue
			}
			number = int(*slice.Ports[i].Port)
		}
		for _, e := range slice.Endpoints {
			out = append(out, r.target(&e, number)...)
		}
	}
	slices.SortFunc(out, func(a, b scrape.Target) int { return strings.Compare(a.Address, b.Address) })
	return slices.CompactFunc(out, func(a, b scrape.Target) bool { return a.Address == b.Address }), nil
}

// ofOneFamily are the slices with addresses of the Service's first family, where there are any: one of two families has the
// same pods in slices of each, and what a pod counts must not be counted twice.
func ofOneFamily(service *core.Service, list []any) []*discovery.EndpointSlice {
	var all, first []*discovery.EndpointSlice
	for _, o := range list {
		slice, ok := o.(*discovery.EndpointSlice)
		if !ok {
			continue
		}
		all = append(all, slice)
		if f := service.Spec.IPFamilies; len(f) > 0 && string(slice.AddressType) == string(f[0]) {
			first = append(first, slice)
		}
	}
	if len(first) > 0 {
		return first
	}
	return all
}

// target is a replica; none where it has no address yet. Its first address is enough: the others are the same pod's.
func (r *replicas) target(e *discovery.Endpoint, port int) []scrape.Target {
	if len(e.Addresses) == 0 {
		return nil
	}
	address := r.of.URL
	address.Host = net.JoinHostPort(e.Addresses[0], strconv.Itoa(port))
	labels := map[string]string{"namespace": r.of.Namespace}
	if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
		labels["pod"] = e.TargetRef.Name
	}
	return []scrape.Target{{Address: address.String(), Labels: labels}}
}
