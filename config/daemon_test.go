package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
)

const daemonHead = "apiVersion: serin.dev/v1alpha1\nkind: Daemon\nspec:\n"

func loadDaemon(t *testing.T, spec string) (*DaemonSpec, string) {
	dir := write(t, map[string]string{"serin.yaml": daemonHead + spec})
	d, _, errs := LoadDaemon(filepath.Join(dir, "serin.yaml"))
	require.Empty(t, errs.Error())
	return d, dir
}

func TestTheExampleOfTheDaemonIsRead(t *testing.T) {
	d, warnings, errs := LoadDaemon("../examples/serin.yaml")
	require.Empty(t, errs.Error())
	dir, err := filepath.Abs("../examples")
	require.NoError(t, err)
	require.Equal(t, Address("127.0.0.1:7474"), d.Listen)
	require.Equal(t, Texts{filepath.Join(dir, "rollouts")}, d.Config)
	require.Equal(t, "sqlite:"+filepath.Join(dir, "serin.db"), d.Store.Reveal())
	require.Equal(t, filepath.Join(dir, "tokens.yaml"), d.Auth.Tokens)
	require.Equal(t, 90*24*time.Hour, time.Duration(*d.Retention.Evidence))
	require.Equal(t, 10*time.Second, time.Duration(*d.Prometheus.Timeout))
	require.Equal(t, []string{"rollback", "gate", "finished"}, d.Notify[0].On)
	require.Empty(t, warnings)
}

func TestAShortDaemonGetsEveryDefault(t *testing.T) {
	d, dir := loadDaemon(t, "  prometheus: {url: http://127.0.0.1:9090}\n")
	require.Equal(t, defaultListen, d.Listen)
	require.Equal(t, "sqlite:"+filepath.Join(dir, "serin.db"), d.Store.Reveal())
	require.Equal(t, defaultScrapeInterval, *d.Prometheus.ScrapeInterval)
	require.Equal(t, defaultConcurrency, d.Prometheus.Concurrency)
	require.Equal(t, defaultEvidence, *d.Retention.Evidence)
	require.Equal(t, LogSpec{Level: "info", Format: "text"}, *d.Log)
	require.Equal(t, SessionsSpec{MaxAge: new(defaultSession), Idle: new(defaultIdle)}, *d.Auth.Sessions)
}

func TestWithoutTLSADaemonListensOnLoopbackOnly(t *testing.T) {
	for listen, ok := range map[string]bool{"127.0.0.1:1": true, "localhost:1": true, "'[::1]:1'": true, "127.3.4.5:0": true,
		"0.0.0.0:1": false, "':1'": false, "'[::]:1'": false, "192.0.2.1:1": false, "localhost.example.com:1": false} {
		text := daemonHead + "  prometheus: {url: http://127.0.0.1:9090}\n  listen: " + listen + "\n"
		for more, fine := range map[string]bool{"": ok, "  allowInsecure: true\n": true, "  tls: {cert: c, key: k}\n": true} {
			_, errs := Load(write(t, map[string]string{"serin.yaml": text + more}))
			require.Equal(t, fine, len(errs) == 0, "%s %s: %s", listen, more, errs.Error())
		}
	}
}

func TestTheListenerForSpinnakerSaysWhoMay(t *testing.T) {
	for listen, local := range map[string]bool{"127.0.0.1:8090": true, "localhost:8090": true, "0.0.0.0:8090": false, "':8090'": false} {
		for more, ok := range map[string]bool{
			"": false, "tls: {cert: c, key: k}": false, "tls: {cert: c, key: k, clientCA: ca}": true, "allowAnonymous: true": true,
			"basicAuth: {username: u, password: p}":                         false,
			"basicAuth: {username: u, password: p}, allowInsecure: true":    true,
			"basicAuth: {username: u, password: p}, tls: {cert: c, key: k}": true,
		} {
			text := daemonHead + "  prometheus: {url: http://127.0.0.1:9090}\n  spinnaker: {listen: " + listen
			if more != "" {
				text += ", " + more
			}
			_, errs := Load(write(t, map[string]string{"serin.yaml": text + "}\n"}))
			require.Equal(t, local || ok, len(errs) == 0, "%s %s: %s", listen, more, errs.Error())
		}
	}
	d, dir := loadDaemon(t, `  prometheus: {url: http://127.0.0.1:9090}
  spinnaker: {listen: '127.0.0.1:8090', tls: {cert: c, key: k, clientCA: ca}, basicAuth: {username: u, passwordFile: p}}
`)
	require.Equal(t, filepath.Join(dir, "ca"), d.Spinnaker.TLS.ClientCA)
	require.Equal(t, filepath.Join(dir, "p"), d.Spinnaker.BasicAuth.PasswordFile)
}

func TestANameBelongsToOneAccountOfSpinnaker(t *testing.T) {
	const head = "  prometheus: {url: http://127.0.0.1:9090}\n  spinnaker: {listen: '127.0.0.1:8090', accounts: "
	d, _ := loadDaemon(t, head+"{prometheus: prometheus-prod, serin: [kayenta-s3, kayenta-gcs]}}\n")
	require.Equal(t, Texts{"prometheus-prod"}, d.Spinnaker.Accounts.Prometheus)
	require.Equal(t, Texts{"kayenta-s3", "kayenta-gcs"}, d.Spinnaker.Accounts.Serin)
	for accounts, want := range map[string]string{
		"{prometheus: [a], serin: [b, a]}": `spinnaker.accounts.serin: "a" is a name of the account prometheus already`,
		"{serin: prometheus}":              `"prometheus" is a name of the account prometheus already`,
		"{prometheus: ['']}":               "expected text, found nothing",
	} {
		_, errs := Load(write(t, map[string]string{"serin.yaml": daemonHead + head + accounts + "}\n"}))
		require.Len(t, errs, 1, accounts)
		require.Contains(t, errs.Error(), want)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	d, _ := loadDaemon(t, `  store: postgres://serin:hunter2@db/serin
  prometheus:
    url: http://127.0.0.1:9090
    basicAuth: {username: serin, password: hunter2}
    headers: {X-Token: hunter2}
  notify: [{url: 'slack://hunter2'}]
  externalURL: https://serin.example.com
  auth: {oidc: {issuer: https://id.example.com, clientID: serin, clientSecret: hunter2, roles: {sre: [operator]}}}
`)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("daemon", "spec", d, "store", d.Store)
	asJSON, err := json.Marshal(d)
	require.NoError(t, err)
	for _, shown := range []string{log.String(), string(asJSON), fmt.Sprintf("%v %+v %#v %s %q", d, d, *d, d.Store, d.Store)} {
		require.NotContains(t, shown, "hunter2")
	}
	require.Equal(t, "hunter2", d.Prometheus.BasicAuth.Password.Reveal())
}

func TestTheConnectionToPrometheusSignsIn(t *testing.T) {
	for name, c := range map[string]struct{ spec, header, want string }{
		"basic":  {"basicAuth: {username: u, passwordFile: secret}", "Authorization", "Basic dTpodW50ZXIy"},
		"bearer": {"bearerTokenFile: secret", "Authorization", "Bearer hunter2"},
		"token":  {"bearerToken: hunter2", "Authorization", "Bearer hunter2"},
		"header": {"headers: {X-Scope-OrgID: team}", "X-Scope-OrgID", "team"},
	} {
		t.Run(name, func(t *testing.T) {
			d, dir := loadDaemon(t, "  prometheus:\n    url: http://127.0.0.1:9090\n    "+c.spec+"\n")
			require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("hunter2\n"), 0o600))
			hc, err := d.Prometheus.HTTPClient()
			require.NoError(t, err)
			client, err := promconfig.NewClientFromConfig(hc, "prometheus")
			require.NoError(t, err)
			var got string
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get(c.header) }))
			defer server.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			require.NoError(t, err)
			res, err := client.Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, c.want, got)
		})
	}
}

func TestMetricsComeFromAPrometheusOrAreScraped(t *testing.T) {
	d, _ := loadDaemon(t, "  prometheus: {scrape: {targets: ['http://127.0.0.1:8082/metrics']}}\n")
	require.Equal(t, []URL{"http://127.0.0.1:8082/metrics"}, d.Prometheus.Scrape.Targets)
	require.Equal(t, Duration(2*time.Second), *d.Prometheus.Scrape.Interval)
	d, _ = loadDaemon(t, "  prometheus: {scrape: {service: 'http://traefik.traefik.svc.cluster.local/metrics'}}\n")
	service, err := ServiceMetrics(d.Prometheus.Scrape.Service[0])
	require.NoError(t, err)
	require.Equal(t, ScrapedService{Namespace: "traefik", Name: "traefik", Port: 80, URL: service.URL}, service)
	for spec, want := range map[string]string{
		"{}": "expected one of url, the address of a Prometheus, or scrape",
		"{url: 'http://a', scrape: {targets: ['http://b/metrics']}}": "expected one of url, the address of a Prometheus, or scrape",
		"{scrape: {}}": "expected targets, the addresses of metrics, or service, a Service of the cluster",
		"{scrape: {service: 'http://traefik:9100/metrics'}}":                               "prometheus.scrape.service[0]: expected the address of a Service's metrics, http://NAME.NAMESPACE.svc:PORT/metrics",
		"{scrape: {service: ['http://a.b.svc:9100/metrics', 'http://a.b.svc:0/metrics']}}": "prometheus.scrape.service[1]: expected",
		"{scrape: {targets: []}}":                                                            "prometheus.scrape.targets",
		"{scrape: {targets: ['127.0.0.1:8082']}}":                                            "prometheus.scrape.targets[0]",
		"{scrape: {targets: ['http://b/metrics'], interval: 2m}}":                            "expected 100ms to 1m0s",
		"{scrape: {targets: ['http://b/metrics', 'http://c/metrics', 'http://b/other']}}":    "prometheus.scrape.targets[2]: has the host and port of targets[0]",
		"{scrapeInterval: 5s, scrape: {targets: ['http://b/metrics']}}":                      "expected scrape.interval",
		"{scrape: {targets: ['http://b/metrics']}}\n  spinnaker: {listen: '127.0.0.1:8090'}": "its metrics are queries: expected prometheus.url",
	} {
		_, errs := Load(write(t, map[string]string{"serin.yaml": daemonHead + "  prometheus: " + spec + "\n"}))
		require.Contains(t, errs.Error(), want, spec)
	}
}

func TestReceiversHaveNamesAndReadTheirSecrets(t *testing.T) {
	d, dir := loadDaemon(t, `  prometheus: {url: http://127.0.0.1:9090}
  notify:
    - url: slack://hunter2
    - urlFile: mail.url
      on: [gate]
    - webhook: {urlFile: hook, secretFile: key}
    - {name: second, webhook: {url: https://example.com/hook, secret: sixteen bytes or more}}
    - url: hunter2
`)
	var names []string
	for i := range d.Notify {
		names = append(names, string(d.Notify[i].Name))
	}
	require.Equal(t, []string{"slack", "mail-url", "webhook", "second", "receiver"}, names, "and no secret")
	require.Equal(t, []string{"gate", "hold", "alarm", "rollback", "finished"}, d.Notify[0].On)
	require.Equal(t, []string{"gate"}, d.Notify[1].On)
	u, err := d.Notify[0].Address()
	require.NoError(t, err)
	require.Equal(t, "slack://hunter2", u.Reveal())
	_, err = d.Notify[1].Address()
	require.ErrorContains(t, err, "read the address of receiver mail-url")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hook"), []byte("https://example.com/1\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), []byte("whsec_MDEyMzQ1Njc4OWFiY2RlZg==\n"), 0o600))
	u, err = d.Notify[2].Webhook.Address()
	require.NoError(t, err)
	require.Equal(t, "https://example.com/1", u.Reveal())
	u, err = d.Notify[2].Webhook.Key()
	require.NoError(t, err)
	require.Equal(t, "whsec_MDEyMzQ1Njc4OWFiY2RlZg==", u.Reveal())
}

func TestTheStoreMayBeInAFile(t *testing.T) {
	d, dir := loadDaemon(t, "  storeFile: store\n  prometheus: {url: http://127.0.0.1:9090}\n")
	_, err := d.StoreURL()
	require.ErrorContains(t, err, "read the store's address")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "store"), []byte("postgres://db/serin\n"), 0o600))
	u, err := d.StoreURL()
	require.NoError(t, err)
	require.Equal(t, "postgres://db/serin", u.Reveal())
}

func TestAFileWithoutADaemonDocumentIsAnError(t *testing.T) {
	_, _, errs := LoadDaemon("../examples/minimal.yaml")
	require.Contains(t, errs.Error(), "expected one document of kind Daemon, found 0")
}

func TestTheSecretOfTheOIDCClientMayBeInAFile(t *testing.T) {
	d, dir := loadDaemon(t, `  prometheus: {url: http://127.0.0.1:9090}
  externalURL: https://serin.example.com
  auth:
    oidc: {issuer: https://id.example.com, clientID: serin, clientSecretFile: secret, roles: {sre: operator}, everybody: viewer}
    sessions: {keyFile: key, idle: 5m}
`)
	_, err := d.Auth.OIDC.Secret()
	require.ErrorContains(t, err, "read the secret of the OIDC client")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("hunter2\n"), 0o600))
	secret, err := d.Auth.OIDC.Secret()
	require.NoError(t, err)
	require.Equal(t, "hunter2", secret.Reveal())
	require.Equal(t, map[string]Texts{"sre": {"operator"}}, d.Auth.OIDC.Roles)
	require.Equal(t, filepath.Join(dir, "key"), d.Auth.Sessions.KeyFile)
}

func TestSecretsFollowNoRedirectOfPrometheus(t *testing.T) {
	var asked []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.Header.Get("X-Scope-OrgID")) }))
	defer other.Close()
	here := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer here.Close()
	spec := PrometheusSpec{URL: URL(here.URL), Headers: map[string]Secret{"X-Scope-OrgID": "tenant"}}
	c, err := spec.HTTPClient()
	require.NoError(t, err)
	client, err := promconfig.NewClientFromConfig(c, "test")
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, here.URL, nil)
	require.NoError(t, err)
	resp, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusTemporaryRedirect, resp.StatusCode)
	require.Empty(t, asked)
}
