// Package oidc answers who a person is, with an identity provider that speaks OpenID Connect: the authorization code flow
// with PKCE, and roles by groups.
//
// It keeps nothing between the two halves of a sign-in: what has to be remembered goes into a ticket, which the caller
// keeps in the browser, sealed. Start reading at [Provider.Begin].
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/serindev/serin/server"
)

// Config describes an identity provider and what its users may do.
type Config struct {
	Issuer                 string
	ClientID, ClientSecret string
	// Scopes besides openid; nil is profile and email.
	Scopes []string
	// NameClaim is what people are called by; empty is email. GroupsClaim lists their groups; empty is groups.
	NameClaim, GroupsClaim string
	// Roles of the members of each group, and the roles that everyone has.
	Roles     map[string][]string
	Everybody []string
	// Teams have roles on some rollouts only.
	Teams []Team
	// HTTP asks the provider; nil is a client with a timeout of 10 s.
	HTTP *http.Client
}

// Team is the members of some groups, and what they may do to which rollouts.
type Team struct {
	Groups []string
	Grant  server.Grant
}

// RefusedError tells a person who came back from the provider why they are not let in.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

// Refused is the reason; pages know the error by this method.
func (e *RefusedError) Refused() string { return e.Why }

// Provider signs people in. Nothing is asked before the first sign-in, so that the daemon starts even while the
// provider is down.
type Provider struct {
	c Config

	mu    sync.Mutex // guards found
	found *oidc.Provider
}

// Limits on input from a provider.
const (
	timeout = 10 * time.Second
	// maxName is longer than any email address (RFC 5321, section 4.5.3.1).
	maxName = 320
)

// New makes a provider.
func New(c Config) *Provider {
	if c.Scopes == nil {
		c.Scopes = []string{"profile", "email"}
	}
	if c.NameClaim == "" {
		c.NameClaim = "email"
	}
	if c.GroupsClaim == "" {
		c.GroupsClaim = "groups"
	}
	client := http.Client{Timeout: timeout}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = discreet
	c.HTTP = &client
	return &Provider{c: c}
}

// maxRedirects of a question that has no secret in it, such as where the provider's own description is.
const maxRedirects = 5

// discreet follows no redirect of a request with a secret: an exchange of a code has the client's in its body, and what is
// asked with a token has that in a header.
func discreet(_ *http.Request, via []*http.Request) error {
	if first := via[0]; first.Method != http.MethodGet || first.Header.Get("Authorization") != "" || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// discover reads the provider's own description once it is available. It must not use the request's context: the
// library keeps the context for fetching keys later.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.c.HTTP), p.c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the identity provider %s who it is: %w", p.c.Issuer, err)
	}
	p.found = found
	return found, nil
}

func (p *Provider) client(found *oidc.Provider, callback string) *oauth2.Config {
	scopes := []string{oidc.ScopeOpenID}
	for _, s := range p.c.Scopes {
		if s != oidc.ScopeOpenID {
			scopes = append(scopes, s)
		}
	}
	return &oauth2.Config{
		ClientID: p.c.ClientID, ClientSecret: p.c.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: callback, Scopes: scopes,
	}
}

// ticket is what the second half of a sign-in has to know about the first.
type ticket struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

// Begin returns the address to send the browser to, and a ticket that belongs to this browser alone and that
// [Provider.Finish] needs. callback is where the provider then sends the browser.
func (p *Provider) Begin(ctx context.Context, callback string) (address, keep string, err error) {
	found, err := p.discover(ctx)
	if err != nil {
		return "", "", err
	}
	t := ticket{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	b, err := json.Marshal(t)
	if err != nil {
		return "", "", fmt.Errorf("encode a ticket: %w", err)
	}
	address = p.client(found, callback).AuthCodeURL(t.State, oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier))
	return address, string(b), nil
}

// Finish returns who has come back, and which of the configuration's groups they are in. query is what the provider has
// sent. A *RefusedError is for people; other errors are for the log.
func (p *Provider) Finish(ctx context.Context, callback, kept string, query url.Values) (name string, groups []string, err error) {
	var t ticket
	if err := json.Unmarshal([]byte(kept), &t); err != nil {
		return "", nil, &RefusedError{"the sign-in was not begun here, or took too long: begin again"}
	}
	if subtle.ConstantTimeCompare([]byte(t.State), []byte(query.Get("state"))) != 1 {
		return "", nil, &RefusedError{"the sign-in was begun in another window, or not by you: begin again"}
	}
	if query.Get("error") != "" {
		return "", nil, &RefusedError{"the identity provider refused: " + legible(query.Get("error")+" "+query.Get("error_description"))}
	}
	found, err := p.discover(ctx)
	if err != nil {
		return "", nil, err
	}
	ctx = oidc.ClientContext(ctx, p.c.HTTP)
	token, err := p.client(found, callback).Exchange(ctx, query.Get("code"), oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return "", nil, fmt.Errorf("exchange the code at %s: %w", p.c.Issuer, err)
	}
	claims, err := p.claims(ctx, found, token, t.Nonce)
	if err != nil {
		return "", nil, err
	}
	if name, err = p.name(claims); err != nil {
		return "", nil, err
	}
	return name, p.ours(listed(claims[p.c.GroupsClaim])), nil
}

// ours keeps the groups that the configuration names: the others have no meaning here, and there may be hundreds.
func (p *Provider) ours(groups []string) []string {
	return slices.DeleteFunc(groups, func(g string) bool {
		_, known := p.c.Roles[g]
		return !known && !slices.ContainsFunc(p.c.Teams, func(t Team) bool { return slices.Contains(t.Groups, g) })
	})
}

// claims returns those of the ID token, completed by those of the user info endpoint.
func (p *Provider) claims(ctx context.Context, found *oidc.Provider, token *oauth2.Token, nonce string) (map[string]any, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("the identity provider has sent no ID token")
	}
	id, err := found.Verifier(&oidc.Config{ClientID: p.c.ClientID}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("verify the ID token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return nil, &RefusedError{"the ID token belongs to another sign-in: begin again"}
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return nil, fmt.Errorf("read the claims of the ID token: %w", err)
	}
	_, named := claims[p.c.NameClaim]
	_, grouped := claims[p.c.GroupsClaim]
	if named && grouped || found.UserInfoEndpoint() == "" {
		return claims, nil
	}
	info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("ask the identity provider for the user info of %s: %w", id.Subject, err)
	}
	if info.Subject != id.Subject { // OpenID Connect Core 1.0, section 5.3.2
		return nil, errors.New("the user info and the ID token belong to different people")
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return nil, fmt.Errorf("read the user info: %w", err)
	}
	for name, value := range more {
		if _, ok := claims[name]; !ok {
			claims[name] = value
		}
	}
	return claims, nil
}

// name is what the claims call a person.
func (p *Provider) name(claims map[string]any) (string, error) {
	name, _ := claims[p.c.NameClaim].(string)
	if name = strings.TrimSpace(name); name == "" {
		return "", &RefusedError{"the identity provider does not say your " + p.c.NameClaim}
	}
	// Anyone may claim an address, and some providers omit email_verified instead of sending false.
	if verified := claims["email_verified"]; p.c.NameClaim == "email" && verified != true && verified != "true" {
		return "", &RefusedError{"the identity provider has not verified your email address"}
	}
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", &RefusedError{"your " + p.c.NameClaim + " is not a name that Serin can show"}
	}
	if !strings.Contains(name, "@") {
		name = "oidc:" + name // a token's owner may be called the same
	}
	return name, nil
}

// Identity returns what a member of these groups may do under the current configuration. The error is a *RefusedError
// if they may do nothing.
func (p *Provider) Identity(name string, groups []string) (server.Identity, error) {
	who := server.Identity{Name: name, Roles: slices.Clone(p.c.Everybody)}
	for _, g := range groups {
		who.Roles = append(who.Roles, p.c.Roles[g]...)
	}
	for _, t := range p.c.Teams {
		if slices.ContainsFunc(t.Groups, func(g string) bool { return slices.Contains(groups, g) }) {
			who.Bound = append(who.Bound, t.Grant)
		}
	}
	if len(who.Roles) == 0 && len(who.Bound) == 0 {
		return server.Identity{}, &RefusedError{name + " is in no group that has a role here"}
	}
	slices.Sort(who.Roles)
	who.Roles = slices.Compact(who.Roles)
	return who, nil
}

// listed reads a list of names, or a single one.
func listed(claim any) []string {
	switch claim := claim.(type) {
	case string:
		return []string{claim}
	case []any:
		var out []string
		for _, g := range claim {
			if g, ok := g.(string); ok {
				out = append(out, g)
			}
		}
		return out
	}
	return nil
}

// legible makes an external text printable, and bounds its length.
func legible(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.TrimSpace(s)
}
