package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traffictest/trusted"
)

// people are the tokens of these tests, by name.
var people = map[string][]string{
	"vera": {"viewer"}, "otto": {"operator"}, "olga": {"operator"}, "quinn": {"qa"}, "judy": {"judge"}, "ada": {"admin"},
	"spinnaker": {"operator", "qa", "release-managers"},
}

// roster makes the tokens once.
var roster = sync.OnceValues(func() (secrets map[string]string, tokens []server.Token) {
	secrets = map[string]string{}
	for name, roles := range people {
		secret, token, err := server.NewToken(name, roles)
		if err != nil {
			panic(err)
		}
		secrets[name], tokens = secret, append(tokens, token)
	}
	return secrets, tokens
})

// daemon is the real engine and the real store behind a real listener. There is no Traefik: what is written to the
// gateway is trusted at once.
type daemon struct {
	t       *testing.T
	url     string
	tokens  string // path of the file
	secrets map[string]string
	store   *store.Store
	engine  *engine.Engine
	log     *bytes.Buffer
	logMu   *sync.Mutex
	schemas *schemas
	stop    func() error
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (d *daemon) logged() string {
	d.logMu.Lock()
	defer d.logMu.Unlock()
	return d.log.String()
}

// plans are a rollout with two gates before all traffic moves, one that this build cannot run, and one more.
func plans() map[string]record.Plan {
	shop := rollout.Definition{
		Name: "shop", Revision: "a1",
		Parameters: []rollout.Parameter{{Name: "image", Pattern: `shop:[\w.]+`}},
		Stable:     traffic.Backend{Servers: []string{"http://127.0.0.1:1"}}, Canary: traffic.Backend{Servers: []string{"http://127.0.0.1:2"}},
		Steps: rollout.Steps{
			rollout.Gate{Name: "start", Approvers: []string{"qa"}},
			rollout.Gate{Name: "four", FourEyes: true},
			rollout.Webhook{
				Name: "tell", URL: "https://chat.example.com/hooks/s3cret", Body: "s3cret", Status: "https://chat.example.com/s3cret",
				Headers: map[string]string{"Authorization": "s3cret"}, Ignore: true, Deadline: time.Minute,
			},
			rollout.Promote{Name: "promote"},
		},
		Scopes:   []rollout.Scope{{Name: "gray"}},
		Verify:   rollout.Verify{Trust: true},
		Rollback: rollout.Rollback{Deadline: time.Minute},
	}
	cart, big := shop, shop
	cart.Name, big.Name = "cart", "big"
	return map[string]record.Plan{"shop": {Rollout: shop}, "cart": {Rollout: cart}, "big": {Rollout: big}}
}

func newDaemon(t *testing.T, edit ...func(*server.Options)) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{t: t, tokens: filepath.Join(dir, "tokens.yaml"), log: &bytes.Buffer{}, logMu: &sync.Mutex{}}
	log := slog.New(slog.NewTextHandler(lockedWriter{d.logMu, d.log}, nil))
	secrets, tokens := roster()
	d.secrets = secrets
	require.NoError(t, server.SaveTokens(d.tokens, tokens))

	var err error
	d.store, err = store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "serin.db"))
	require.NoError(t, err)
	registry := prometheus.NewRegistry()
	d.engine = engine.New(engine.Options{
		Store: d.store, Log: log, Registerer: registry, ObserveEvery: 20 * time.Millisecond,
		NewRouter: func(name string, _ record.Gateway) (engine.Router, error) { return trusted.New(name), nil },
		NewJudge:  func(s judge.Settings) (judge.Judge, error) { return sequential.New(s) },
		Call:      func(context.Context, engine.Call) error { return nil },
	})
	d.engine.SetPlans(plans())

	verify, err := server.OpenTokens(d.tokens, log)
	require.NoError(t, err)
	o := server.Options{Engine: d.engine, Store: d.store, Tokens: verify, Version: "v1", Log: log, Registry: registry, PeerKey: peerKey, Proxies: proxies}
	for _, f := range edit {
		f(&o)
	}
	listener, err := server.Listen(t.Context(), server.ListenConfig{Address: "127.0.0.1:0"})
	require.NoError(t, err)
	d.url = "http://" + listener.Addr().String()

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- d.engine.Run(ctx) }()
	go func() { done <- server.New(o).Run(ctx, listener) }()
	d.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, <-done, d.store.Close())
	})
	t.Cleanup(func() { require.NoError(t, d.stop()) })
	await.True(t, func() bool { return len(d.engine.Rollouts()) == len(plans()) })
	d.schemas = loadSchemas(t, d)
	return d
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// as decodes the body.
func as[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal([]byte(a.body), &v), a.body)
	return v
}

func (d *daemon) request(who, method, path, body string) *http.Request {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, strings.NewReader(body))
	require.NoError(d.t, err)
	if secret := d.secrets[who]; secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// do sends a request, and holds the answer against what the OpenAPI document says of it.
func (d *daemon) do(r *http.Request) answer {
	d.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	require.NoError(d.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(d.t, err)
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(b)}
	if d.schemas != nil {
		d.schemas.check(d.t, r, a)
	}
	return a
}

func (d *daemon) get(who, path string) answer {
	d.t.Helper()
	return d.do(d.request(who, http.MethodGet, "/api/v1"+path, ""))
}

func (d *daemon) post(who, path, body string) answer {
	d.t.Helper()
	return d.do(d.request(who, http.MethodPost, "/api/v1"+path, body))
}

// start starts a release and waits until it stands at its first gate and nothing more happens: 4 events.
func (d *daemon) start(name string) string {
	d.t.Helper()
	a := d.post("otto", "/rollouts/"+name+"/releases", `{}`)
	require.Equal(d.t, http.StatusCreated, a.status, a.body)
	id := as[record.Release](d.t, a).ID
	d.until(id, func(v record.View) bool { return v.Gate == "start" && v.State.InForce })
	return id
}

func (d *daemon) until(id string, f func(record.View) bool) record.View {
	d.t.Helper()
	var v record.View
	await.True(d.t, func() bool {
		var err error
		v, err = d.engine.Release(d.t.Context(), id)
		return err == nil && f(v)
	})
	return v
}

// schemas are the answers of the OpenAPI document.
type schemas struct {
	compiler *jsonschema.Compiler
	paths    map[string]map[string]any
}

func loadSchemas(t *testing.T, d *daemon) *schemas {
	t.Helper()
	a := d.do(d.request("", http.MethodGet, "/openapi.json", ""))
	require.Equal(t, http.StatusOK, a.status)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	require.NoError(t, c.AddResource("openapi.json", doc))
	paths := map[string]map[string]any{}
	for path, ops := range doc.(map[string]any)["paths"].(map[string]any) {
		paths[path] = ops.(map[string]any)
	}
	return &schemas{compiler: c, paths: paths}
}

// check validates an answer of the API.
func (s *schemas) check(t *testing.T, r *http.Request, a answer) {
	t.Helper()
	path, op := s.find(r)
	if op == nil || a.body == "" || strings.HasPrefix(a.header.Get("Content-Type"), "text/") {
		return
	}
	responses := op["responses"].(map[string]any)
	status, kind := "default", "application~1problem+json"
	for code, response := range responses {
		content, _ := response.(map[string]any)["content"].(map[string]any)
		if _, ok := content["application/json"]; ok && a.status < 300 {
			status, kind = code, "application~1json"
		}
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	at := "openapi.json#/paths/" + escape.Replace(path) + "/" + strings.ToLower(r.Method) + "/responses/" + status + "/content/" + kind + "/schema"
	schema, err := s.compiler.Compile(at)
	require.NoError(t, err)
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(v), "%s %s: %s", r.Method, path, a.body)
}

// find matches a path with those of the document; a literal element goes before a parameter.
func (s *schemas) find(r *http.Request) (string, map[string]any) {
	best, most := "", -1
	for path := range s.paths {
		want, got := strings.Split(path, "/"), strings.Split(r.URL.EscapedPath(), "/")
		if len(want) != len(got) {
			continue
		}
		literal := 0
		for i := range want {
			switch {
			case want[i] == got[i]:
				literal++
			case !strings.HasPrefix(want[i], "{"):
				literal = -100
			}
		}
		if literal > most {
			best, most = path, literal
		}
	}
	op, _ := s.paths[best][strings.ToLower(r.Method)].(map[string]any)
	return best, op
}
