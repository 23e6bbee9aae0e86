package web

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/serindev/serin/server"
)

// session is a signed-in person. It is kept in the browser, sealed, so that several daemons can serve one person and a
// restart signs nobody out. A session that was begun with a token holds it: it ends when the token is revoked. One that
// was begun at an identity provider holds the person's groups. Each request asks what roles these give today, and the
// provider is asked for them again every [Options.Recheck].
type session struct {
	ID    string `json:"id"`
	Token string `json:"token,omitempty"`
	// Name and Groups are what the provider said at Confirmed.
	Name      string    `json:"name,omitempty"`
	Groups    []string  `json:"groups,omitempty"`
	Confirmed time.Time `json:"confirmed,omitzero"`
	Began     time.Time `json:"began"`
	Seen      time.Time `json:"seen"`

	who server.Identity
}

// Names of cookies. With TLS they get a prefix, with which browsers only accept them from this host over TLS (RFC 6265bis,
// section 4.1.3).
const (
	sessionCookie = "serin-session"
	ticketCookie  = "serin-sign-in"
	themeCookie   = "serin-theme"
	hostPrefix    = "__Host-"
)

const (
	// ticketAge is how long a person may take at the identity provider.
	ticketAge = 10 * time.Minute
	// touchEvery is how often the cookie of a session in use is renewed.
	touchEvery = time.Minute
	// maxSignedOut is how many ended sessions are remembered. When there are more, those that have expired by now are
	// forgotten.
	maxSignedOut = 10_000
	// minKey is the least length of a key, in bytes.
	minKey = 32
	// sessionTimeout bounds a request to the store about sessions.
	sessionTimeout = 5 * time.Second
)

// errSignedOut says that nobody is signed in.
var errSignedOut = errors.New("nobody is signed in")

// sealer encrypts cookies, and makes the CSRF tokens of forms.
type sealer struct {
	aead   cipher.AEAD
	macKey []byte
}

func newSealer(key []byte) (*sealer, error) {
	if len(key) < minKey {
		return nil, fmt.Errorf("the key of sessions has %d bytes, expected %d or more", len(key), minKey)
	}
	sealKey, err := hkdf.Key(sha256.New, key, nil, "serin session", 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	macKey, err := hkdf.Key(sha256.New, key, nil, "serin form", 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	block, err := aes.NewCipher(sealKey)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	return &sealer{aead, macKey}, nil
}

// close seals v for one purpose; it cannot be opened for another.
func (s *sealer) close(purpose string, v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode a %s: %w", purpose, err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, b, []byte(purpose))), nil //nolint:gosec // it makes its nonce itself
}

func (s *sealer) open(purpose, sealed string, v any) error {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return fmt.Errorf("decode a %s: %w", purpose, err)
	}
	plain, err := s.aead.Open(nil, nil, b, []byte(purpose))
	if err != nil {
		return fmt.Errorf("open a %s: %w", purpose, err)
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("decode a %s: %w", purpose, err)
	}
	return nil
}

// csrf returns the CSRF token of a session's forms.
func (s *sealer) csrf(session string) string {
	h := hmac.New(sha256.New, s.macKey)
	h.Write([]byte(session))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func setCookie(w http.ResponseWriter, r *http.Request, name, value string, age time.Duration) {
	c := &http.Cookie{ //nolint:gosec // Secure wherever there is TLS; on loopback there is none
		Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()), HttpOnly: true, Secure: server.Secure(r),
		SameSite: http.SameSiteLaxMode, // with strict, a link in a chat would lead to the sign-in page
	}
	if c.Secure {
		c.Name = hostPrefix + name
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func cookie(r *http.Request, name string) string {
	if server.Secure(r) {
		name = hostPrefix + name
	}
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// begin signs a person in.
func (s *site) begin(w http.ResponseWriter, r *http.Request, sess session) error {
	now := time.Now()
	sess.ID, sess.Began, sess.Seen = rand.Text(), now, now
	return s.keep(w, r, &sess)
}

// confirm continues the session of the same person, or begins one. A session ends after [Options.MaxAge], however often the
// provider confirms it.
func (s *site) confirm(w http.ResponseWriter, r *http.Request, sess session) error {
	before, err := s.session(r)
	if err != nil || before.Token != "" || before.Name != sess.Name {
		return s.begin(w, r, sess)
	}
	sess.ID, sess.Began, sess.Seen = before.ID, before.Began, time.Now()
	return s.keep(w, r, &sess)
}

func (s *site) keep(w http.ResponseWriter, r *http.Request, sess *session) error {
	sealed, err := s.seal.close(sessionCookie, sess)
	if err != nil {
		return err
	}
	const most = 4000 // browsers keep 4,096 bytes with the name (RFC 6265, section 6.1)
	if len(sealed) > most {
		return &httpError{http.StatusForbidden, "You are in more groups than a session can hold"}
	}
	setCookie(w, r, sessionCookie, sealed, s.o.MaxAge)
	return nil
}

// session returns the request's session, or errSignedOut.
func (s *site) session(r *http.Request) (*session, error) {
	var sess session
	value := cookie(r, sessionCookie)
	if value == "" || s.seal.open(sessionCookie, value, &sess) != nil {
		return nil, errSignedOut
	}
	now := time.Now()
	if now.Sub(sess.Began) >= s.o.MaxAge || now.Sub(sess.Seen) >= s.o.Idle || s.isSignedOut(sess.ID) {
		return nil, errSignedOut
	}
	var err error
	switch {
	case sess.Token != "":
		sess.who, err = s.o.Server.Whose(r.Context(), sess.Token)
	case s.o.Provider != nil:
		sess.who, err = s.o.Provider.Identity(sess.Name, sess.Groups)
	default:
		err = errSignedOut
	}
	if err != nil {
		return nil, errSignedOut // the token was revoked, or the groups have no role any more
	}
	server.Proven(r.Context())
	return &sess, nil
}

// stale reports whether the provider has to confirm the person again.
func (s *site) stale(sess *session) bool {
	return sess.Token == "" && time.Since(sess.Confirmed) >= s.o.Recheck
}

// askAgain sends a person to the provider and back to the page; while they are signed in there, that needs no click. A form
// is not acted on: its sender may have lost the role for it.
func (s *site) askAgain(w http.ResponseWriter, r *http.Request) error {
	if isScript(r) {
		w.Header().Set("Serin-Sign-In", "again")
		return &httpError{http.StatusUnauthorized, "Your sign-in has to be confirmed: reload the page"}
	}
	to := here(r)
	if r.Method != http.MethodGet {
		from, err := url.Parse(r.Referer())
		if err != nil {
			from = &url.URL{Path: "/"}
		}
		to = local(address(from.EscapedPath(), "done", "confirm"))
	}
	http.Redirect(w, r, address("/sign-in/provider", "to", to), http.StatusSeeOther)
	return nil
}

// signedIn lets in a person who is signed in and may read; anyone else is sent to the sign-in page and back.
func (s *site) signedIn(f func(http.ResponseWriter, *http.Request, *session) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		sess, err := s.session(r)
		if err != nil {
			if r.Method != http.MethodGet || isScript(r) {
				return &httpError{http.StatusUnauthorized, "You are not signed in, or your session has ended: sign in and try again"}
			}
			http.Redirect(w, r, "/sign-in?"+url.Values{"to": {here(r)}}.Encode(), http.StatusSeeOther)
			return nil
		}
		if s.stale(sess) && r.URL.Path != "/sign-out" {
			return s.askAgain(w, r)
		}
		// A page that updates itself must not keep a session alive: the person may have left.
		if now := time.Now(); !isScript(r) && now.Sub(sess.Seen) >= touchEvery {
			sess.Seen = now
			if err := s.keep(w, r, sess); err != nil {
				return err
			}
		}
		if !sess.who.Reads() && r.URL.Path != "/sign-out" {
			return &httpError{http.StatusForbidden, sess.who.Name + " has no role that may read"}
		}
		return f(w, r.WithContext(server.As(r.Context(), sess.who)), sess)
	}
}

// isScript reports whether the request comes from a page's script.
func isScript(r *http.Request) bool {
	return r.Header.Get("X-Serin-Live") != "" || r.URL.Path == server.LivePath
}

// ownForm refuses a request that does not come from one of our forms: another site's page has neither our origin nor the
// session's CSRF token.
func (s *site) ownForm(f func(http.ResponseWriter, *http.Request, *session) error) func(http.ResponseWriter, *http.Request, *session) error {
	return func(w http.ResponseWriter, r *http.Request, sess *session) error {
		if err := sameOrigin(r); err != nil {
			return err
		}
		if err := r.ParseForm(); err != nil {
			return &httpError{http.StatusBadRequest, "The form cannot be read"}
		}
		if !hmac.Equal([]byte(r.PostForm.Get("csrf")), []byte(s.seal.csrf(sess.ID))) {
			return &httpError{http.StatusForbidden, "This form belongs to another session: open the page again"}
		}
		return f(w, r, sess)
	}
}

var crossOrigin = http.NewCrossOriginProtection()

func sameOrigin(r *http.Request) error {
	if crossOrigin.Check(r) != nil {
		return &httpError{http.StatusForbidden, "This request comes from another site's page, and was refused"}
	}
	return nil
}

func (s *site) isSignedOut(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, out := s.signedOut[id]
	return out
}

// forget revokes a session, and with it every copy of its cookie: at once in this process, and through the store in a daemon
// that restarts or takes over.
func (s *site) forget(ctx context.Context, sess *session) {
	if s.o.Sessions != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTimeout)
		defer cancel()
		if err := s.o.Sessions.SignOut(ctx, sess.ID, sess.Began.Add(s.o.MaxAge), time.Now()); err != nil {
			s.o.Log.Error("an ended session will be valid again after a restart: the store could not record its end", "by", sess.who.Name, "err", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); len(s.signedOut) >= maxSignedOut {
		for id, until := range s.signedOut {
			if now.After(until) {
				delete(s.signedOut, id)
			}
		}
	}
	if len(s.signedOut) < maxSignedOut {
		s.signedOut[sess.ID] = sess.Began.Add(s.o.MaxAge)
	}
}
