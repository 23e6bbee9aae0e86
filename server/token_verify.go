package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The roles that Serin knows; any other word is a role that gates may name as approver.
const (
	RoleViewer   = "viewer"   // reads
	RoleOperator = "operator" // starts, pauses, resumes, rolls back, cancels, dismisses alarms, answers gates without approvers
	RoleJudge    = "judge"    // opens nothing: tokens of an earlier release have it, and must not read because of that
	RoleAdmin    = "admin"    // everything
)

// ownRoles are those with a meaning of their own.
var ownRoles = []string{RoleViewer, RoleOperator, RoleJudge, RoleAdmin}

// Bounds of what sign-in remembers.
const (
	// maxSources are tracked separately; beyond that all failures are forgotten.
	maxSources = 4096
	// failureBurst wrong tokens from one address, then one every failureEvery.
	failureBurst = 10
	failureEvery = 6 * time.Second
	// The same for tokens of the cluster, each of which costs the API server a question. A valid one that is new to this
	// daemon and not signed by the cluster (a person's, of an identity provider) is among them, so there are more.
	clusterBurst = 100
	clusterEvery = 100 * time.Millisecond
	// argonAtOnce: each takes 19 MiB and a core for some 20 ms; maxWaiting are those of one name that wait for it.
	argonAtOnce = 2
	maxWaiting  = 8
	// maxFirstToken is longer than any token.
	maxFirstToken = 4096
)

// Tokens knows the owners of tokens. It follows its file: a change counts from the next request on.
type Tokens struct {
	path string // empty for the first token
	log  *slog.Logger
	slow chan struct{} // places for Argon2id

	mu       sync.Mutex // guards what follows
	stamp    fs.FileInfo
	failed   string                         // of the last reading, so that it is logged once
	good     map[[sha256.Size]byte]Identity // whose a secret of this SHA-256 is
	old      map[string]*oldToken           // those with an Argon2id hash, by name
	learned  map[[sha256.Size]byte]Identity // as good, of those in old that have been here
	failures map[string]*rate.Limiter
}

func newTokens(path string, log *slog.Logger) *Tokens {
	return &Tokens{
		path: path, log: log, slow: make(chan struct{}, argonAtOnce),
		good: map[[sha256.Size]byte]Identity{}, learned: map[[sha256.Size]byte]Identity{}, failures: map[string]*rate.Limiter{},
	}
}

// OpenTokens reads tokens.yaml; its error lists everything that is wrong with it. If the file breaks later, the last good
// tokens stay in use, and the log has the error.
func OpenTokens(path string, log *slog.Logger) (*Tokens, error) {
	t := newTokens(path, log)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	if err := t.read(); err != nil {
		return nil, err
	}
	return t, nil
}

// FirstToken is for a daemon without a tokens file: it creates an admin's token in a file of mode 0600, unless the file
// exists, and accepts that token only. It refuses a file that others may read.
func FirstToken(path string) (*Tokens, error) {
	secret, err := firstToken(path)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(secret, ".")
	if len(parts) != 3 || parts[0] != secretPrefix || checkToken(parts[1], []string{RoleAdmin}) != nil {
		return nil, fmt.Errorf("%s does not hold a token: remove the file, and a new one is made", path)
	}
	t := newTokens("", nil)
	t.good[sha256.Sum256([]byte(secret))] = Identity{Name: parts[1], Roles: []string{RoleAdmin}}
	return t, nil
}

// firstName is the name of the first token's owner in events and in the audit log.
const firstName = "local-admin"

func firstToken(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		secret, _, err := NewToken(firstName, []string{RoleAdmin})
		if err != nil {
			return "", err
		}
		return secret, WriteSecretFile(path, []byte(secret+"\n"))
	case err != nil:
		return "", fmt.Errorf("read the first token: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("read the first token: others may read %s (mode %04o): chmod 600 it, or remove "+
			"it and a new one is made", path, info.Mode().Perm())
	case info.Size() > maxFirstToken:
		return "", fmt.Errorf("%s does not hold a token: remove the file, and a new one is made", path)
	}
	b, err := os.ReadFile(path) //nolint:gosec // the daemon's own choice
	if err != nil {
		return "", fmt.Errorf("read the first token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// read takes over the file. t.mu is not held.
func (t *Tokens) read() error {
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	tokens, err := LoadTokens(t.path)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stamp = info
	if err != nil {
		return err
	}
	t.good, t.learned = map[[sha256.Size]byte]Identity{}, map[[sha256.Size]byte]Identity{}
	t.old = map[string]*oldToken{}
	for _, one := range tokens {
		if sum, ok := parseSum(one.Hash); ok {
			t.good[sum] = one.identity()
		} else {
			t.old[one.Name] = newOldToken(one)
		}
	}
	if len(t.old) > 0 {
		t.log.Warn("tokens with a slow hash of an earlier release can be held up by others: make them again, and revoke these",
			"path", t.path, "names", slices.Sorted(maps.Keys(t.old)))
	}
	return nil
}

// follow reads the file again if it has changed.
func (t *Tokens) follow() {
	if t.path == "" {
		return
	}
	info, err := os.Stat(t.path)
	t.mu.Lock()
	same := err == nil && t.stamp != nil && os.SameFile(info, t.stamp) && info.ModTime().Equal(t.stamp.ModTime()) && info.Size() == t.stamp.Size()
	t.mu.Unlock()
	if same {
		return
	}
	if err == nil {
		err = t.read()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.failed = ""
		t.log.Info("tokens read", "path", t.path, "tokens", len(t.good)+len(t.old))
	case t.failed != err.Error():
		t.failed = err.Error()
		t.log.Error("tokens cannot be read, the last good ones stay", "path", t.path, "err", err)
	}
}

// Verify returns the owner of a token; from is the remote address. The error is a *Problem: 401 for an unknown token,
// 429 if too many of those have come from the address. A valid token is accepted whatever others do.
func (t *Tokens) Verify(ctx context.Context, token, from string) (Identity, error) {
	t.follow()
	sum := sha256.Sum256([]byte(token))
	now := time.Now()
	t.mu.Lock()
	who, good := t.good[sum]
	if !good {
		who, good = t.learned[sum]
	}
	old, slow := t.old[nameIn(token)]
	var brake *rate.Limiter
	if !good {
		brake = t.limiter(source(from), failureEvery, failureBurst)
		if slow { // attempts from this address with other names do not count against this one
			brake = t.limiter(source(from)+" "+old.token.Name, failureEvery, failureBurst)
		}
	}
	t.mu.Unlock()
	if good {
		return who, nil
	}
	err := pay(brake, now, func() error {
		if slow {
			if good, err := old.verify(ctx, t.slow, token); good || err != nil {
				return err
			}
		}
		return newProblem(http.StatusUnauthorized, "this token is not known, or was revoked")
	})
	if err != nil {
		return Identity{}, err
	}
	who = old.token.identity()
	t.remember(sum, old, who)
	return who, nil
}

// pay charges the brake before any work, so that it also holds for parallel requests, and refunds the charge unless the
// work finds that the token is wrong.
func pay(brake *rate.Limiter, now time.Time, work func() error) error {
	paid := brake.ReserveN(now, 1)
	if paid.DelayFrom(now) > 0 {
		paid.CancelAt(now)
		return throttled("too many wrong tokens from this address")
	}
	err := work()
	var p *Problem
	if !errors.As(err, &p) || p.Status != http.StatusUnauthorized {
		paid.CancelAt(now)
	}
	return err
}

// braked runs the check of a token of the cluster, and slows it down after too many wrong ones from one address. The
// names in them cannot be used as keys: their senders choose them.
func (t *Tokens) braked(from string, work func() error) error {
	t.mu.Lock()
	brake := t.limiter(source(from)+" cluster", clusterEvery, clusterBurst)
	t.mu.Unlock()
	return pay(brake, time.Now(), work)
}

func throttled(why string) *Problem {
	return &Problem{
		Type: "urn:serin:too-many-failures", Title: http.StatusText(http.StatusTooManyRequests), Status: http.StatusTooManyRequests,
		Detail: why, retryAfter: failureEvery,
	}
}

// oldToken is one with an Argon2id hash. Attempts at it queue among themselves, one hash at a time and a few waiting, so
// that they hold up no other token.
type oldToken struct {
	token Token
	queue chan struct{} // places for those who wait, and the one whose turn it is
	turn  chan struct{}
}

func newOldToken(t Token) *oldToken {
	return &oldToken{token: t, queue: make(chan struct{}, maxWaiting+1), turn: make(chan struct{}, 1)}
}

// verify pays for one Argon2id, at one of the places for all.
func (o *oldToken) verify(ctx context.Context, places chan struct{}, secret string) (bool, error) {
	select {
	case o.queue <- struct{}{}:
		defer func() { <-o.queue }()
	default:
		return false, throttled("too many tokens of this name at once")
	}
	for _, place := range []chan struct{}{o.turn, places} {
		select {
		case place <- struct{}{}:
			defer func() { <-place }()
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return o.token.Verify(secret), nil
}

// remember spares the next request of the same token its Argon2id.
func (t *Tokens) remember(sum [sha256.Size]byte, of *oldToken, who Identity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.old[who.Name] != of {
		return // the file was read again meanwhile
	}
	t.learned[sum] = who
}

// limiter is the one of an address, made at its first use. t.mu is held.
func (t *Tokens) limiter(from string, every time.Duration, burst int) *rate.Limiter {
	l, ok := t.failures[from]
	if !ok {
		if len(t.failures) >= maxSources {
			clear(t.failures)
		}
		l = rate.NewLimiter(rate.Every(every), burst)
		t.failures[from] = l
	}
	return l
}

// source is the key by which failures are counted: an IPv4 address, or the /64 of an IPv6 site.
func source(remote string) string {
	if _, client, ok := strings.Cut(remote, " for "); ok { // trusted: see [origin]
		remote = client
	}
	host := hostIn(remote)
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
