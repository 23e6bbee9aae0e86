package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Identity is who makes a request.
type Identity struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
}

// Has tells whether somebody has a role; an admin has every one, and everybody who is not only a judge may read.
func (i Identity) Has(role string) bool {
	if slices.Contains(i.Roles, RoleAdmin) || slices.Contains(i.Roles, role) {
		return true
	}
	return role == RoleViewer && slices.ContainsFunc(i.Roles, func(r string) bool { return r != RoleJudge })
}

// The roles that Serin knows; any other word is a role that gates may name as approver.
const (
	RoleViewer   = "viewer"   // reads
	RoleOperator = "operator" // starts, pauses, resumes, rolls back, cancels, dismisses alarms, answers gates without approvers
	RoleJudge    = "judge"    // the judging APIs only: by itself it does not read releases
	RoleAdmin    = "admin"    // everything
)

// Bounds of what sign-in remembers.
const (
	// maxVerified tokens are remembered, so that argon2id is not paid for each request.
	maxVerified = 1024
	// maxSources of failures are told apart; beyond that, all are forgotten.
	maxSources = 4096
	// failureBurst wrong tokens from one address, then one every failureEvery.
	failureBurst = 10
	failureEvery = 6 * time.Second
	// argonAtOnce: each takes 19 MiB and a core for some 20 ms.
	argonAtOnce = 2
	// maxFirstToken is longer than any token.
	maxFirstToken = 4096
)

// Tokens says whose a token is. It follows its file: what is written there counts from the next request on.
type Tokens struct {
	path string // empty for the first token
	log  *slog.Logger
	slow chan struct{} // places for argon2id

	mu       sync.Mutex // guards what follows
	stamp    fs.FileInfo
	failed   string // of the last reading, to say it once
	tokens   []Token
	verified map[[sha256.Size]byte]Identity
	failures map[string]*rate.Limiter
}

func newTokens(path string, log *slog.Logger) *Tokens {
	return &Tokens{
		path: path, log: log, slow: make(chan struct{}, argonAtOnce),
		verified: map[[sha256.Size]byte]Identity{}, failures: map[string]*rate.Limiter{},
	}
}

// OpenTokens reads tokens.yaml; an error says all that is wrong with it. Later a broken file leaves the last good
// one in use, with an error in the log.
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

// FirstToken is for a daemon without a tokens file: it makes a token of an admin's in a file of mode 0600, unless it
// is there already, and takes that one alone. It refuses a file that others may read.
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
	t.verified[sha256.Sum256([]byte(secret))] = Identity{Name: parts[1], Roles: []string{RoleAdmin}}
	return t, nil
}

// firstName is who the first token's owner is in events and in the audit log.
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
		return "", fmt.Errorf("read the first token: others may read %s (mode %04o): chmod 600 it, or remove it and a new one is made", path, info.Mode().Perm())
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
	t.tokens = tokens
	clear(t.verified)
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
		t.log.Info("tokens read", "path", t.path, "tokens", len(t.tokens))
	case t.failed != err.Error():
		t.failed = err.Error()
		t.log.Error("tokens cannot be read, the last good ones stay", "path", t.path, "err", err)
	}
}

// Verify says whose a token is; from is the remote address. The error is a *Problem: 401 for a token that is not
// known, 429 for an address with too many of those.
func (t *Tokens) Verify(ctx context.Context, token, from string) (Identity, error) {
	t.follow()
	sum := sha256.Sum256([]byte(token))
	now := time.Now()
	t.mu.Lock()
	known, ok := t.verified[sum]
	limiter := t.limiter(source(from))
	t.mu.Unlock()
	if ok {
		return known, nil
	}
	if limiter.TokensAt(now) < 1 {
		return Identity{}, &Problem{
			Type: "urn:serin:too-many-failures", Title: http.StatusText(http.StatusTooManyRequests), Status: http.StatusTooManyRequests,
			Detail: "too many wrong tokens from this address", retryAfter: failureEvery,
		}
	}
	found, err := t.find(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	if found == nil {
		limiter.AllowN(now, 1)
		return Identity{}, newProblem(http.StatusUnauthorized, "this token is not known, or was revoked")
	}
	who := Identity{Name: found.Name, Roles: found.Roles}
	t.remember(sum, who, found.Hash)
	return who, nil
}

// find pays for one argon2id at most; nil without an error is a token that is not good.
func (t *Tokens) find(ctx context.Context, token string) (*Token, error) {
	t.mu.Lock()
	tokens := t.tokens
	t.mu.Unlock()
	select {
	case t.slow <- struct{}{}:
		defer func() { <-t.slow }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if found, ok := FindToken(tokens, token); ok {
		return &found, nil
	}
	return nil, nil
}

// remember spares the next request of the same token its argon2id.
func (t *Tokens) remember(sum [sha256.Size]byte, who Identity, hash string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.ContainsFunc(t.tokens, func(now Token) bool { return now.Name == who.Name && now.Hash == hash }) {
		return // the file was read anew meanwhile
	}
	if len(t.verified) >= maxVerified {
		clear(t.verified)
	}
	t.verified[sum] = who
}

// limiter is the one of an address. t.mu is held.
func (t *Tokens) limiter(from string) *rate.Limiter {
	l, ok := t.failures[from]
	if !ok {
		if len(t.failures) >= maxSources {
			clear(t.failures)
		}
		l = rate.NewLimiter(rate.Every(failureEvery), failureBurst)
		t.failures[from] = l
	}
	return l
}

// source is what failures are counted by: an IPv4 address, or the /64 that one IPv6 site has.
func source(remote string) string {
	remote, _, _ = strings.Cut(remote, " for ") // what comes after it the caller may choose: see [from]
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
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
