package config

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// daemon checks the meaning of a daemon's document.
func (c *checker) daemon(s *DaemonSpec) {
	if s.Listen != "" && !loopback(string(s.Listen)) && s.TLS == nil && !s.AllowInsecure {
		c.fail(c.spec("listen"), "%s can be reached from elsewhere: set tls, or allowInsecure: true if something in front of it does TLS", s.Listen)
	}
	for i, text := range s.TrustedProxies {
		if _, err := parseNetwork(text); err != nil {
			at := c.spec("trustedProxies")
			if at.node.what == isList {
				at = at.in(i)
			}
			c.fail(at, "%s is neither an address nor a network: expected 10.0.0.7 or 10.0.0.0/8", quote(text))
		}
	}
	c.store(s)
	c.leader(s)
	c.prometheus(c.spec("prometheus"), &s.Prometheus)
	for name, p := range s.Sources {
		at := c.spec("sources", name)
		if !sourceForm.MatchString(name) {
			c.fail(at.atKey(), "expected %s", expectedName)
		}
		c.prometheus(at, &p)
	}
	if s.Spinnaker != nil {
		c.spinnaker(s, s.Spinnaker)
	}
	if k := s.Kubernetes; k != nil && k.Resources != nil && k.Resources.Admission != nil && s.TLS == nil {
		c.fail(c.spec("kubernetes", "resources", "admission").atKey(), "the API server connects over HTTPS only: it needs tls (cert and key)")
	}
	c.notify(s.Notify)
	c.calendar(s.Windows, s.Freezes)
	if s.Auth != nil {
		c.auth(s)
	}
	if s.Retention != nil && s.Retention.Evidence != nil && *s.Retention.Evidence <= 0 {
		c.fail(c.spec("retention", "evidence"), "expected more than 0")
	}
}

// parseNetwork parses an address or a network; an address is a network of one.
func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// leastSecret is the shortest secret, in bytes, with which a signature is worth anything.
const leastSecret = 16

// patterns checks names of rollouts that may contain *.
func (c *checker) patterns(at place, patterns Texts) {
	for i, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			c.fail(at.in(i), "expected a name such as shop or shop-*, where * matches any characters except a slash")
		}
	}
}

func (c *checker) notify(receivers []NotifySpec) {
	seen := map[string]int{}
	for i := range receivers {
		n, at := &receivers[i], c.spec("notify", i)
		c.patterns(at.in("rollouts"), n.Rollouts)
		c.patterns(at.in("namespaces"), n.Namespaces)
		ways := 0
		for _, set := range []bool{n.URL != "", n.URLFile != "", n.Webhook != nil} {
			if set {
				ways++
			}
		}
		if ways != 1 {
			c.fail(at, "expected one of url, urlFile or webhook")
			continue
		}
		if first, taken := seen[n.Receiver()]; taken {
			c.fail(at, "notify[%d] is called %s as well: give each a name", first, n.Receiver())
		}
		seen[n.Receiver()] = i
		c.notifyWebhook(at.in("webhook"), n.Webhook)
	}
}

func (c *checker) notifyWebhook(at place, w *NotifyWebhookSpec) {
	if w == nil {
		return
	}
	if (w.URL == "") == (w.URLFile == "") {
		c.fail(at, "expected one of url or urlFile")
	}
	if u, err := url.Parse(w.URL.Reveal()); w.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		c.fail(at.in("url"), "expected an address that begins with https:// or http://")
	}
	if (w.Secret == "") == (w.SecretFile == "") {
		c.fail(at, "expected one of secret or secretFile: without a signature the receiver cannot know who sends")
	}
	if n := len(w.Secret.Reveal()); n > 0 && n < leastSecret {
		c.fail(at.in("secret"), "expected at least %d bytes", leastSecret)
	}
}

// roleName is the form of a role, the same as in token files.
var roleName = regexp.MustCompile(`^[a-z0-9]([-_a-z0-9]{0,61}[a-z0-9])?$`)

func (c *checker) auth(s *DaemonSpec) {
	if o := s.Auth.OIDC; o != nil {
		at := c.spec("auth", "oidc")
		if o.ClientSecret != "" && o.ClientSecretFile != "" {
			c.fail(at.in("clientSecretFile"), "clientSecret already has it")
		}
		if s.ExternalURL == "" {
			c.fail(at, "spec.externalURL is needed: the identity provider sends people back to it")
		}
		if len(o.Roles) == 0 && len(o.Everybody) == 0 && len(o.Teams) == 0 {
			c.fail(at, "expected roles of at least one group, or of everybody: nobody could sign in")
		}
		check := func(at place, roles Texts) {
			for _, r := range roles {
				if !roleName.MatchString(r) {
					c.fail(at, "role %q: expected up to 63 of a-z, 0-9, - and _, with a letter or digit at both ends", r)
				}
			}
		}
		for group, roles := range o.Roles {
			check(at.in("roles", group), roles)
		}
		check(at.in("everybody"), o.Everybody)
		for i, t := range o.Teams {
			check(at.in("teams", i, "roles"), t.Roles)
			c.patterns(at.in("teams", i, "rollouts"), t.Rollouts)
		}
		if o.Recheck != nil && *o.Recheck <= 0 {
			c.fail(at.in("recheck"), "expected more than 0")
		}
	}
	if n := s.Auth.Sessions; n != nil {
		at := c.spec("auth", "sessions")
		for name, d := range map[string]*Duration{"maxAge": n.MaxAge, "idle": n.Idle} {
			if d != nil && *d <= 0 {
				c.fail(at.in(name), "expected more than 0")
			}
		}
	}
}

// spinnaker checks that a listener without tokens says who may use it.
func (c *checker) spinnaker(d *DaemonSpec, s *SpinnakerSpec) {
	at := c.spec("spinnaker")
	if d.Prometheus.Scrape != nil {
		c.fail(at, "its metrics are queries: expected prometheus.url instead of prometheus.scrape")
	}
	if b := s.BasicAuth; b != nil && (b.Password == "") == (b.PasswordFile == "") {
		c.fail(at.in("basicAuth"), "expected one of password or passwordFile")
	}
	c.spinnakerAccounts(at.in("accounts"), s.Accounts)
	if loopback(string(s.Listen)) {
		return
	}
	mutual := s.TLS != nil && s.TLS.ClientCA != ""
	switch {
	case !mutual && s.BasicAuth == nil && !s.AllowAnonymous:
		c.fail(at.in("listen"), "%s can be reached from elsewhere, and Spinnaker sends no token: set tls.clientCA or "+
			"basicAuth, or allowAnonymous: true", s.Listen)
	case s.BasicAuth != nil && s.TLS == nil && !s.AllowInsecure:
		c.fail(at.in("listen"), "%s can be reached from elsewhere, and the password could be read: set tls, or "+
			"allowInsecure: true if something in front of it does TLS", s.Listen)
	}
}

// spinnakerAccounts checks that each name belongs to one account.
func (c *checker) spinnakerAccounts(at place, a *SpinnakerAccountsSpec) {
	if a == nil {
		return
	}
	taken := map[string]string{"prometheus": "prometheus", "serin": "serin"}
	for _, account := range []struct {
		name string
		more Texts
	}{{"prometheus", a.Prometheus}, {"serin", a.Serin}} {
		for _, name := range account.more {
			if other, is := taken[name]; is {
				c.fail(at.in(account.name), "%q is a name of the account %s already", name, other)
			}
			taken[name] = account.name
		}
	}
}

// leastLease leaves a leader time to renew, and the others to notice.
const leastLease = 2 * time.Second

// leader checks what several daemons need so that one of them can act.
func (c *checker) leader(s *DaemonSpec) {
	if s.Leader == nil {
		return
	}
	if s.StoreFile == "" && (s.Store == "" || strings.HasPrefix(s.Store.Reveal(), "sqlite:")) {
		c.fail(c.spec("leader"), "only one daemon can use an SQLite file: expected store: postgres://…, or storeFile")
	}
	if d := s.Leader.Duration; d != nil && (time.Duration(*d) < leastLease || time.Duration(*d)%time.Second != 0) {
		c.fail(c.spec("leader", "duration"), "expected whole seconds, at least %s", leastLease)
	}
}

func (c *checker) store(s *DaemonSpec) {
	switch at := s.Store.Reveal(); {
	case s.Store != "" && s.StoreFile != "":
		c.fail(c.spec("storeFile"), "store already has it")
	case at == "":
	case strings.HasPrefix(at, "sqlite:") && len(at) > len("sqlite:"):
	case strings.HasPrefix(at, "postgres://"), strings.HasPrefix(at, "postgresql://"):
	default:
		c.fail(c.spec("store"), "expected sqlite:FILE or postgres://USER@HOST/DATABASE")
	}
}

var headerName = regexp.MustCompile("^[!#$%&'*+\\-.^_`|~0-9A-Za-z]+$") // RFC 7230, section 3.2.6

var sourceForm = regexp.MustCompile(namePattern)

func (c *checker) prometheus(at place, p *PrometheusSpec) {
	c.metricsFrom(at, p)
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

// metricsFrom checks that metrics come from exactly one place.
func (c *checker) metricsFrom(at place, p *PrometheusSpec) {
	switch {
	case (p.URL == "") == (p.Scrape == nil):
		c.fail(at, "expected one of url, the address of a Prometheus, or scrape, where Serin reads metrics itself")
	case p.Scrape == nil:
	case len(p.Scrape.Targets) == 0 && len(p.Scrape.Service) == 0:
		c.fail(at.in("scrape"), "expected targets, the addresses of metrics, or service, a Service of the cluster")
	case c.noServices(at.in("scrape", "service"), p.Scrape.Service):
	case p.ScrapeInterval != nil:
		c.fail(at.in("scrapeInterval"), "it is for a Prometheus: expected scrape.interval")
	case c.scrapedTwice(at.in("scrape", "targets"), p.Scrape.Targets):
	case p.Scrape.Interval != nil && (time.Duration(*p.Scrape.Interval) < leastScrape || time.Duration(*p.Scrape.Interval) > mostScrape):
		c.fail(at.in("scrape", "interval"), "expected %s to %s", leastScrape, mostScrape)
	}
}

// scrapedTwice refuses targets of one process, as the daemon would when it starts.
func (c *checker) scrapedTwice(at place, targets []URL) (found bool) {
	first := map[string]int{}
	for i, target := range targets {
		u, err := url.Parse(string(target))
		if err != nil {
			continue
		}
		if j, seen := first[u.Host]; seen {
			c.fail(at.in(i), "has the host and port of targets[%d]: everything there would be counted twice", j)
			found = true
			continue
		}
		first[u.Host] = i
	}
	return found
}

// noServices refuses addresses that name no Service.
func (c *checker) noServices(at place, addresses Texts) (found bool) {
	for i, address := range addresses {
		if _, err := ServiceMetrics(address); err != nil {
			c.fail(at.in(i), "%v", err)
			found = true
		}
	}
	return found
}

// ScrapedService is a Service whose replicas are read.
type ScrapedService struct {
	Namespace, Name string
	// Port is one of the Service's, or one of the pods'.
	Port int
	// URL is the address as it was written; its host stands for every replica.
	URL url.URL
}

// ServiceMetrics reads the address of a Service's metrics: http://NAME.NAMESPACE.svc:PORT/metrics.
func ServiceMetrics(address string) (s ScrapedService, err error) {
	const want = "expected the address of a Service's metrics, http://NAME.NAMESPACE.svc:PORT/metrics"
	u, err := url.Parse(address)
	if err != nil {
		return s, errors.New(want) // it may hold a password
	}
	parts := strings.Split(u.Hostname(), ".")
	if u.Scheme != "http" && u.Scheme != "https" || len(parts) < 3 || parts[2] != "svc" || parts[0] == "" || parts[1] == "" {
		return s, errors.New(want)
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return s, errors.New(want)
	}
	return ScrapedService{Namespace: parts[1], Name: parts[0], Port: int(number), URL: *u}, nil
}

// Bounds on the scrape interval: a shorter one would burden the targets, and with a longer one series would count as gone
// between two scrapes.
const (
	leastScrape = 100 * time.Millisecond
	mostScrape  = time.Minute
)

// loopback reports whether an address can be reached from this machine only. Names other than localhost may change
// their address, so they do not count.
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
