package traffic

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// GatewayRoutes are the routes of Gateway API that a rollout uses: one of Serin's own, or existing ones.
type GatewayRoutes struct {
	// Own is an HTTPRoute with the rollout's name, which Serin makes and owns.
	Own *GatewayRoute `json:"own,omitempty"`
	// HTTP and GRPC are the names of existing routes. In each, Serin sets the weights of the rules that lead to stable's
	// Service.
	HTTP []string `json:"http,omitempty"`
	GRPC []string `json:"grpc,omitempty"`
}

// GatewayRoute is the part of an HTTPRoute that does not change during a release.
type GatewayRoute struct {
	Parents   []GatewayParent `json:"parents"`
	Hostnames []string        `json:"hostnames,omitempty"`
	// Paths restrict the requests. Without any, the route takes all of them.
	Paths []GatewayPath `json:"paths,omitempty"`
}

// GatewayParent is the Gateway that a route belongs to, or one of its listeners.
type GatewayParent struct {
	Name string `json:"name"`
	// Namespace is empty for the route's own.
	Namespace string `json:"namespace,omitempty"`
	// Section and Port select a listener by name and port. Without either, the route belongs to all of them.
	Section string `json:"section,omitempty"`
	Port    int    `json:"port,omitempty"`
}

// GatewayPath matches the path of a request. Type is Exact, PathPrefix or RegularExpression.
type GatewayPath struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// PathTypes are the types of a [GatewayPath].
var PathTypes = []string{"Exact", "PathPrefix", "RegularExpression"}

// PathsOrAll returns the paths, or the prefix that every path has.
func (r *GatewayRoute) PathsOrAll() []GatewayPath {
	if len(r.Paths) == 0 {
		return []GatewayPath{{Type: "PathPrefix", Value: "/"}}
	}
	return r.Paths
}

// Adopted returns the names of the existing routes.
func (r *GatewayRoutes) Adopted() []string { return append(slices.Clone(r.HTTP), r.GRPC...) }

// Validate reports everything that is wrong with the routes.
func (r *GatewayRoutes) Validate() error {
	if (r.Own != nil) == (len(r.HTTP)+len(r.GRPC) > 0) {
		return errors.New("expected either route (Serin's own), or httpRoute and grpcRoute (which already exist)")
	}
	var errs []error
	if r.Own != nil {
		errs = append(errs, r.Own.validate())
	}
	for _, names := range [][]string{r.HTTP, r.GRPC} { // routes of different kinds may share a name
		for i, name := range names {
			if slices.Index(names, name) < i {
				errs = append(errs, fmt.Errorf("%s is named twice", name))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *GatewayRoute) validate() error {
	var errs []error
	if len(r.Parents) == 0 {
		errs = append(errs, errors.New("parentRefs are missing: which Gateway does the route belong to?"))
	}
	for _, p := range r.Parents {
		if p.Name == "" {
			errs = append(errs, errors.New("a parentRef has no name"))
		}
	}
	for _, p := range r.Paths {
		switch {
		case !slices.Contains(PathTypes, p.Type):
			errs = append(errs, fmt.Errorf("path type %q is none of %s", p.Type, strings.Join(PathTypes, ", ")))
		case p.Type != "RegularExpression" && !strings.HasPrefix(p.Value, "/"):
			errs = append(errs, fmt.Errorf("path %q does not begin with /", p.Value))
		}
	}
	return errors.Join(errs...)
}
