package traefikfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikapi"
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

// Validate reports everything that is wrong with c in one error. If it returns nil, [New] accepts c.
func (c *Config) Validate() error {
	var errs []error
	if !nameForm.MatchString(c.Rollout) {
		errs = append(errs, fmt.Errorf("rollout %q: expected at most 253 letters, digits, '.', '_' and '-', with a "+
			"letter or digit at both ends", c.Rollout))
	}
	for _, suffix := range []string{cohortSuffix, mirrorSuffix, previewSuffix, stableSuffix, canarySuffix, breakerSuffix, limitSuffix} {
		if strings.HasSuffix(c.Rollout, suffix) {
			errs = append(errs, fmt.Errorf("rollout %q: names that end in %s are reserved for parts of other rollouts in Traefik", c.Rollout, suffix))
		}
	}
	if !slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(filepath.Ext(c.File))) {
		errs = append(errs, fmt.Errorf("file %q: Traefik reads .yaml and .yml", c.File))
	}
	validate := ValidateRoute
	if c.TCP {
		validate = ValidateRouteTCP
		if len(c.FurtherRoutes) > 0 || c.ports() > 1 {
			errs = append(errs, errors.New("a TCP route must be the only one, and lead to one port"))
		}
	}
	errs = append(errs, validate(c.Route))
	for _, r := range c.FurtherRoutes {
		errs = append(errs, ValidateRoute(r.Route))
		if r.Port < 0 || r.Port >= c.ports() {
			errs = append(errs, fmt.Errorf("a further route leads to port %d of %d", r.Port, c.ports()))
		}
	}
	for i := range c.Sets {
		errs = append(errs, c.Sets[i].Validate())
		if len(c.Sets[i].Further) != c.ports()-1 {
			errs = append(errs, errors.New("the sets of servers have different numbers of ports"))
		}
		for k := range c.Sets[i].Further {
			errs = append(errs, c.Sets[i].Further[k].Validate())
		}
	}
	for _, replica := range c.Replicas {
		errs = append(errs, replica.Validate())
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout %s is negative", c.Timeout))
	}
	return errors.Join(errs...)
}

// ValidateRoute reports everything that is wrong with a route; its rule is parsed by Traefik's own parser.
func ValidateRoute(r traffic.Route) error { return validateRoute(r, traefikapi.ValidateRoute) }

// ValidateRouteTCP is [ValidateRoute] for a TCP route.
func ValidateRouteTCP(r traffic.Route) error { return validateRoute(r, traefikapi.ValidateRouteTCP) }

func validateRoute(r traffic.Route, validate func(traffic.Route) error) error {
	err := validate(r)
	if r.TLS != nil && r.TLS.SecretName != "" {
		err = errors.Join(err, errors.New("tls.secretName is for Kubernetes: the file provider takes certificates from Traefik's own configuration"))
	}
	if r.TLS != nil && r.TLS.OptionsNamespace != "" {
		err = errors.Join(err, errors.New("tls.optionsNamespace is for Kubernetes: names in Traefik's own "+
			"configuration have a provider, as in modern@file"))
	}
	for _, m := range r.Middlewares {
		if m.Namespace != "" {
			err = errors.Join(err, fmt.Errorf("middleware %s: only Kubernetes has namespaces", m.Name))
		}
	}
	return err
}
