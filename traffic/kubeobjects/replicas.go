package kubeobjects

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikapi"
)

// defaultTimeout bounds all requests to one replica: an answer takes a few milliseconds, and a rollback must not wait
// for a replica slower than this.
const defaultTimeout = 2 * time.Second

// Verify says how Traefik is asked whether a target is in force.
type Verify struct {
	// APIs are base addresses, without /api. One whose host is a Service (NAME.NAMESPACE.svc) stands for all its ready
	// endpoints, each of which is asked.
	APIs []string `json:"apis,omitempty"`
	// User signs in by basic authentication, if it is set.
	User     string            `json:"user,omitempty"`
	Password traefikapi.Secret `json:"-"`
	// Timeout bounds all requests to one replica; 0: 2 s.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Client is for these requests; nil: a default one. Redirects are never followed.
	Client *http.Client `json:"-"`
}

// Validate reports everything that is wrong with v in one error.
func (v *Verify) Validate() error {
	var errs []error
	for _, api := range v.APIs {
		replica := traefikapi.Replica{URL: api}
		err := replica.Validate()
		if err == nil {
			_, _, err = serviceOf(api)
		}
		errs = append(errs, err)
	}
	if v.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout %s is negative", v.Timeout))
	}
	return errors.Join(errs...)
}

// Patience bounds all requests to one replica.
func (v *Verify) Patience() time.Duration {
	if v.Timeout == 0 {
		return defaultTimeout
	}
	return v.Timeout
}

// discover returns the replicas to ask: the given addresses, and the ready endpoints of the given Services. A Service
// that cannot be resolved is listed as a replica that does not answer.
func (s *Store) discover(ctx context.Context, v *Verify) (found []traefikapi.Replica, failed []traffic.Replica) {
	replica := func(url string) traefikapi.Replica {
		return traefikapi.Replica{URL: url, User: v.User, Password: v.Password}
	}
	for _, api := range v.APIs {
		of, isService, err := serviceOf(api)
		if err != nil || !isService { // err: it was valid when the router was made
			found = append(found, replica(api))
			continue
		}
		addresses, err := s.endpointsOf(ctx, of, v.Patience())
		if err != nil {
			failed = append(failed, traffic.Replica{Name: strings.TrimSuffix(api, "/"), Err: err.Error()})
		}
		for _, a := range addresses {
			found = append(found, replica(of.scheme+"://"+a))
		}
	}
	return found, failed
}

// AskAll asks all replicas of Traefik at once.
func (s *Store) AskAll(ctx context.Context, v *Verify, ask func(traefikapi.Replica) traffic.Replica) []traffic.Replica {
	found, failed := s.discover(ctx, v)
	out := make([]traffic.Replica, len(found))
	var asked sync.WaitGroup
	for i, replica := range found {
		asked.Go(func() { out[i] = ask(replica) })
	}
	asked.Wait()
	if out = append(out, failed...); len(out) == 0 {
		return nil
	}
	return out
}

func (s *Store) endpointsOf(ctx context.Context, of service, patience time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	object, err := s.Known().Service(ctx, of.namespace, of.name)
	if err != nil {
		return nil, fmt.Errorf("get Service %s in namespace %s: %w", of.name, of.namespace, err)
	}
	port, err := portOf(object, of.port)
	if err != nil {
		return nil, err
	}
	list, err := s.Known().Slices(ctx, of.namespace, of.name)
	if err != nil {
		return nil, err
	}
	found := addresses(list, port.Name)
	if len(found) == 0 {
		return nil, fmt.Errorf("%w behind Service %s in namespace %s", ErrNoEndpoints, of.name, of.namespace)
	}
	return found, nil
}

// Places returns the places that have to be watched for the store's objects and the replicas' Services.
func (s *Store) Places(v *Verify) []Place {
	out := []Place{{Namespace: s.namespace}}
	if s.arms != s.namespace {
		out = append(out, Place{Namespace: s.arms, Arms: true})
	}
	for _, api := range v.APIs {
		if of, ok, err := serviceOf(api); err == nil && ok && of.namespace != s.namespace && of.namespace != s.arms {
			out = append(out, Place{Namespace: of.namespace, Service: of.name})
		}
	}
	return out
}

// service is a Service whose endpoints are the replicas of a Traefik.
type service struct {
	namespace, name string
	scheme          string
	port            string // number or name
}

// serviceOf is the Service that an address names; ok is false if it names none.
func serviceOf(api string) (s service, ok bool, err error) {
	u, err := url.Parse(api)
	if err != nil {
		return service{}, false, errors.New("the address of an API cannot be parsed as a URL") // it may hold a password
	}
	parts := strings.Split(u.Hostname(), ".")
	if len(parts) < 3 || parts[2] != "svc" {
		return service{}, false, nil
	}
	s = service{name: parts[0], namespace: parts[1], scheme: u.Scheme, port: u.Port()}
	if s.port == "" {
		s.port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if err := errors.Join(Label("the API's Service", s.name, maxLabel), Label("the API's namespace", s.namespace, maxLabel)); err != nil {
		return service{}, false, err
	}
	if u.Path != "" && u.Path != "/" {
		return service{}, false, fmt.Errorf("API %s: a Service's address has no path", api)
	}
	return s, true, nil
}
