package traefikapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/vulcand/oxy/v2/cbreaker"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
)

// ValidateRoute reports everything that is wrong with a route. Traefik's own parser parses the rule.
func ValidateRoute(r traffic.Route) error {
	err := validateRoute(r, ParseRule)
	if r.TLS != nil && r.TLS.Passthrough {
		err = errors.Join(err, errors.New("tls.passthrough is for TCP routes: who passes TLS on sees no requests"))
	}
	return err
}

// ValidateRouteTCP is [ValidateRoute] for TCP routes.
func ValidateRouteTCP(r traffic.Route) error {
	err := validateRoute(r, ParseRuleTCP)
	if r.Observability != nil {
		err = errors.Join(err, errors.New("observability: a TCP route has none"))
	}
	return err
}

func validateRoute(r traffic.Route, parse func(string) error) error {
	var errs []error
	if strings.TrimSpace(r.Rule) == "" {
		errs = append(errs, errors.New("rule is missing"))
	} else {
		errs = append(errs, parse(strings.TrimSpace(r.Rule)))
	}
	if r.Priority < 0 || r.Priority > traefik.MaxPriority {
		errs = append(errs, fmt.Errorf("priority %d is not between 0 and %d", r.Priority, traefik.MaxPriority))
	}
	return errors.Join(append(errs, r.Validate())...)
}

// ValidateGuards reports everything that is wrong with guards. The circuit breaker's expression is parsed by the library
// that Traefik uses for it.
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

// Validate reports everything that is wrong with a replica's address.
func (p *Replica) Validate() error {
	u, err := url.Parse(p.URL)
	switch {
	case err != nil:
		return errors.New("a replica's address cannot be parsed as a URL") // it may hold a password
	case u.User != nil:
		return fmt.Errorf("replica %s: user and password have fields of their own", u.Host)
	case u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("replica %q is not a URL such as http://10.0.0.1:8080", p.URL)
	}
	return nil
}
