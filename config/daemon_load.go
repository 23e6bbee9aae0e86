package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
)

// The defaults of a daemon.
const (
	defaultListen         = Address("127.0.0.1:7474")
	defaultStore          = Secret("sqlite:serin.db")
	defaultTimeout        = Duration(10 * time.Second)
	defaultScrapeInterval = Duration(15 * time.Second)
	defaultScrape         = Duration(2 * time.Second)
	scrapeSettle          = Duration(time.Millisecond) // a look waits for scrapes under way instead
	defaultConcurrency    = 8
	defaultEvidence       = Duration(90 * 24 * time.Hour)
	defaultSession        = Duration(12 * time.Hour)
	defaultIdle           = Duration(2 * time.Hour)
	defaultLease          = Duration(15 * time.Second)
)

// LoadDaemon reads the one document of kind Daemon in a file, with every default filled in and every path made absolute. A
// daemon with warnings can run; with errors there is none.
func LoadDaemon(path string) (daemon *DaemonSpec, warnings, errs Errors) {
	set, errs := Load(path)
	switch {
	case len(errs) > 0:
		return nil, set.Warnings, errs
	case len(set.Daemons) != 1:
		return nil, set.Warnings, Errors{{File: path, Message: fmt.Sprintf("expected one document of kind Daemon, found %d", len(set.Daemons))}}
	}
	return &set.Daemons[0], set.Warnings, nil
}

// withDefaults fills in what the document leaves out; file is where it was read from.
func (s DaemonSpec) withDefaults(file string) DaemonSpec {
	if s.Listen == "" {
		s.Listen = defaultListen
	}
	if s.Store == "" && s.StoreFile == "" {
		s.Store = defaultStore
	}
	if at, ok := strings.CutPrefix(s.Store.Reveal(), "sqlite:"); ok && !strings.HasPrefix(at, ":") {
		s.Store = Secret("sqlite:" + fromFolderOf(file, at))
	}
	s.StoreFile = fromFolderOf(file, s.StoreFile)
	if k := s.Kubernetes; k != nil {
		s.Kubernetes = &KubernetesSpec{Kubeconfig: fromFolderOf(file, k.Kubeconfig), Context: k.Context, Resources: k.Resources}
	}
	if l := s.Leader; l != nil && l.Duration == nil {
		s.Leader = &LeaderSpec{Lease: l.Lease, Namespace: l.Namespace, Duration: new(defaultLease)}
	}
	s.Config = append(Texts(nil), s.Config...)
	for i := range s.Config {
		s.Config[i] = fromFolderOf(file, s.Config[i])
	}
	if s.TLS != nil {
		s.TLS = &ListenTLSSpec{fromFolderOf(file, s.TLS.Cert), fromFolderOf(file, s.TLS.Key)}
	}
	s.Auth = s.Auth.withDefaults(file)
	s.Prometheus = s.Prometheus.withDefaults(file)
	if s.Sources != nil {
		sources := make(map[string]PrometheusSpec, len(s.Sources))
		for name, p := range s.Sources {
			sources[name] = p.withDefaults(file)
		}
		s.Sources = sources
	}
	s.Spinnaker = s.Spinnaker.withPaths(file)
	s.Notify = notifyDefaults(s.Notify, file)
	if s.Retention == nil || s.Retention.Evidence == nil {
		s.Retention = &RetentionSpec{Evidence: new(defaultEvidence)}
	}
	log := LogSpec{Level: "info", Format: "text"}
	if s.Log != nil && s.Log.Level != "" {
		log.Level = s.Log.Level
	}
	if s.Log != nil && s.Log.Format != "" {
		log.Format = s.Log.Format
	}
	s.Log = &log
	return s
}

func (a *AuthSpec) withDefaults(file string) *AuthSpec {
	var auth AuthSpec
	if a != nil {
		auth = *a
	}
	auth.Tokens = fromFolderOf(file, auth.Tokens)
	if auth.OIDC != nil {
		o := *auth.OIDC
		o.ClientSecretFile = fromFolderOf(file, o.ClientSecretFile)
		auth.OIDC = &o
	}
	var n SessionsSpec
	if auth.Sessions != nil {
		n = *auth.Sessions
	}
	if n.MaxAge == nil {
		n.MaxAge = new(defaultSession)
	}
	if n.Idle == nil {
		n.Idle = new(defaultIdle)
	}
	n.KeyFile = fromFolderOf(file, n.KeyFile)
	auth.Sessions = &n
	return &auth
}

// Proxies returns the networks of trustedProxies, which has been checked.
func (s *DaemonSpec) Proxies() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range s.TrustedProxies {
		if p, err := parseNetwork(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Secret returns the client's secret at the provider, read from its file if it is in one; empty for a public client.
func (o *OIDCSpec) Secret() (Secret, error) {
	return secretFrom(o.ClientSecret, o.ClientSecretFile, "the secret of the OIDC client")
}

// withPaths makes paths absolute; nil stays nil.
func (s *SpinnakerSpec) withPaths(file string) *SpinnakerSpec {
	if s == nil {
		return nil
	}
	out := *s
	if t := s.TLS; t != nil {
		out.TLS = &SpinnakerTLSSpec{fromFolderOf(file, t.Cert), fromFolderOf(file, t.Key), fromFolderOf(file, t.ClientCA)}
	}
	if s.BasicAuth != nil {
		auth := *s.BasicAuth
		auth.PasswordFile = fromFolderOf(file, auth.PasswordFile)
		out.BasicAuth = &auth
	}
	return &out
}

func (p PrometheusSpec) withDefaults(file string) PrometheusSpec {
	if p.Scrape != nil {
		scrape := *p.Scrape
		if scrape.Interval == nil {
			scrape.Interval = new(defaultScrape)
		}
		p.Scrape, p.ScrapeInterval = &scrape, new(scrapeSettle)
	}
	if p.Timeout == nil {
		p.Timeout = new(defaultTimeout)
	}
	if p.ScrapeInterval == nil {
		p.ScrapeInterval = new(defaultScrapeInterval)
	}
	if p.Concurrency == 0 {
		p.Concurrency = defaultConcurrency
	}
	p.BearerTokenFile = fromFolderOf(file, p.BearerTokenFile)
	if p.BasicAuth != nil {
		auth := *p.BasicAuth
		auth.PasswordFile = fromFolderOf(file, auth.PasswordFile)
		p.BasicAuth = &auth
	}
	if p.TLS != nil {
		t := *p.TLS
		t.CAFile, t.CertFile, t.KeyFile = fromFolderOf(file, t.CAFile), fromFolderOf(file, t.CertFile), fromFolderOf(file, t.KeyFile)
		p.TLS = &t
	}
	return p
}

// defaultOn is what nobody may miss: when someone has to act, and how a release ends.
var defaultOn = []string{"gate", "hold", "alarm", "rollback", "finished"}

func notifyDefaults(receivers []NotifySpec, file string) []NotifySpec {
	out := make([]NotifySpec, len(receivers))
	for i, n := range receivers {
		n.Name = Name(n.Receiver())
		n.URLFile = fromFolderOf(file, n.URLFile)
		if len(n.On) == 0 {
			n.On = defaultOn
		}
		if n.Webhook != nil {
			w := *n.Webhook
			w.URLFile, w.SecretFile = fromFolderOf(file, w.URLFile), fromFolderOf(file, w.SecretFile)
			n.Webhook = &w
		}
		out[i] = n
	}
	return out
}

// notAName matches what a name cannot contain.
var notAName = regexp.MustCompile(`[^a-z0-9]+`)

// Receiver returns the name, or else the scheme of the URL, or else the name of the file that holds the URL.
func (n *NotifySpec) Receiver() string {
	service, _, ok := strings.Cut(n.URL.Reveal(), "://")
	if !ok {
		service = "" // it may be a secret
	}
	switch {
	case n.Name != "":
		return string(n.Name)
	case n.Webhook != nil:
		return "webhook"
	case n.URLFile != "":
		service = filepath.Base(n.URLFile)
	}
	if name := strings.Trim(notAName.ReplaceAllString(strings.ToLower(service), "-"), "-"); name != "" {
		return name[:min(len(name), maxReceiver)]
	}
	return "receiver"
}

// maxReceiver is as long as a [Name] may be.
const maxReceiver = 50

// Address returns where messages are sent, read from its file if it is in one.
func (n *NotifySpec) Address() (Secret, error) {
	return secretFrom(n.URL, n.URLFile, "the address of receiver "+n.Receiver())
}

// Address returns where events are posted, read from its file if it is in one.
func (w *NotifyWebhookSpec) Address() (Secret, error) {
	return secretFrom(w.URL, w.URLFile, "the address of a webhook")
}

// Key returns the key that signs events, read from its file if it is in one.
func (w *NotifyWebhookSpec) Key() (Secret, error) {
	return secretFrom(w.Secret, w.SecretFile, "the secret of a webhook")
}

func secretFrom(value Secret, file, what string) (Secret, error) {
	if file == "" {
		return value, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	return Secret(strings.TrimSpace(string(b))), nil
}

// StoreURL returns the address of the store, read from its file if it is in one.
func (s *DaemonSpec) StoreURL() (Secret, error) {
	return secretFrom(s.Store, s.StoreFile, "the store's address")
}

// HTTPClient returns the connection in the form of Prometheus's own client, which reads secrets from their files.
func (p *PrometheusSpec) HTTPClient() (promconfig.HTTPClientConfig, error) {
	c := promconfig.DefaultHTTPClientConfig
	c.FollowRedirects = false // custom headers may be secrets, and would go along
	if b := p.BasicAuth; b != nil {
		c.BasicAuth = &promconfig.BasicAuth{Username: b.Username, Password: promconfig.Secret(b.Password.Reveal()), PasswordFile: b.PasswordFile}
	}
	if p.BearerToken != "" || p.BearerTokenFile != "" {
		c.Authorization = &promconfig.Authorization{
			Type: "Bearer", Credentials: promconfig.Secret(p.BearerToken.Reveal()), CredentialsFile: p.BearerTokenFile,
		}
	}
	if t := p.TLS; t != nil {
		c.TLSConfig = promconfig.TLSConfig{
			CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify,
		}
	}
	if len(p.Headers) > 0 {
		c.HTTPHeaders = &promconfig.Headers{Headers: map[string]promconfig.Header{}}
		for name, value := range p.Headers {
			c.HTTPHeaders.Headers[name] = promconfig.Header{Secrets: []promconfig.Secret{promconfig.Secret(value.Reveal())}}
		}
	}
	if p.ProxyURL != "" {
		u, err := url.Parse(string(p.ProxyURL))
		if err != nil {
			return c, fmt.Errorf("read proxyURL: %w", err)
		}
		c.ProxyURL = promconfig.URL{URL: u}
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("connect to Prometheus: %w", err)
	}
	return c, nil
}
