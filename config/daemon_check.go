package config

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// daemon checks the meaning of a daemon's document.
func (c *checker) daemon(s *DaemonSpec) {
	if s.Listen != "" && !loopback(string(s.Listen)) && s.TLS == nil && !s.AllowInsecure {
		c.fail(c.spec("listen"), "%s can be reached from elsewhere: set tls, or allowInsecure: true if something in front of it does TLS", s.Listen)
	}
	c.store(s)
	c.prometheus(&s.Prometheus)
	if s.Spinnaker != nil {
		c.warn(c.spec("spinnaker"), "this build does not serve Kayenta's API yet: nothing listens there")
	}
	for i := range s.Notify {
		n := &s.Notify[i]
		if (n.URL == "") == (n.URLFile == "") {
			c.fail(c.spec("notify", i), "expected one of url or urlFile")
		}
	}
	if len(s.Notify) > 0 {
		c.warn(c.spec("notify"), "this build does not send messages yet")
	}
	if a := s.Auth; a != nil && a.OIDC != nil {
		if a.OIDC.ClientSecret != "" && a.OIDC.ClientSecretFile != "" {
			c.fail(c.spec("auth", "oidc", "clientSecretFile"), "clientSecret says it already")
		}
		c.warn(c.spec("auth", "oidc"), "this build does not sign people in by OIDC yet: tokens only")
	}
	if s.Retention != nil && s.Retention.Evidence != nil && *s.Retention.Evidence <= 0 {
		c.fail(c.spec("retention", "evidence"), "expected more than 0")
	}
}

func (c *checker) store(s *DaemonSpec) {
	switch at := s.Store.Reveal(); {
	case s.Store != "" && s.StoreFile != "":
		c.fail(c.spec("storeFile"), "store says it already")
	case at == "":
	case strings.HasPrefix(at, "sqlite:") && len(at) > len("sqlite:"):
	case strings.HasPrefix(at, "postgres://"), strings.HasPrefix(at, "postgresql://"):
	default:
		c.fail(c.spec("store"), "expected sqlite:FILE or postgres://USER@HOST/DATABASE")
	}
}

var headerName = regexp.MustCompile("^[!#$%&'*+\\-.^_`|~0-9A-Za-z]+$") // RFC 7230, section 3.2.6

func (c *checker) prometheus(p *PrometheusSpec) {
	at := c.spec("prometheus")
	ways := 0
	if b := p.BasicAuth; b != nil {
		ways++
		if (b.Password == "") == (b.PasswordFile == "") {
			c.fail(at.in("basicAuth"), "expected one of password or passwordFile")
		}
	}
	for _, set := range []bool{p.BearerToken != "", p.BearerTokenFile != ""} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		c.fail(at, "expected at most one of basicAuth, bearerToken or bearerTokenFile")
	}
	if t := p.TLS; t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		c.fail(at.in("tls"), "certFile and keyFile belong together")
	}
	for name := range p.Headers {
		if !headerName.MatchString(name) || strings.ContainsAny(p.Headers[name].Reveal(), "\r\n\x00") {
			c.fail(at.in("headers", name).atKey(), "is not a header that can be sent")
		}
	}
	for _, d := range []struct {
		name  string
		value *Duration
	}{{"timeout", p.Timeout}, {"scrapeInterval", p.ScrapeInterval}} {
		if d.value != nil && *d.value <= 0 {
			c.fail(at.in(d.name), "expected more than 0")
		}
	}
}

// loopback tells whether an address can be reached from this machine only. Names other than localhost cannot be
// known to stay.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
