package traefikfile

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/vulcand/oxy/v2/cbreaker"

	"github.com/serindev/serin/traffic"
)

// maxPriority is what Traefik leaves to users, less one for the cohort's router; above are its own routers.
const maxPriority = math.MaxInt - 1001

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// Validate says all that is wrong with c, in one error; nil: [New] takes it.
func (c *Config) Validate() error {
	var errs []error
	if !nameForm.MatchString(c.Rollout) {
		errs = append(errs, fmt.Errorf("rollout %q: letters, digits, '.', '_' and '-' are allowed, at most 63, none of the signs at an end", c.Rollout))
	}
	for _, suffix := range []string{cohortSuffix, stableSuffix, canarySuffix, breakerSuffix, limitSuffix} {
		if strings.HasSuffix(c.Rollout, suffix) {
			errs = append(errs, fmt.Errorf("rollout %q: names ending in %s are those of another rollout's parts in Traefik", c.Rollout, suffix))
		}
	}
	if !slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(filepath.Ext(c.File))) {
		errs = append(errs, fmt.Errorf("file %q: Traefik reads .yaml and .yml", c.File))
	}
	errs = append(errs, ValidateRoute(c.Route))
	for _, replica := range c.Replicas {
		u, err := url.Parse(replica.URL)
		switch {
		case err != nil:
			errs = append(errs, errors.New("a replica's address cannot be parsed as a URL")) // it may hold a password
		case u.User != nil:
			errs = append(errs, fmt.Errorf("replica %s: user and password have fields of their own", u.Host))
		case u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
			errs = append(errs, fmt.Errorf("replica %q is not a URL such as http://10.0.0.1:8080", replica.URL))
		}
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout %s is negative", c.Timeout))
	}
	return errors.Join(errs...)
}

// ValidateRoute says all that is wrong with a route; its rule is parsed by Traefik's own parser.
func ValidateRoute(r traffic.Route) error {
	var errs []error
	if strings.TrimSpace(r.Rule) == "" {
		errs = append(errs, errors.New("rule is missing"))
	} else {
		errs = append(errs, parseRule(strings.TrimSpace(r.Rule)))
	}
	for _, e := range r.EntryPoints {
		if e == "" || strings.ContainsFunc(e, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) || c > unicode.MaxASCII }) {
			errs = append(errs, fmt.Errorf("entry point %q is not a name", e))
		}
	}
	if r.Priority < 0 || r.Priority > maxPriority {
		errs = append(errs, fmt.Errorf("priority %d is not between 0 and %d", r.Priority, maxPriority))
	}
	if r.TLS != nil && r.TLS.SecretName != "" {
		errs = append(errs, errors.New("tls.secretName is for Kubernetes: the file provider takes certificates from Traefik's own configuration"))
	}
	return errors.Join(errs...)
}

// ValidateGuards says all that is wrong with guards; the circuit breaker's expression is parsed by the library that
// Traefik takes for it.
func ValidateGuards(g traffic.Guards) error {
	var errs []error
	if b := g.CircuitBreaker; b != nil {
		if _, err := cbreaker.New(http.NotFoundHandler(), b.Expression); err != nil {
			errs = append(errs, fmt.Errorf("circuitBreaker: expression %q: %w", b.Expression, err))
		}
		if b.CheckPeriod < 0 || b.Fallback < 0 || b.Recovery < 0 {
			errs = append(errs, errors.New("circuitBreaker: durations are not negative"))
		}
		if b.ResponseCode != 0 && (b.ResponseCode < 200 || b.ResponseCode > 599) {
			errs = append(errs, fmt.Errorf("circuitBreaker: response code %d is not one of a final answer", b.ResponseCode))
		}
	}
	if r := g.RateLimit; r != nil {
		if r.Average <= 0 {
			errs = append(errs, errors.New("rateLimit: average is at least 1; to Traefik 0 means no limit"))
		}
		if r.Burst < 0 || r.Period < 0 {
			errs = append(errs, errors.New("rateLimit: burst and period are not negative"))
		}
	}
	return errors.Join(errs...)
}
