package spinnaker_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/spinnaker"
)

// certificate makes a self-signed certificate and writes its files.
func certificate(t *testing.T) (cert, key string, pair tls.Certificate, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	pair, err = tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pair, pool
}

func TestAListenerNeedsARuleForWhoMayCall(t *testing.T) {
	cert, key, _, _ := certificate(t)
	for name, c := range map[string]struct {
		listen spinnaker.ListenConfig
		want   string
	}{
		"loopback needs nothing":             {spinnaker.ListenConfig{Address: "127.0.0.1:0"}, ""},
		"a reachable address needs a rule":   {spinnaker.ListenConfig{Address: "0.0.0.0:0"}, "nothing says who may"},
		"no host means every address":        {spinnaker.ListenConfig{Address: ":0"}, "nothing says who may"},
		"TLS alone is no rule":               {spinnaker.ListenConfig{Address: "0.0.0.0:0", Cert: cert, Key: key}, "nothing says who may"},
		"anonymous callers may be allowed":   {spinnaker.ListenConfig{Address: "0.0.0.0:0", AllowAnonymous: true}, ""},
		"client certificates":                {spinnaker.ListenConfig{Address: "0.0.0.0:0", Cert: cert, Key: key, ClientCA: cert}, ""},
		"a password in the clear":            {spinnaker.ListenConfig{Address: "0.0.0.0:0", Username: "u", Password: "p"}, "could read the password"},
		"a password in the clear on purpose": {spinnaker.ListenConfig{Address: "0.0.0.0:0", Username: "u", Password: "p", AllowInsecure: true}, ""},
		"a password with TLS":                {spinnaker.ListenConfig{Address: "0.0.0.0:0", Username: "u", Password: "p", Cert: cert, Key: key}, ""},
		"half a password":                    {spinnaker.ListenConfig{Address: "127.0.0.1:0", Username: "u"}, "belong together"},
		"client certificates without TLS":    {spinnaker.ListenConfig{Address: "127.0.0.1:0", ClientCA: cert}, "needs TLS"},
		"a file without authorities":         {spinnaker.ListenConfig{Address: "127.0.0.1:0", Cert: cert, Key: key, ClientCA: key}, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := spinnaker.Listen(t.Context(), c.listen)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.NoError(t, l.Close())
		})
	}
}

// serving serves a service on a listener with the given rules and returns its address.
func serving(t *testing.T, c spinnaker.ListenConfig) string {
	t.Helper()
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	c.Address = "127.0.0.1:0"
	l, err := spinnaker.Listen(t.Context(), c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, c) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return l.Addr().String()
}

func get(t *testing.T, client *http.Client, url string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

func TestAPasswordIsTakenFromTheBaseURL(t *testing.T) {
	address := serving(t, spinnaker.ListenConfig{Username: "orca", Password: "s3cret"})
	status, _ := get(t, http.DefaultClient, "http://orca:s3cret@"+address+"/credentials")
	require.Equal(t, http.StatusOK, status)
	for _, user := range []string{"", "orca:wrong@", "other:s3cret@"} {
		status, body := get(t, http.DefaultClient, "http://"+user+address+"/credentials")
		require.Equal(t, http.StatusUnauthorized, status)
		require.Contains(t, body, `"message"`)
	}
	for range 30 {
		status, _ = get(t, http.DefaultClient, "http://orca:wrong@"+address+"/credentials")
	}
	require.Equal(t, http.StatusTooManyRequests, status)
	status, _ = get(t, http.DefaultClient, "http://orca:s3cret@"+address+"/credentials")
	require.Equal(t, http.StatusOK, status, "others' wrong passwords do not lock out the right one")
}

func TestOnlyCertificatesOfTheAuthorityMayCall(t *testing.T) {
	cert, key, own, pool := certificate(t)
	_, _, foreign, _ := certificate(t)
	address := serving(t, spinnaker.ListenConfig{Cert: cert, Key: key, ClientCA: cert})
	client := func(certificates ...tls.Certificate) *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certificates, MinVersion: tls.VersionTLS12}}}
	}
	status, body := get(t, client(own), "https://"+address+"/credentials")
	require.Equal(t, http.StatusOK, status, body)
	status, _ = get(t, client(), "https://"+address+"/credentials")
	require.Zero(t, status)
	status, _ = get(t, client(foreign), "https://"+address+"/credentials")
	require.Zero(t, status)
}

func TestRequestsFromBrowsersAreRefused(t *testing.T) {
	address := serving(t, spinnaker.ListenConfig{})
	for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-origin"}} {
		status, _ := get(t, http.DefaultClient, "http://"+address+"/credentials", header...)
		require.Equal(t, http.StatusForbidden, status)
	}
}

func TestOnlyKayentasAPIIsServed(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	for path, want := range map[string]int{
		"/api/v1/rollouts": 404, "/metrics": 404, "/": 404, "/canary": 405, "/canaryConfig/a/b": 404, "/credentials/": 200,
		"//credentials": 200, "/kayenta/credentials": 200, "/../credentials": 200, "/canary/executions": 200, "/canary/a.b": 404,
	} {
		status, body := s.do(t, http.MethodGet, path, nil, nil)
		require.Equal(t, want, status, "%s: %v", path, body)
	}
}

// endless is a body that never ends.
type endless struct{ begun bool }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	if !e.begun {
		p[0], e.begun = '{', true
	}
	return len(p), nil
}

func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	status, body := s.do(t, http.MethodPost, "/canaryConfig", nil, config("", nil))
	require.Equal(t, http.StatusOK, status)
	id := pointer(body, "/canaryConfigId").(string)
	_, before := s.do(t, http.MethodGet, "/canaryConfig/"+id, nil, nil)
	whole, err := json.Marshal(map[string]any{"canaryConfig": config("", nil), "executionRequest": execution("a", "b")})
	require.NoError(t, err)
	for end := range len(whole) {
		status, body := s.do(t, http.MethodPost, "/canary", nil, whole[:end])
		require.Equal(t, http.StatusBadRequest, status, "%s", whole[:end])
		require.NotEmpty(t, pointer(body, "/message"))
	}
	for from, to := range map[string]string{
		`"scopes":{`:             `"scopes":[{`,
		`"step":60`:              `"step":"often"`,
		`"thresholds":{`:         `"thresholds":"{`,
		`"pass":95`:              `"pass":"NaN"`,
		`"metrics":[`:            `"metrics":{"x":[`,
		`"type":"prometheus"`:    `"type":"datadog"`,
		`"2025-04-08T20:00:00Z"`: `"0001-01-01T00:00:00Z"`,
	} {
		require.Contains(t, string(whole), from)
		status, body := s.do(t, http.MethodPost, "/canary", nil, []byte(strings.Replace(string(whole), from, to, 1)))
		require.Equal(t, http.StatusBadRequest, status, "%s: %v", to, body)
	}
	for _, wrong := range []string{`{}`, `[{"values":{"control":[1`, `[{"values":{"control":{}}}]`, `[{"values":{"control":["often"]}}]`, `[1]`, ``} {
		status, body = s.do(t, http.MethodPost, "/metricSetPairList", nil, []byte(wrong))
		require.Equal(t, http.StatusBadRequest, status, "%s: %v", wrong, body)
	}
	deep := bytes.Repeat([]byte("["), 200_000)
	status, _ = s.do(t, http.MethodPost, "/judge", nil, deep)
	require.Equal(t, http.StatusBadRequest, status)
	status, _ = s.do(t, http.MethodPost, "/judge", nil, nil)
	require.Equal(t, http.StatusBadRequest, status)

	for _, application := range []string{"a\x00", "\xff", strings.Repeat("x", 1001)} {
		status, _ = s.do(t, http.MethodPost, "/canary", map[string]string{"application": application}, whole)
		require.Equal(t, http.StatusBadRequest, status)
	}
	for _, path := range []string{"/canary/%00", "/canaryConfig/%ff", "/metricSetPairList/" + strings.Repeat("x", 1001)} {
		status, _ = s.do(t, http.MethodGet, path, nil, nil)
		require.Equal(t, http.StatusNotFound, status)
	}

	_, after := s.do(t, http.MethodGet, "/canaryConfig/"+id, nil, nil)
	require.Equal(t, before, after)
	_, runs := s.do(t, http.MethodGet, "/canary/executions", nil, nil)
	require.Empty(t, runs, "nothing was started")
}

func TestOversizedBodiesAreRefusedAndChangeNothing(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	status, body := s.do(t, http.MethodPost, "/canaryConfig", nil, config("", nil))
	require.Equal(t, http.StatusOK, status)
	id := pointer(body, "/canaryConfigId").(string)
	_, before := s.do(t, http.MethodGet, "/canaryConfig/"+id, nil, nil)
	list := []byte(`[{"name":"m","id":"p","values":{"control":[1,NaN],"experiment":[2]}}]`)
	status, body = s.do(t, http.MethodPost, "/metricSetPairList", nil, list)
	require.Equal(t, http.StatusOK, status)
	pairs := "/metricSetPairList/" + pointer(body, "/metricSetPairListId").(string)
	_, samples := s.do(t, http.MethodGet, pairs, nil, nil)
	require.Equal(t, "NaN", pointer(samples, "/0/values/control/1"))

	for _, path := range []string{
		"/judge", "/canary", "/canary/" + id, "/canaryConfig", "/standalone_canary_analysis", "/metricSetPairList", "/judges/judge",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, io.LimitReader(&endless{}, 100<<20))
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		require.Equal(t, http.StatusRequestEntityTooLarge, w.Code, path)
		var refused struct{ Message string }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &refused))
		require.Regexp(t, `^the body is larger than \d+ bytes$`, refused.Message)
	}
	// Numbers can take more room in their stored form than in the request.
	grown := []byte(`[{"name":"m","id":"p","values":{"control":[` + strings.Repeat("1e20,", 3<<20) + `1]}}]`)
	status, body = s.do(t, http.MethodPost, "/metricSetPairList", nil, grown)
	require.Equal(t, http.StatusRequestEntityTooLarge, status, body)
	require.Contains(t, pointer(body, "/message"), "larger than")
	_, after := s.do(t, http.MethodGet, "/canaryConfig/"+id, nil, nil)
	require.Equal(t, before, after)
	_, still := s.do(t, http.MethodGet, pairs, nil, nil)
	require.Equal(t, samples, still)
	_, runs := s.do(t, http.MethodGet, "/canary/executions", nil, nil)
	require.Empty(t, runs, "nothing was started")
}

// A client that sends the whole body before it reads, as Java's clients do, can read why it was refused.
func TestACallerThatSendsTooMuchCanReadTheError(t *testing.T) {
	address := serving(t, spinnaker.ListenConfig{})
	const size = 100 << 20
	for _, path := range []string{"/judge", "/canaryConfig", "/metricSetPairList", "/judges/judge"} {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		_, err = io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: serin\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n")
		require.NoError(t, err)
		n, err := io.Copy(c, io.LimitReader(&endless{}, size))
		require.NoError(t, err, "%s: after %d bytes", path, n)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err, path)
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		var body map[string]any
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
		require.Contains(t, body["message"], "larger than")
		require.Equal(t, "Request Entity Too Large", body["error"])
		require.NoError(t, resp.Body.Close())
		require.NoError(t, c.Close())
	}
}

// A client that sends Expect: 100-continue is refused before it sends the body.
func TestAnOversizedBodyIsRefusedBeforeItIsSent(t *testing.T) {
	address := serving(t, spinnaker.ListenConfig{})
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST /judge HTTP/1.1\r\nHost: serin\r\nContent-Length: 104857600\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
}

// X-SPINNAKER-ACCOUNTS names every account that a user may use, which can be thousands.
func TestAHeaderMayNameThousandsOfAccounts(t *testing.T) {
	address := serving(t, spinnaker.ListenConfig{})
	status, body := get(t, http.DefaultClient, "http://"+address+"/credentials", "X-SPINNAKER-ACCOUNTS", strings.Repeat("some-account-of-a-team,", 6000))
	require.Equal(t, http.StatusOK, status, body)
}

// Pipelines refer to the accounts of the Kayenta that Serin replaces, and need not change.
func TestAccountsMayKeepTheNamesThatPipelinesUse(t *testing.T) {
	s := newService(t, spinnaker.Options{
		Store: openStore(t), Metrics: &direct{value: same}, MetricsNames: []string{"prometheus-prod"}, StorageNames: []string{"kayenta-s3", "kayenta-gcs"},
	})
	_, body := s.do(t, http.MethodGet, "/credentials", nil, nil)
	types := map[any]any{}
	for _, a := range body.([]any) {
		types[pointer(a, "/name")] = pointer(a, "/type")
	}
	require.Equal(t, map[any]any{
		"prometheus": "prometheus", "prometheus-prod": "prometheus", "serin": "serin", "kayenta-s3": "serin", "kayenta-gcs": "serin",
	}, types)
	old := map[string]string{
		"application": "shop", "metricsAccountName": "prometheus-prod", "configurationAccountName": "kayenta-gcs", "storageAccountName": "kayenta-s3",
	}
	run := s.judged(t, config("", nil), execution("a", "b"), old)
	for _, name := range []string{"metricsAccountName", "configurationAccountName", "storageAccountName"} {
		require.Equal(t, old[name], run[name], "the run shows the name it was started with")
	}
	status, _ := s.do(t, http.MethodGet, "/metricSetPairList/"+run["metricSetPairListId"].(string), map[string]string{"accountName": "kayenta-s3"}, nil)
	require.Equal(t, http.StatusOK, status)
	for parameter, name := range map[string]string{"metricsAccountName": "kayenta-s3", "storageAccountName": "prometheus-prod"} {
		status, body = s.do(t, http.MethodPost, "/canary", map[string]string{parameter: name},
			map[string]any{"canaryConfig": config("", nil), "executionRequest": execution("a", "b")})
		require.Equal(t, http.StatusBadRequest, status)
		require.Equal(t, "Unable to resolve account "+name+".", pointer(body, "/message"))
	}
}

func TestStoredPairsAreJudgedAtOnce(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	_, body := s.do(t, http.MethodPost, "/canaryConfig", nil, config("", nil))
	id := pointer(body, "/canaryConfigId").(string)
	run := s.judged(t, config("", nil), execution("a", "a-canary"), nil)
	_, pairs := s.do(t, http.MethodGet, "/metricSetPairList/"+run["metricSetPairListId"].(string), nil, nil)
	status, body := s.do(t, http.MethodPost, "/metricSetPairList", nil, pairs)
	require.Equal(t, http.StatusOK, status)
	query := map[string]string{"canaryConfigId": id, "metricSetPairListId": pointer(body, "/metricSetPairListId").(string), "passThreshold": "95", "marginalThreshold": "75"}
	status, body = s.do(t, http.MethodPost, "/judges/judge", query, nil)
	require.Equal(t, http.StatusOK, status, "%v", body)
	require.Equal(t, pointer(run, "/result/judgeResult"), body)
	query["passThreshold"] = "much"
	status, _ = s.do(t, http.MethodPost, "/judges/judge", query, nil)
	require.Equal(t, http.StatusBadRequest, status)
	query["metricSetPairListId"] = "none"
	status, _ = s.do(t, http.MethodPost, "/judges/judge", query, nil)
	require.Equal(t, http.StatusNotFound, status)

	dry := map[string]string{"metricName": "m", "scope": "s", "customInlineTemplate": `a="${scope}"`, "dryRun": "true"}
	status, body = s.do(t, http.MethodPost, "/fetch/prometheus/query", dry, nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, `avg(m{a="s"})`, pointer(body, "/query"))
	dry["scope"] = `s"}`
	status, _ = s.do(t, http.MethodPost, "/fetch/prometheus/query", dry, nil)
	require.Equal(t, http.StatusBadRequest, status)
}

// testdata/spinnaker/orca-windows.json holds every kind of request that Orca sends.
func TestRequestsOfOrcaAreAcceptedAndReturnedUnchanged(t *testing.T) {
	for _, c := range golden[struct {
		Name   string
		Expect struct {
			Steps []struct{ Request map[string]any }
		}
	}](t, "orca-windows.json") {
		t.Run(c.Name, func(t *testing.T) {
			s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
			for _, step := range c.Expect.Steps {
				if step.Request == nil {
					continue
				}
				var metrics []map[string]any
				for name := range step.Request["scopes"].(map[string]any) {
					m := metric("in "+name, nil)
					m["scopeName"] = name
					metrics = append(metrics, m)
				}
				body := s.judged(t, config("", nil, metrics...), step.Request, nil)
				require.Equal(t, "succeeded", body["status"], "%v", body["exception"])
				require.Equal(t, step.Request, body["canaryExecutionRequest"])
			}
		})
	}
}

func FuzzBareWords(f *testing.F) {
	for _, s := range []string{`{"a": NaN, "b": [-Infinity, Infinity, -1]}`, `"NaN\" NaN"`, `"`, `"\`, `-`, `N`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out := spinnaker.Bare(b)
		if json.Valid(b) {
			require.Equal(t, string(b), string(out), "plain JSON stays as it is")
		}
		require.Equal(t, string(out), string(spinnaker.Bare(out)), "quoting again changes nothing")
	})
}

func FuzzInstant(f *testing.F) {
	f.Add([]byte(`"2025-04-08T21:02:23.123Z"`))
	f.Add([]byte(`"2025-04-08T21:02:23+00:00"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := spinnaker.Instant(b)
		if err != nil || strings.HasPrefix(text, "0001") {
			return
		}
		quoted, err := json.Marshal(text)
		require.NoError(t, err)
		again, err := spinnaker.Instant(quoted)
		require.NoError(t, err, "what is written can be read")
		require.Equal(t, text, again)
	})
}

func FuzzRemoteJudge(f *testing.F) {
	for _, c := range golden[struct{ Request json.RawMessage }](f, "remote-judge.json") {
		f.Add([]byte(c.Request))
		f.Add(bytes.ReplaceAll(c.Request, []byte(kayenta.Name), []byte(sequentialJudge)))
		f.Add(bytes.ReplaceAll(c.Request, []byte("RemoteJudge-v1.0"), []byte(sequentialJudge)))
	}
	s := newService(f, spinnaker.Options{Store: openStore(f), Metrics: &direct{value: same}})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/judge", bytes.NewReader(b))
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		require.Contains(t, []int{200, 400}, w.Code, w.Body.String())
		require.True(t, json.Valid(w.Body.Bytes()))
	})
}
