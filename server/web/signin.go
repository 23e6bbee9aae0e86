package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/serindev/serin/server"
)

type signInPage struct {
	Base

	To       string
	Provider bool
	Wrong    string
}

func (s *site) signInPage(w http.ResponseWriter, r *http.Request) error {
	to := local(r.URL.Query().Get("to"))
	if sess, err := s.session(r); err == nil && !s.stale(sess) {
		seeOther(w, r, to)
		return nil
	}
	return s.askWho(w, r, http.StatusOK, to, "")
}

func (s *site) askWho(w http.ResponseWriter, r *http.Request, status int, to, wrong string) error {
	page := &signInPage{Base: Base{Title: "Sign in", Notice: notices[r.URL.Query().Get("done")]}, To: to, Provider: s.o.Provider != nil, Wrong: wrong}
	return s.show(w, r, status, "sign-in", nil, page)
}

// signIn signs in by token. There is no session yet, so only the check of the origin protects the form: without it, another
// site could sign a person in with its own token.
func (s *site) signIn(w http.ResponseWriter, r *http.Request) error {
	if err := sameOrigin(r); err != nil {
		return err
	}
	token, to := strings.TrimSpace(r.PostFormValue("token")), local(r.PostFormValue("to"))
	if _, err := s.o.Server.SignIn(r.Context(), token); err != nil {
		var p *server.Problem
		if errors.As(err, &p) && (p.Status == http.StatusUnauthorized || p.Status == http.StatusTooManyRequests) {
			return s.askWho(w, r, p.Status, to, p.Detail)
		}
		return err
	}
	if err := s.begin(w, r, session{Token: token}); err != nil {
		return err
	}
	seeOther(w, r, to)
	return nil
}

func (s *site) signOut(w http.ResponseWriter, r *http.Request, sess *session) error {
	s.forget(r.Context(), sess)
	s.o.Server.SignedOut(r.Context(), sess.who)
	setCookie(w, r, sessionCookie, "", 0)
	http.Redirect(w, r, "/sign-in?done=signOut", http.StatusSeeOther)
	return nil
}

// ticket is kept in the browser while its owner is at the identity provider.
type ticket struct {
	Ticket string    `json:"ticket"`
	To     string    `json:"to"`
	Until  time.Time `json:"until"`
}

func (s *site) callback() string {
	return strings.TrimSuffix(s.o.ExternalURL, "/") + "/sign-in/callback"
}

var errNoProvider = &httpError{http.StatusNotFound, "No identity provider is configured: sign in with a token"}

func (s *site) toProvider(w http.ResponseWriter, r *http.Request) error {
	if s.o.Provider == nil {
		return errNoProvider
	}
	// The ticket's cookie has to come back to the host that the provider knows, so a browser that uses another name is sent
	// there first.
	if u, err := url.Parse(s.o.ExternalURL); err == nil && u.Host != "" && !strings.EqualFold(u.Host, r.Host) {
		http.Redirect(w, r, strings.TrimSuffix(s.o.ExternalURL, "/")+"/sign-in", http.StatusSeeOther)
		return nil
	}
	address, keep, err := s.o.Provider.Begin(r.Context(), s.callback())
	if err != nil {
		s.o.Server.SignInFailed(r.Context(), "provider", err)
		return &httpError{http.StatusBadGateway, "The identity provider does not answer. Try again, or sign in with a token."}
	}
	sealed, err := s.seal.close(ticketCookie, ticket{keep, local(r.URL.Query().Get("to")), time.Now().Add(ticketAge)})
	if err != nil {
		return err
	}
	setCookie(w, r, ticketCookie, sealed, ticketAge)
	http.Redirect(w, r, address, http.StatusSeeOther)
	return nil
}

func (s *site) fromProvider(w http.ResponseWriter, r *http.Request) error {
	if s.o.Provider == nil {
		return errNoProvider
	}
	var t ticket
	if s.seal.open(ticketCookie, cookie(r, ticketCookie), &t) != nil || time.Now().After(t.Until) {
		t = ticket{To: "/"}
	}
	setCookie(w, r, ticketCookie, "", 0) // a ticket is good for one try
	name, groups, err := s.o.Provider.Finish(r.Context(), s.callback(), t.Ticket, r.URL.Query())
	var who server.Identity
	if err == nil {
		who, err = s.o.Provider.Identity(name, groups)
	}
	if err != nil {
		s.o.Server.SignInFailed(r.Context(), "provider", err)
		// A provider's errors for people are short sentences; other errors may contain something that they should not see.
		why := "The identity provider's answer could not be verified. Begin again; the daemon's log says more."
		var refused interface{ Refused() string }
		if errors.As(err, &refused) {
			why = refused.Refused()
		}
		return s.askWho(w, r, http.StatusForbidden, t.To, why)
	}
	if err := s.confirm(w, r, session{Name: name, Groups: groups, Confirmed: time.Now()}); err != nil {
		return err
	}
	s.o.Server.SignedIn(r.Context(), who, "by identity provider")
	seeOther(w, r, t.To)
	return nil
}

func theme(r *http.Request) string {
	switch t := cookie(r, themeCookie); t {
	case "light", "dark":
		return t
	}
	return ""
}

func (s *site) setTheme(w http.ResponseWriter, r *http.Request) error {
	if err := sameOrigin(r); err != nil {
		return err
	}
	value := r.PostFormValue("theme")
	if value != "light" && value != "dark" {
		value = ""
	}
	const year = 365 * 24 * time.Hour
	setCookie(w, r, themeCookie, value, year)
	seeOther(w, r, local(r.PostFormValue("to")))
	return nil
}
