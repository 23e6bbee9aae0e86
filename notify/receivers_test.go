package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/record"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // the example of Standard Webhooks

// program is a real HTTP server that takes events.
type program struct {
	*httptest.Server
	mu       sync.Mutex // guards what follows
	statuses []int      // of the next answers; 204 after them
	requests []request
}

type request struct {
	header http.Header
	body   []byte
}

func newProgram(t *testing.T, statuses ...int) *program {
	p := &program{statuses: statuses}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		p.requests = append(p.requests, request{r.Header, body})
		status := http.StatusNoContent
		if len(p.statuses) > 0 {
			status, p.statuses = p.statuses[0], p.statuses[1:]
		}
		w.Header().Set("Location", "/elsewhere")
		if status != http.StatusInternalServerError { // after that one, the next try comes soon
			w.Header().Set("Retry-After", "120")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *program) got() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]request(nil), p.requests...)
}

func (p *program) receiver(t *testing.T, on ...Kind) Receiver {
	c, err := NewCloudEvents(p.URL+"/hook?token=hunter2", secret, "https://serin.example")
	require.NoError(t, err)
	return Receiver{Name: "webhook", On: on, Send: c.Send}
}

func TestAProgramGetsSignedCloudEvents(t *testing.T) {
	p, w := newProgram(t), newWorld(t)
	w.run(t, quiet(t), p.receiver(t, Gate))
	w.toGate(t)
	await.True(t, func() bool { return len(p.got()) == 1 })
	got := p.got()[0]
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify(got.body, got.header))
	require.Error(t, verifier.Verify(append(got.body, ' '), got.header))

	require.Equal(t, "application/cloudevents+json", got.header.Get("Content-Type"))
	var e event.Event
	require.NoError(t, json.Unmarshal(got.body, &e))
	require.NoError(t, e.Validate())
	require.Equal(t, "dev.serin.release.gate", e.Type())
	require.Equal(t, "https://serin.example", e.Source())
	require.Equal(t, "shop/"+release, e.Subject())
	require.Equal(t, got.header.Get("Webhook-Id"), e.ID())
	var n Note
	require.NoError(t, e.DataAs(&n))
	require.Equal(t, "full", n.Gate.Name)
	require.Equal(t, "<!channel> @everyone\n[here](https://evil.example)", n.Parameters["note"], "programs get it as it is")
	require.Len(t, n.Explanation.Metrics, 1)
	require.InDelta(t, .5, float64(n.Weight), 1e-9)
}

func TestAnEventIsTheSameAtEveryTry(t *testing.T) {
	p, w := newProgram(t, 500, 503, 404, 302, 408), newWorld(t)
	w.run(t, quiet(t), p.receiver(t, Started))
	await.True(t, func() bool { return len(p.got()) == 2 }, "503 says when to try again")
	for i := range 4 { // what the outbox would do two minutes later, and after that
		c, err := NewCloudEvents(p.URL, secret, "")
		require.NoError(t, err)
		m, err := w.store.Outbox(t.Context(), 1)
		require.NoError(t, err)
		var n Note
		require.NoError(t, json.Unmarshal(m[0].Body, &n))
		err = c.Send(t.Context(), m[0].Key, n)
		require.Equal(t, i < 3, err != nil, "%v", err)
		require.NotErrorIs(t, err, ErrRefused)
	}
	got := p.got()
	require.Equal(t, got[0].body, got[1].body)
	for _, r := range got[1:] {
		require.Equal(t, got[0].header.Get("Webhook-Id"), r.header.Get("Webhook-Id"))
	}
}

func TestAnswersOfPrograms(t *testing.T) {
	for status, want := range map[int]string{
		200: "", 202: "", 204: "", 302: "302 Found", 400: "refused: 400", 401: "401", 410: "refused: 410", 413: "refused: 413", 422: "refused: 422", 429: "429", 500: "500",
	} {
		p := newProgram(t, status)
		err := p.receiver(t).Send(t.Context(), "k", Note{Kind: Gate, At: noon})
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
		require.Len(t, p.got(), 1, "a redirect is not followed")
		var retry *RetryError
		if errors.As(err, &retry) {
			require.Equal(t, 2*time.Minute, retry.After)
		}
		require.Equal(t, status != 500, retry != nil, "it says when to try again")
	}
}

func TestSecretsOfSignatures(t *testing.T) {
	_, err := NewCloudEvents("http://a", "whsec_hunter2!", "")
	require.ErrorContains(t, err, "not base64")
	require.NotContains(t, err.Error(), "hunter2")
	_, err = NewCloudEvents("http://a", "", "")
	require.ErrorContains(t, err, "empty")
	c, err := NewCloudEvents("http://a", "sixteen bytes or more", "")
	require.NoError(t, err)
	require.Equal(t, "sixteen bytes or more", string(c.key))
}

// letter is one mail as the server got it.
type letter struct {
	from string
	to   []string
	data []byte
}

// post is a real SMTP server.
type post struct {
	address string
	letters chan letter
	mu      sync.Mutex // guards refuse
	refuse  error
}

type postSession struct {
	p *post
	l letter
}

func newPost(t *testing.T) *post {
	p := &post{letters: make(chan letter, 10)}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &postSession{p: p}, nil }))
	s.Domain, s.AllowInsecureAuth = "localhost", true
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.address = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, <-done)
	})
	return p
}

func (s *postSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *postSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "serin" || password != "hunter2" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}
func (s *postSession) Mail(from string, _ *smtp.MailOptions) error { s.l.from = from; return nil }
func (s *postSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.l.to = append(s.l.to, to)
	return nil
}
func (s *postSession) Reset()        { s.l = letter{} }
func (s *postSession) Logout() error { return nil }
func (s *postSession) Data(r io.Reader) (err error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.p.refuse != nil {
		return s.p.refuse
	}
	s.l.data, err = io.ReadAll(r)
	s.p.letters <- s.l
	return err
}

func TestAMailboxGetsAMailOnceTheServerTakesIt(t *testing.T) {
	p, w := newPost(t), newWorld(t)
	p.refuse = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the disk is full"}
	send, err := Chat("smtp://serin:hunter2@" + p.address + "/?from=serin@example.com&to=qa@example.com&auth=Plain&usestarttls=no&encryption=None&clienthost=localhost")
	require.NoError(t, err)
	var log lockedBuffer
	w.run(t, slog.New(slog.NewTextHandler(&log, nil)), Receiver{Name: "mail", On: []Kind{Gate}, Send: send})
	w.toGate(t)
	await.True(t, func() bool {
		m, err := w.store.Outbox(t.Context(), 1)
		return err == nil && len(m) == 1 && strings.Contains(m[0].Detail, "the disk is full")
	})
	p.mu.Lock()
	p.refuse = nil
	p.mu.Unlock()
	l := <-p.letters
	require.NotContains(t, log.String(), "hunter2")
	require.Equal(t, "serin@example.com", l.from)
	require.Equal(t, []string{"qa@example.com"}, l.to)
	m, err := mail.ReadMessage(bytes.NewReader(l.data))
	require.NoError(t, err)
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	require.NoError(t, err)
	require.Equal(t, "[serin] shop: gate full waits for an answer from qa, release-manager", subject)
	text := body(t, m)
	require.Contains(t, text, "serin approve "+release+" full")
	require.Contains(t, text, "https://serin.example/releases/"+release)
}

// body returns the text of a mail, without its line wrapping.
func body(t *testing.T, m *mail.Message) string {
	t.Helper()
	read := func(encoding string, r io.Reader) string {
		if strings.EqualFold(encoding, "quoted-printable") {
			r = quotedprintable.NewReader(r)
		}
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		return string(b)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return read(m.Header.Get("Content-Transfer-Encoding"), m.Body)
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextPart()
	require.NoError(t, err)
	return read(part.Header.Get("Content-Transfer-Encoding"), part)
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestNoPartOfAnAddressIsEverShown(t *testing.T) {
	const dead = "127.0.0.1:1" // nobody answers there
	for _, address := range []string{
		"generic+http://" + dead + "/hunter2-path?token=hunter2-query",
		"generic://" + dead + "/hunter2-path?disabletls=yes&token=hunter2-query",
		"gotify://" + dead + "/hunter2Ahunter2?disabletls=yes",
		"ntfy://hunter2-user:hunter2-password@" + dead + "/hunter2-topic?scheme=http",
		"smtp://hunter2-user:hunter2-password@" + dead + "/?from=a@example.com&to=hunter2@example.com",
		"mattermost://hunter2-user@" + dead + "/hunter2-token/hunter2-channel?disabletls=yes",
		"rocketchat://hunter2-user@" + dead + "/hunter2-token/hunter2-token/hunter2-channel",
	} {
		t.Run(strings.SplitN(address, ":", 2)[0], func(t *testing.T) {
			send, err := Chat(address)
			if err == nil {
				err = send(t.Context(), "k", Note{Kind: Gate, Title: "t", Text: "x"})
			}
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	for _, address := range []string{"hunter2", "nosuch://hunter2", "slack://hunter2", "telegram://hunter2", "://hunter2", "slack://hunter2@%zz"} {
		_, err := Chat(address)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
	c, err := NewCloudEvents("http://"+dead+"/hunter2?x=hunter2", secret, "")
	require.NoError(t, err)
	err = c.Send(t.Context(), "k", Note{At: noon})
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "hunter2")
}

// With a redirect, the new address would get the token of the old one in the Referer, and after a 307 the whole message.
func TestNoMessageFollowsARedirect(t *testing.T) {
	before := http.DefaultTransport
	RefuseRedirects()
	t.Cleanup(func() { http.DefaultTransport = before })
	for _, status := range []int{http.StatusMovedPermanently, http.StatusSeeOther, http.StatusTemporaryRedirect} {
		elsewhere := newProgram(t)
		here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) }))
		t.Cleanup(here.Close)
		host := strings.TrimPrefix(here.URL, "http://")
		for _, address := range []string{
			"generic+http://" + host + "/hook?token=hunter2",
			"generic+http://" + host + "/hook?token=hunter2&method=GET",
			"gotify://" + host + "/AhunterAhunter2?disabletls=yes",
			"ntfy://" + host + "/topic?scheme=http",
			"mattermost://" + host + "/hunter2?disabletls=yes",
		} {
			name, _, _ := strings.Cut(address, ":")
			send, err := Chat(address)
			require.NoError(t, err, name)
			require.Error(t, send(t.Context(), "k", Note{Kind: Gate, Title: "t", Text: "x"}), "%s, %d", name, status)
		}
		require.Empty(t, elsewhere.got(), status)
		question, err := http.NewRequestWithContext(t.Context(), http.MethodGet, here.URL, http.NoBody)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(question)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Len(t, elsewhere.got(), 1, "a question is asked again")
	}
}

func FuzzPlainTextIsOneHarmlessLine(f *testing.F) {
	for _, s := range []string{"<!channel>", "@here", "[a](http://b)", "a\r\nb", "\u202eabc", "](", "]\u200b(", strings.Repeat("x", 1000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := plain(s)
		for _, bad := range []string{"<", ">", "\n", "\r", "\x00", "\u202e", "](", "@here", "@everyone", "@channel", "\u2028"} {
			require.NotContains(t, out, bad)
		}
		require.LessOrEqual(t, len([]rune(out)), 2*longestLine)
	})
}

func FuzzARedactorShowsNoPartOfASecret(f *testing.F) {
	f.Add("slack://hook:T0123-B0123-hunter2hunter2@webhook", "Post \"https://hooks.slack.com/services/T0123/B0123/hunter2hunter2\": dial tcp: refused")
	f.Add("smtp://user:p%40ssword@mail/?to=a@b.example", "535 p@ssword is wrong")
	f.Fuzz(func(t *testing.T, address, text string) {
		r := newRedactor(address)
		out := r.text(errors.New(text))
		require.NotContains(t, out, "\n")
		for _, p := range r.parts {
			if !strings.Contains("***", p) && len(p) >= leastPart {
				require.NotContains(t, strings.ReplaceAll(out, "***", "\x00"), p)
			}
		}
	})
}

func TestAMessageIsTriedUntilAReceiverWorks(t *testing.T) {
	p, w := newProgram(t), newWorld(t)
	var works atomic.Bool
	receiver := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if !works.Load() {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		p.Config.Handler.ServeHTTP(out, r)
	}))
	t.Cleanup(receiver.Close)
	c, err := NewCloudEvents(receiver.URL, secret, "")
	require.NoError(t, err)
	w.run(t, quiet(t), Receiver{Name: "webhook", On: []Kind{Started}, Send: c.Send})
	await.True(t, func() bool {
		m, err := w.store.Outbox(t.Context(), 1)
		return err == nil && len(m) == 1 && m[0].Tries > 3 && m[0].State == record.OutgoingWaiting
	})
	works.Store(true)
	await.True(t, func() bool { return len(p.got()) == 1 })
}
