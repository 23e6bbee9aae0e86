// Package web answers what people see in a browser: pages to watch releases, to decide at gates, and to find out afterwards
// why one was rolled back.
//
// It computes nothing: it shows what the daemon knows, and acts through the same methods as the API
// ([server.Server.Act] and its like). Whole pages are made on the server from embedded templates. They work without scripts:
// those only keep an open page up to date. Nothing is loaded from elsewhere, and the Content-Security-Policy forbids it.
//
// Start reading at [New]; session.go knows who is signed in, detail.go has the parts of a release's page, and report.go
// writes them as one file.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
)

// Provider signs people in elsewhere.
type Provider interface {
	// Begin returns the address to send a browser to, and a ticket that only this browser may keep; callback is where
	// the provider sends it back to.
	Begin(ctx context.Context, callback string) (address, ticket string, err error)
	// Finish says who has come back with this ticket and query, and which of their groups have to do with roles.
	Finish(ctx context.Context, callback, ticket string, query url.Values) (name string, groups []string, err error)
	// Identity says what such a person may do now; it returns an error if that is nothing.
	Identity(name string, groups []string) (server.Identity, error)
}

// Sessions remembers which sessions people have ended.
type Sessions interface {
	SignOut(ctx context.Context, session string, until, now time.Time) error
	SignedOut(ctx context.Context, now time.Time) (map[string]time.Time, error)
}

// Options configures the pages.
type Options struct {
	// Server carries out actions, and records them.
	Server *server.Server
	Engine server.Engine
	Store  server.Store
	// Problems lists what is wrong with the configuration now; nil for a daemon without configuration.
	Problems func() []server.ConfigProblem
	// Provider is nil if people sign in by token only.
	Provider Provider
	// Key seals sessions: 32 random bytes or more, the same in all daemons behind one address.
	Key []byte
	// MaxAge and Idle end a session; 0 means 12 hours and 2 hours. Recheck is how long the groups that a Provider has named
	// are trusted; 0 means 15 minutes.
	MaxAge, Idle, Recheck time.Duration
	// Sessions remembers ended sessions across restarts; with nil only this process knows them.
	Sessions Sessions
	// ExternalURL is where people reach the pages; needed for a Provider.
	ExternalURL string
	// Prometheus has the addresses of the sources of metrics by name, that of the daemon's own under "": pages link there
	// with a metric's queries.
	Prometheus map[string]string
	// Grafana is where pages link to with a metric's queries; the zero value makes no links.
	Grafana Grafana
	// Version of this build.
	Version string
	Log     *slog.Logger
}

// site serves the pages.
type site struct {
	o      Options
	sight  server.Sight
	mux    *http.ServeMux
	seal   *sealer
	assets map[string]asset
	drawn  drawings

	mu        sync.Mutex           // guards signedOut
	signedOut map[string]time.Time // sessions by id, until they would have ended by themselves
}

// New makes the pages. It returns an error if the key is too short, or if the ended sessions cannot be read.
func New(o Options) (http.Handler, error) {
	if o.MaxAge == 0 {
		o.MaxAge = 12 * time.Hour
	}
	if o.Idle == 0 {
		o.Idle = 2 * time.Hour
	}
	if o.Recheck == 0 {
		o.Recheck = 15 * time.Minute
	}
	seal, err := newSealer(o.Key)
	if err != nil {
		return nil, err
	}
	s := &site{
		o: o, sight: server.NewSight(o.Engine, o.Store, o.Problems), mux: http.NewServeMux(), seal: seal,
		assets: loadAssets(), signedOut: map[string]time.Time{},
	}
	s.routes()
	if o.Sessions != nil {
		ctx, cancel := context.WithTimeout(context.Background(), sessionTimeout)
		defer cancel()
		if s.signedOut, err = o.Sessions.SignedOut(ctx, time.Now()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *site) routes() {
	open := func(pattern string, f func(http.ResponseWriter, *http.Request) error) {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := f(w, r); err != nil {
				s.fail(w, r, err)
			}
		})
	}
	read := func(pattern string, f func(http.ResponseWriter, *http.Request, *session) error) {
		open(pattern, s.signedIn(f))
	}
	change := func(pattern string, f func(http.ResponseWriter, *http.Request, *session) error) {
		open(pattern, s.signedIn(s.ownForm(f)))
	}
	open("GET /sign-in", s.signInPage)
	open("POST /sign-in", s.signIn)
	open("GET /sign-in/provider", s.toProvider)
	open("GET /sign-in/callback", s.fromProvider)
	open("POST /theme", s.setTheme)
	open("GET /assets/{name}", s.asset)
	change("POST /sign-out", s.signOut)
	read("GET /{$}", s.overview)
	read("GET /rollouts/{name}", s.rollout)
	change("POST /rollouts/{name}/start", s.start)
	read("GET /releases/{id}", s.release)
	read("GET /releases/{id}/events", s.events)
	read("GET /releases/{id}/report", s.report)
	change("POST /releases/{id}/answer", s.answer)
	change("POST /releases/{id}/do/{action}", s.act)
	read("GET /history", s.history)
	read("GET /compare", s.compare)
	read("GET /audit", s.audit)
	read("GET /problems", s.problems)
	read("GET "+server.LivePath, s.live)
}

// policy allows only what the pages need: no inline script or style, nothing from elsewhere, no frames, and only forms that
// lead here.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would make our own forms look like another site's
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	if server.Secure(r) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.fail(w, r, &httpError{http.StatusNotFound, "There is no page " + r.URL.Path})
		return
	}
	s.mux.ServeHTTP(w, r)
}

// httpError is an error of the pages themselves, worded for people.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

// fail shows an error as a page.
func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	page := errorPage{Status: http.StatusInternalServerError}
	if own, ok := errors.AsType[*httpError](err); ok {
		page.Status, page.Text = own.status, own.text
	} else {
		p := s.o.Server.Explain(r.Context(), err)
		page.Status, page.Text, page.Request = p.Status, p.Detail, p.RequestID
	}
	page.Title = http.StatusText(page.Status)
	switch page.Status {
	case http.StatusUnauthorized:
		page.Title = "Sign in first"
	case http.StatusNotFound:
		page.Title = "Not found"
	case http.StatusForbidden:
		page.Title = "You may not do this"
	case http.StatusConflict:
		page.Title = "Not applied"
	}
	sess, _ := s.session(r) // for the head of the page only
	if err := s.show(w, r, page.Status, "error", sess, &page); err != nil {
		s.o.Log.Error("an error's page cannot be made", "err", err)
		http.Error(w, page.Title, page.Status)
	}
}

type errorPage struct {
	Base

	Status  int
	Text    string
	Request string
}

// Base is what every page has. It is exported because templates see exported fields only.
type Base struct {
	Title string
	Who   *Who
	// CSRF goes into every form.
	CSRF string
	// Theme is light, dark, or empty for that of the browser.
	Theme, ThemeNext string
	// Here is the address of this page, for forms that lead back.
	Here    string
	Nav     string
	Version string
	Assets  map[string]string
	// Live is the address of the page's event stream; empty for a page without live updates.
	Live string
	// Notice says what has just been done.
	Notice   string
	Problems int
}

// Who is signed in, as a page knows it.
type Who struct {
	Name  string
	Roles []string
}

// roleWords lists a person's roles, with the rollouts that they are limited to.
func roleWords(who server.Identity) []string {
	out := slices.Clone(who.Roles)
	for _, g := range who.Bound {
		for _, role := range g.Roles {
			out = append(out, role+" on "+strings.Join(g.Rollouts, ", "))
		}
	}
	return out
}

// may reports whether a page offers a person an action. If that cannot be determined now, it does not. The server checks
// again when the action is requested.
func may(ctx context.Context, who server.Identity, verb server.Verb, rolloutName string) bool {
	ok, err := who.May(ctx, verb, rolloutName)
	return ok && err == nil
}

// mayAnswer returns nil if a person may answer the open gate or question of a release; otherwise the error says who may.
func mayAnswer(ctx context.Context, who server.Identity, v record.View) error {
	name, roles, err := who.Approver(ctx, server.VerbApprove, v.Rollout)
	if err != nil {
		return err
	}
	if !may(ctx, who, server.VerbApprove, v.Rollout) {
		return fmt.Errorf("%s may not answer gates of %s", name, v.Rollout)
	}
	return v.Definition.MayAnswer(v.Gate, name, roles, v.State.StartedBy)
}

func (b *Base) base() *Base { return b }

// based is any page.
type based interface{ base() *Base }

// show writes a page. The page is made as a whole first, so that an error does not leave half a page.
func (s *site) show(w http.ResponseWriter, r *http.Request, status int, name string, sess *session, page based) error {
	b := page.base()
	b.Version, b.Assets, b.Here = s.o.Version, s.assetURLs(), here(r)
	b.Theme = theme(r)
	b.ThemeNext = map[string]string{"": "dark", "dark": "light", "light": "auto"}[b.Theme]
	if sess != nil {
		b.Who = &Who{Name: sess.who.Name, Roles: roleWords(sess.who)}
		b.CSRF = s.seal.csrf(sess.ID)
		b.Notice = notices[r.URL.Query().Get("done")]
		found, err := s.sight.Problems(server.As(r.Context(), sess.who))
		if err != nil {
			s.o.Log.Warn("cannot count configuration problems for a page", "err", err)
		}
		b.Problems = len(found)
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, page); err != nil {
		return fmt.Errorf("make the page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(visible(out.Bytes())) // an error means that the browser has gone
	return nil
}

// visible replaces invisible characters that change how the rest of a page is read: controls, and those that reverse the
// direction of text. Templates contain none, so they come from texts of users.
func visible(page []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, page)
}

// here is the address of this page, without the word for a notice.
func here(r *http.Request) string {
	if r.Method != http.MethodGet {
		return "/"
	}
	u := url.URL{Path: r.URL.Path}
	q := r.URL.Query()
	q.Del("done")
	u.RawQuery = q.Encode()
	return u.String()
}

// notices has what a page says after an action, by the word that is then in its address.
var notices = map[string]string{
	"start": "The release is started.", "pause": "Paused. Looks go on, and a fail still rolls back.",
	"resume": "Resumed.", "promote": "The release goes on without waiting.",
	"retry": "The version is being tried again.", "undo": "The previous version is being brought back.",
	"rollback": "Rolling back: all traffic goes to stable.", "cancel": "Cancelled.", "dismiss-alarm": "The alarm is dismissed for this weight.",
	"approve": "Approved.", "reject": "Rejected: the release goes back.", "wait": "The release keeps waiting.", "signOut": "You are signed out.",
	"confirm":   "Your sign-in is confirmed. Nothing has been done yet: please try again.",
	"supersede": "The active release goes back first; the new one starts then.",
}

// local returns an address within this site as it is, and the first page's address in place of any other.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || u.User != nil || !strings.HasPrefix(to, "/") ||
		strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

// seeOther sends the browser on to a page of this site: to begins with one slash, as [local] and [address] make it.
func seeOther(w http.ResponseWriter, r *http.Request, to string) {
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // see above
}

// templates has all pages; html/template escapes users' texts.
var templates = template.Must(template.New("").Funcs(functions).ParseFS(files, "templates/*.html"))

// reportTemplates are the same for reports, which are read later and elsewhere: every time has its day.
var reportTemplates = template.Must(templates.Clone()).Funcs(template.FuncMap{
	"clock": brief, "ago": brief, "for": func(t time.Time) string { return "since " + brief(t) },
})
