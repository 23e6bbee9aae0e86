package traffic

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// GatewayRoutes are the routes of Gateway API that a rollout is on: one of Serin's own, or those that are there.
type GatewayRoutes struct {
	// Own is made and owned by Serin: an HTTPRoute of the rollout's name.
	Own *GatewayRoute `json:"own,omitempty"`
	// HTTP and GRPC are the names of routes that are there already. In each, Serin sets the weights of the rules that
	// lead to stable's Service.
	HTTP []string `json:"http,omitempty"`
	GRPC []string `json:"grpc,omitempty"`
}

// GatewayRoute is an HTTPRoute without what changes during a release.
type GatewayRoute struct {
	Parents   []GatewayParent `json:"parents"`
	Hostnames []string        `json:"hostnames,omitempty"`
	// Paths of the requests; without any, all of them.
	Paths []GatewayPath `json:"paths,omitempty"`
}

// GatewayParent is the Gateway, and perhaps the one listener of it, that a route belongs to.
type GatewayParent struct {
	Name string `json:"name"`
	// Namespace is the route's own if it is empty.
	Namespace string `json:"namespace,omitempty"`
	// Section is the name of the listener, Port its port; all listeners without either.
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

// PathsOrAll are the paths, or the one that every request has.
func (r *GatewayRoute) PathsOrAll() []GatewayPath {
	if len(r.Paths) == 0 {
		return []GatewayPath{{Type: "PathPrefix", Value: "/"}}
	}
	return r.Paths
}

// Adopted are the names of the routes that are there already.
func (r *GatewayRoutes) Adopted() []string { return append(slices.Clone(r.HTTP), r.GRPC...) }

// Validate reports everything that is wrong with the routes.
func (r *GatewayRoutes) Validate() error {
	if (r.Own != nil) == (len(r.HTTP)+len(r.GRPC) > 0) {
		return errors.New("expected one of route (Serin's own), or httpRoute and grpcRoute (which are there already)")
	}
	var errs []error
	if r.Own != nil {
		errs = append(errs, r.Own.validate())
	}
	for _, names := range [][]string{r.HTTP, r.GRPC} { // one of each kind may have the same name
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
