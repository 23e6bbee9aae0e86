package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/client-go/rest"
)

const (
	// keysEvery is the least time between two queries for the cluster's keys: a token may name any key.
	keysEvery = 30 * time.Second
	// keysTimeout is short, because requests wait for it.
	keysTimeout = 2 * time.Second
	keysPath    = "/openid/v1/jwks"
)

// algorithms are those that an API server may sign the tokens of its ServiceAccounts with.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// keys are those that the cluster signs the tokens of its ServiceAccounts with. It publishes them to ServiceAccounts (the
// ClusterRole system:service-account-issuer-discovery); where they cannot be had, no token is known to be signed.
type keys struct {
	api rest.Interface

	asking sync.Mutex // held while the cluster is asked
	mu     sync.Mutex // guards what follows
	known  jose.JSONWebKeySet
	asked  time.Time
}

// signed tells whether the cluster has signed a token that has not expired. That says nothing about whether the token is
// still good: its ServiceAccount may be gone.
func (k *keys) signed(ctx context.Context, token string) bool {
	signature, err := jose.ParseSigned(token, algorithms)
	if err != nil || len(signature.Signatures) != 1 {
		return false
	}
	for _, key := range k.named(ctx, signature.Signatures[0].Header.KeyID) {
		payload, err := signature.Verify(key)
		var claims struct {
			Expires float64 `json:"exp"`
		}
		if err == nil && json.Unmarshal(payload, &claims) == nil {
			return claims.Expires > float64(time.Now().Unix())
		}
	}
	return false
}

// named are the keys of a name. The cluster is asked for those that are not known, by one request at a time: the others
// do not wait for it.
func (k *keys) named(ctx context.Context, name string) []jose.JSONWebKey {
	k.mu.Lock()
	found, due := k.known.Key(name), time.Since(k.asked) >= keysEvery
	k.mu.Unlock()
	if len(found) > 0 || !due || !k.asking.TryLock() {
		return found
	}
	defer k.asking.Unlock()
	set, err := k.ask(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = time.Now()
	if err == nil {
		k.known = set
	}
	return k.known.Key(name)
}

func (k *keys) ask(ctx context.Context) (set jose.JSONWebKeySet, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout) // a caller who leaves takes it from nobody
	defer cancel()
	answer, err := k.api.Get().AbsPath(keysPath).DoRaw(ctx)
	if err != nil {
		return set, fmt.Errorf("ask the cluster for its keys: %w", err)
	}
	if err := json.Unmarshal(answer, &set); err != nil {
		return set, fmt.Errorf("read the cluster's keys: %w", err)
	}
	return set, nil
}
