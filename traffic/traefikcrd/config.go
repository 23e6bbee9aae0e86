package traefikcrd

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikapi"
)

// defaultTimeout bounds all requests to one replica: an answer takes a few milliseconds, and a rollback must not wait
// for a replica slower than this.
const defaultTimeout = 2 * time.Second

// Config is what a [Router] has to know of its rollout. It is kept with a release as JSON; what is secret or of this
// process is not in it.
type Config struct {
	// Rollout is the name from which all names in the cluster are made. It does not change in the rollout's life.
	Rollout string `json:"rollout"`
	// Namespace of the route and the Services.
	Namespace string `json:"namespace"`
	// Route is made and owned by Serin: an IngressRoute of the rollout's name. Either this or IngressRoute is set.
	Route *traffic.Route `json:"route,omitempty"`
	// IngressRoute is the name of one that is there and is adopted: the one reference to stable's Service in it is
	// replaced.
	IngressRoute string `json:"ingressRoute,omitempty"`
	// IngressClass is the annotation that Traefiks with an ingress class look for, on an owned route.
	IngressClass string `json:"ingressClass,omitempty"`
	// Adopt takes over an existing TraefikService with the rollout's name; only the weights of its two children are
	// changed, and it is never deleted.
	Adopt bool `json:"adopt,omitempty"`
	// Stable and Canary are the arms' Services. They play the same parts all the time.
	Stable traffic.Backend `json:"stable"`
	Canary traffic.Backend `json:"canary"`
	// StableBalancing and CanaryBalancing are how an owned route's Services are talked to; an adopted one says it itself.
	StableBalancing traffic.Balancing `json:"stableBalancing,omitzero"`
	CanaryBalancing traffic.Balancing `json:"canaryBalancing,omitzero"`
	Verify          Verify            `json:"verify,omitzero"`
}

// Verify is how Traefik is asked whether a target is in force.
type Verify struct {
	// APIs are base addresses, without /api. One whose host is that of a Service (NAME.NAMESPACE.svc) stands for all
	// ready endpoints of the Service, each of which is asked.
	APIs []string `json:"apis,omitempty"`
	// User signs in by basic authentication, if it is set.
	User     string            `json:"user,omitempty"`
	Password traefikapi.Secret `json:"-"`
	// Timeout bounds all requests to one replica; 0: 2 s.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Client for these requests; nil: one of its own. Redirects are never followed, whatever it says.
	Client *http.Client `json:"-"`
}

// Validate says all that is wrong with c, in one error; nil: [New] takes it.
func (c *Config) Validate() error {
	errs := []error{name("rollout", c.Rollout, maxName), name("namespace", c.Namespace, maxLabel)}
	for _, suffix := range []string{cohortSuffix, breakerSuffix, limitSuffix} {
		if strings.HasSuffix(c.Rollout, suffix) {
			errs = append(errs, fmt.Errorf("rollout %q: names ending in %s are those of another rollout's parts", c.Rollout, suffix))
		}
	}
	switch {
	case (c.Route == nil) == (c.IngressRoute == ""):
		errs = append(errs, errors.New("expected one of route (Serin's own) or ingressRoute (one that is already there)"))
	case c.Route != nil:
		errs = append(errs, traefikapi.ValidateRoute(*c.Route))
	case c.IngressRoute == c.Rollout+cohortSuffix:
		errs = append(errs, fmt.Errorf("ingressRoute %q has the name of the cohort's", c.IngressRoute))
	default:
		errs = append(errs, objectName("ingressRoute", c.IngressRoute))
	}
	errs = append(errs, arm("stable", c.Stable), arm("canary", c.Canary), c.StableBalancing.Validate(), c.CanaryBalancing.Validate())
	if c.Stable.Service == c.Canary.Service {
		errs = append(errs, fmt.Errorf("stable and canary are the same Service %q", c.Stable.Service))
	}
	for _, api := range c.Verify.APIs {
		replica := traefikapi.Replica{URL: api}
		err := replica.Validate()
		if err == nil {
			_, _, err = serviceOf(api)
		}
		errs = append(errs, err)
	}
	if c.Verify.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout %s is negative", c.Verify.Timeout))
	}
	return errors.Join(errs...)
}

// maxName leaves room in 63 characters for the suffixes.
const maxName = 50

// maxLabel is what Kubernetes takes.
const maxLabel = validation.DNS1123LabelMaxLength

func name(what, s string, most int) error {
	if problems := validation.IsDNS1123Label(s); len(problems) > 0 || len(s) > most {
		return fmt.Errorf("%s %q: small letters, digits and '-' are allowed, at most %d, no '-' at an end", what, s, most)
	}
	return nil
}

// objectName is for objects that the user has made: Kubernetes takes longer names for them, with dots.
func objectName(what, s string) error {
	if problems := validation.IsDNS1123Subdomain(s); len(problems) > 0 {
		return fmt.Errorf("%s %q: small letters, digits, '-' and '.' are allowed, at most 253, no sign at an end", what, s)
	}
	return nil
}

func arm(what string, b traffic.Backend) error {
	errs := []error{name(what+"'s Service", b.Service, maxLabel-len(cohortSuffix))}
	if len(b.Servers) > 0 {
		errs = append(errs, fmt.Errorf("%s has servers: on Kubernetes it is a Service", what))
	}
	number, err := strconv.Atoi(b.Port)
	if err == nil && (len(validation.IsValidPortNum(number)) > 0 || strconv.Itoa(number) != b.Port) || err != nil && len(validation.IsValidPortName(b.Port)) > 0 {
		errs = append(errs, fmt.Errorf("%s's port %q is neither a number nor a name", what, b.Port))
	}
	return errors.Join(errs...)
}

// service is a Service whose endpoints are the replicas of a Traefik.
type service struct {
	namespace, name string
	scheme          string
	port            string // number or name
}

// serviceOf is the Service that an address names; ok is false if it is an address like any other.
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
	if err := errors.Join(name("the API's Service", s.name, maxLabel), name("the API's namespace", s.namespace, maxLabel)); err != nil {
		return service{}, false, err
	}
	if u.Path != "" && u.Path != "/" {
		return service{}, false, fmt.Errorf("API %s: a Service's address has no path", api)
	}
	return s, true, nil
}
