package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/oidc"
	"github.com/serindev/serin/server/oidc/oidctest"
)

const callback = "http://127.0.0.1:7474/sign-in/callback"

var people = []oidctest.Person{
	{Name: "bob", Email: "bob@example.com", Groups: []string{"sre", "qa-leads", "everybody-else"}},
	{Name: "eve", Email: "eve@example.com", Groups: []string{"sales"}},
	{Name: "mallory", Email: "bob@example.com", Unverified: true, Groups: []string{"sre"}},
	{Name: "nobody", Groups: []string{"sre"}},
	{Name: "alone", Email: "alone@example.com"},
}

func config(issuer string) oidc.Config {
	return oidc.Config{
		Issuer: issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret,
		Roles: map[string][]string{"sre": {"operator"}, "qa-leads": {"qa", "operator"}},
	}
}

// through signs somebody in, whole.
func through(t *testing.T, idp *oidctest.Provider, p *oidc.Provider, who string) (server.Identity, error) {
	address, ticket, err := p.Begin(t.Context(), callback)
	require.NoError(t, err)
	back := idp.SignIn(t, address, who)
	require.Equal(t, "/sign-in/callback", back.Path)
	name, groups, err := p.Finish(t.Context(), callback, ticket, back.Query())
	if err != nil {
		return server.Identity{}, err
	}
	return p.Identity(name, groups)
}

func TestPeopleHaveTheRolesOfTheirGroups(t *testing.T) {
	idp := oidctest.Start(t, callback, people...)
	for name, c := range map[string]struct {
		who     string
		edit    func(*oidc.Config)
		want    server.Identity
		refused string
	}{
		"of all their groups, each once":                 {who: "bob", want: server.Identity{Name: "bob@example.com", Roles: []string{"operator", "qa"}}},
		"none without a group of ours":                   {who: "eve", refused: "eve@example.com is in no group that has a role here"},
		"none without any group":                         {who: "alone", refused: "alone@example.com is in no group that has a role here"},
		"but what everybody has":                         {who: "eve", edit: func(c *oidc.Config) { c.Everybody = []string{"viewer"} }, want: server.Identity{Name: "eve@example.com", Roles: []string{"viewer"}}},
		"not by an email address that anybody may claim": {who: "mallory", refused: "has not verified your email address"},
		"not without a name":                             {who: "nobody", refused: "does not say your email"},
		"a name without @ cannot be a token's": {
			who: "bob", edit: func(c *oidc.Config) { c.NameClaim = "preferred_username" },
			want: server.Identity{Name: "oidc:bob", Roles: []string{"operator", "qa"}},
		},
		"of a team, for its rollouts only": {
			who: "eve", edit: func(c *oidc.Config) {
				c.Teams = []oidc.Team{{Groups: []string{"sales", "it"}, Grant: server.Grant{Roles: []string{"operator"}, Rollouts: []string{"shop-*"}}}}
			},
			want: server.Identity{Name: "eve@example.com", Bound: []server.Grant{{Roles: []string{"operator"}, Rollouts: []string{"shop-*"}}}},
		},
		"not of a claim that is not there":          {who: "bob", edit: func(c *oidc.Config) { c.GroupsClaim = "teams" }, refused: "in no group"},
		"not without the scope that the name needs": {who: "bob", edit: func(c *oidc.Config) { c.Scopes = []string{"openid"} }, refused: "does not say your email"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := config(idp.Issuer)
			if c.edit != nil {
				c.edit(&conf)
			}
			got, err := through(t, idp, oidc.New(conf), c.who)
			if c.refused != "" {
				var refused *oidc.RefusedError
				require.ErrorAs(t, err, &refused)
				require.Contains(t, refused.Refused(), c.refused)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestASignInBelongsToTheBrowserThatBeganIt(t *testing.T) {
	idp := oidctest.Start(t, callback, people...)
	p := oidc.New(config(idp.Issuer))
	begin := func() (string, string) {
		address, ticket, err := p.Begin(t.Context(), callback)
		require.NoError(t, err)
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.Equal(t, "S256", u.Query().Get("code_challenge_method"))
		return address, ticket
	}
	mine, ticket := begin()
	theirs, _ := begin()
	var refused *oidc.RefusedError

	_, _, err := p.Finish(t.Context(), callback, ticket, idp.SignIn(t, theirs, "bob").Query())
	require.ErrorAs(t, err, &refused, "a code of another user's sign-in")
	_, _, err = p.Finish(t.Context(), callback, "", idp.SignIn(t, mine, "bob").Query())
	require.ErrorAs(t, err, &refused, "a browser without a ticket")

	back := idp.SignIn(t, mine, "bob").Query()
	swapped := idp.SignIn(t, theirs, "bob").Query()
	swapped.Set("state", back.Get("state"))
	_, _, err = p.Finish(t.Context(), callback, ticket, swapped)
	require.Error(t, err, "the code belongs to another verifier")

	name, groups, err := p.Finish(t.Context(), callback, ticket, back)
	require.NoError(t, err)
	require.Equal(t, "bob@example.com", name)
	require.ElementsMatch(t, []string{"sre", "qa-leads"}, groups, "no group that the configuration does not name")
	_, _, err = p.Finish(t.Context(), callback, ticket, back)
	require.Error(t, err, "a code is good once")

	_, _, err = p.Finish(t.Context(), callback, ticket, url.Values{"state": back["state"], "error": {"access_denied"}, "error_description": {"<b>\x00no"}})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "the identity provider refused: access_denied <b> no", refused.Why)
}

func TestAProviderThatIsDownIsAskedAgain(t *testing.T) {
	up := false
	var idp *oidctest.Provider
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"issuer":"http://somebody.else.example"}`)) // a test's answer
	}))
	defer front.Close()
	p := oidc.New(config(front.URL))
	_, _, err := p.Begin(t.Context(), callback)
	require.ErrorContains(t, err, "503")
	up = true
	_, _, err = p.Begin(t.Context(), callback)
	require.ErrorContains(t, err, "did not match", "an issuer that calls itself otherwise is not it")

	idp = oidctest.Start(t, callback, people...)
	p = oidc.New(config(idp.Issuer))
	address, ticket, err := p.Begin(t.Context(), callback)
	require.NoError(t, err)
	back := idp.SignIn(t, address, "bob")
	idp.Stop()
	_, _, err = p.Finish(t.Context(), callback, ticket, back.Query())
	require.ErrorContains(t, err, "exchange the code")
}

func TestAWrongSecretSignsNobodyIn(t *testing.T) {
	idp := oidctest.Start(t, callback, people...)
	conf := config(idp.Issuer)
	conf.ClientSecret = "guessed"
	_, err := through(t, idp, oidc.New(conf), "bob")
	require.ErrorContains(t, err, "exchange the code")
}

// The secret of the client, and what opens somebody's account, go to the provider's own addresses only. Its description has no
// secret, and may be elsewhere.
func TestNoSecretFollowsARedirect(t *testing.T) {
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	var front *httptest.Server
	front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			http.Redirect(w, r, "/described", http.StatusFound)
		case "/described":
			_ = json.NewEncoder(w).Encode(map[string]string{
				"issuer": front.URL, "authorization_endpoint": front.URL + "/authorize", "token_endpoint": front.URL + "/token", "jwks_uri": front.URL + "/keys",
			})
		default:
			http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect) // with the body
		}
	}))
	defer front.Close()
	p := oidc.New(config(front.URL))
	address, ticket, err := p.Begin(t.Context(), callback)
	require.NoError(t, err)
	u, err := url.Parse(address)
	require.NoError(t, err)
	_, _, err = p.Finish(t.Context(), callback, ticket, url.Values{"state": {u.Query().Get("state")}, "code": {"a code"}})
	require.ErrorContains(t, err, "exchange the code")
	require.Zero(t, stolen.Load())
}
