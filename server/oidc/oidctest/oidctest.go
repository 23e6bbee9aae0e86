// Package oidctest starts a real OpenID provider for tests: people sign in with a password on the provider's own page,
// and it reports their groups.
package oidctest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/text/language"
)

// The client that is known to the provider, and everybody's password.
const (
	ClientID     = "serin"
	ClientSecret = "a secret of this test"
	Password     = "correct horse"
)

// Person is a user of the provider.
type Person struct {
	Name, Email string
	// Unverified: the provider does not vouch for the email address.
	Unverified bool
	Groups     []string
}

// Provider is a running provider.
type Provider struct {
	// Issuer is its address.
	Issuer string

	server *httptest.Server
	users  *users
}

// Start starts a provider that sends people back to callback only. It ends with the test.
func Start(t testing.TB, callback string, people ...Person) *Provider {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	issuer := "http://" + s.Listener.Addr().String()
	users := &users{of: map[string]Person{}}
	for _, p := range people {
		users.of[p.Name] = p
	}
	client := storage.WebClient(ClientID, ClientSecret, callback)
	store := &groups{storage.NewStorageWithClients(users, map[string]*storage.Client{ClientID: client}), users}
	s.Config.Handler = exampleop.SetupServer(issuer, store, nil, false)
	s.Start()
	t.Cleanup(s.Close)
	return &Provider{issuer, s, users}
}

// Move changes a user's groups.
func (p *Provider) Move(name string, groups ...string) {
	p.users.mu.Lock()
	defer p.users.mu.Unlock()
	person := p.users.of[name]
	person.Groups = groups
	p.users.of[name] = person
}

// Stop ends the provider before the test does.
func (p *Provider) Stop() { p.server.Close() }

var requestField = regexp.MustCompile(`name="id" value="([^"]+)"`)

// SignIn opens an address of the provider's as a browser would, fills in its form, and returns the address that it
// sends the browser back to.
func (p *Provider) SignIn(t testing.TB, address, name string) *url.URL {
	t.Helper()
	browser := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), p.Issuer) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	get := func(method, address string, form url.Values) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := browser.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() }) // read only
		return resp
	}
	page := get(http.MethodGet, address, nil)
	id := requestField.FindStringSubmatch(body(t, page))
	require.NotNil(t, id, "the provider asks for a password")
	back := get(http.MethodPost, p.Issuer+"/login/username", url.Values{"username": {name}, "password": {Password}, "id": {id[1]}})
	require.Equal(t, http.StatusFound, back.StatusCode)
	to, err := back.Location()
	require.NoError(t, err)
	return to
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

// users are the provider's people, by name, which is their id too.
type users struct {
	mu sync.Mutex // guards of
	of map[string]Person
}

func (u *users) person(name string) (Person, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p, ok := u.of[name]
	return p, ok
}

// GetUserByID implements storage.UserStore.
func (u *users) GetUserByID(id string) *storage.User {
	p, ok := u.person(id)
	if !ok {
		return nil
	}
	return &storage.User{
		ID: p.Name, Username: p.Name, Password: Password, FirstName: p.Name, Email: p.Email, EmailVerified: !p.Unverified,
		PreferredLanguage: language.English,
	}
}

// GetUserByUsername implements storage.UserStore.
func (u *users) GetUserByUsername(name string) *storage.User { return u.GetUserByID(name) }

// ExampleClientID implements storage.UserStore.
func (*users) ExampleClientID() string { return storage.ServiceUserID }

// groups is the provider's own storage, and the groups of its people.
type groups struct {
	*storage.Storage
	users *users
}

// SetUserinfoFromToken implements op.Storage.
func (g *groups) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, token, subject, origin string) error {
	if err := g.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin); err != nil {
		return err
	}
	if p, _ := g.users.person(subject); p.Groups != nil {
		info.AppendClaims("groups", p.Groups)
	}
	return nil
}
