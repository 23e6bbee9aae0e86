package daemon

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/oidc"
	"github.com/serindev/serin/server/web"
	"github.com/serindev/serin/store"
)

// pagesOptions configures the pages of a daemon, except for the server that they belong to.
func pagesOptions(o Options, e server.Engine, s *store.Store, problems func() []server.ConfigProblem) (web.Options, error) {
	spec := o.Spec
	key, err := sessionKey(spec, o.Log)
	if err != nil {
		return web.Options{}, err
	}
	p := web.Options{
		Engine: e, Store: s, Problems: problems, Key: key, ExternalURL: string(spec.ExternalURL), Version: o.Version, Log: o.Log,
		MaxAge: time.Duration(*spec.Auth.Sessions.MaxAge), Idle: time.Duration(*spec.Auth.Sessions.Idle), Sessions: s,
	}
	p.Prometheus = map[string]string{"": string(spec.Prometheus.URL)}
	for name, source := range spec.Sources {
		p.Prometheus[name] = string(source.URL)
	}
	if g := spec.Grafana; g != nil {
		p.Grafana = web.Grafana{URL: string(g.URL), Datasource: g.Datasource}
	}
	if spec.Auth.OIDC != nil {
		if d := spec.Auth.OIDC.Recheck; d != nil {
			p.Recheck = time.Duration(*d)
		}
		if p.Provider, err = provider(spec.Auth.OIDC); err != nil {
			return web.Options{}, err
		}
	}
	return p, nil
}

// newAPI makes the server of the API and its pages.
func newAPI(o Options, e server.Engine, s *store.Store, problems func() []server.ConfigProblem, ready func() error,
	registry *prometheus.Registry) (*server.Server, error) {
	tokens, err := openTokens(o.Spec, o.Log)
	if err != nil {
		return nil, err
	}
	authenticator, err := newAuthenticator(o)
	if err != nil {
		return nil, err
	}
	pages, err := pagesOptions(o, e, s, problems)
	if err != nil {
		return nil, err
	}
	return withPages(server.Options{
		Engine: e, Store: s, Tokens: tokens, Cluster: authenticator, Problems: problems, Version: o.Version, Log: o.Log, Registry: registry,
		Ready: ready, ExternalURL: string(o.Spec.ExternalURL), Proxies: o.Spec.Proxies(), PeerKey: pages.Key,
	}, pages)
}

// withPages adds pages to a server; the error says what is wrong with their options.
func withPages(o server.Options, pages web.Options) (*server.Server, error) {
	var failed error
	o.Pages = func(s *server.Server) http.Handler {
		pages.Server = s
		h, err := web.New(pages)
		failed = err
		return h
	}
	api := server.New(o)
	return api, failed
}

func provider(spec *config.OIDCSpec) (*oidc.Provider, error) {
	secret, err := spec.Secret()
	if err != nil {
		return nil, err
	}
	roles := make(map[string][]string, len(spec.Roles))
	for group, names := range spec.Roles {
		roles[group] = names
	}
	var teams []oidc.Team
	for _, t := range spec.Teams {
		grant, err := server.NewGrant(t.Roles, t.Rollouts)
		if err != nil {
			return nil, fmt.Errorf("auth.oidc.teams: %w", err)
		}
		teams = append(teams, oidc.Team{Groups: t.Groups, Grant: grant})
	}
	return oidc.New(oidc.Config{
		Issuer: string(spec.Issuer), ClientID: spec.ClientID, ClientSecret: secret.Reveal(), Scopes: spec.Scopes,
		NameClaim: spec.NameClaim, GroupsClaim: spec.GroupsClaim, Roles: roles, Everybody: spec.Everybody, Teams: teams,
	}), nil
}

// sessionKeyName is the file, next to the store, in which a daemon keeps the key of its sessions.
const sessionKeyName = "serin.session-key"

// sessionKey returns the secret that seals sessions. It comes from its file, which is created if missing, so that a
// restart signs nobody out. A daemon without a folder of its own keeps one in memory.
func sessionKey(spec *config.DaemonSpec, log *slog.Logger) ([]byte, error) {
	path := spec.Auth.Sessions.KeyFile
	if path == "" {
		url, err := spec.StoreURL()
		if err != nil {
			return nil, err
		}
		file, ok := strings.CutPrefix(url.Reveal(), "sqlite:")
		if !ok {
			log.Info("sessions end with this process, and other daemons do not know them: auth.sessions.keyFile is not set")
			return newKey(), nil
		}
		path = filepath.Join(filepath.Dir(file), sessionKeyName)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		key := []byte(hex.EncodeToString(newKey()) + "\n")
		return key, server.WriteSecretFile(path, key)
	case err != nil:
		return nil, fmt.Errorf("read the key of sessions: %w", err)
	case info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("read the key of sessions: everybody may read %s (mode %04o): chmod 600 it, or remove "+
			"it and a new one is made", path, info.Mode().Perm())
	}
	key, err := os.ReadFile(path) //nolint:gosec // the daemon's own choice
	if err != nil {
		return nil, fmt.Errorf("read the key of sessions: %w", err)
	}
	return key, nil
}

func newKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails, see crypto/rand
	return key
}
