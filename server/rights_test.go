package server_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/server"
	"github.com/serindev/serin/tell"
)

// bind adds a token whose roles hold for some rollouts only.
func (d *daemon) bind(name string, roles []string, rollouts ...string) {
	d.t.Helper()
	secret, token, err := server.NewToken(name, roles)
	require.NoError(d.t, err)
	token.Rollouts = rollouts
	tokens, err := server.LoadTokens(d.tokens)
	require.NoError(d.t, err)
	require.NoError(d.t, server.SaveTokens(d.tokens, append(tokens, token)))
	d.secrets = maps.Clone(d.secrets)
	d.secrets[name] = secret
}

// seq is the number of a release's newest event.
func (d *daemon) seq(id string) int {
	d.t.Helper()
	v, err := d.engine.Release(d.t.Context(), id)
	require.NoError(d.t, err)
	return v.State.Seq
}

// api is what a test has to know of the OpenAPI document.
type api struct {
	Paths map[string]map[string]struct {
		OperationID string
		Responses   map[string]struct{ Content map[string]any }
	}
}

// bodies of the operations that name a rollout in them, or need something in them.
func bodiesOn(rolloutName string) map[string]string {
	return map[string]string{
		"answerGate": `{"answer": "approve"}`, "promoteRelease": `{"reason": "x"}`, "undoRollout": `{"reason": "x"}`,
		"startRun": `{"rollout": "` + rolloutName + `"}`, "cancelRunByKey": `{"rollout": "` + rolloutName + `", "key": "k"}`,
	}
}

// The audit log can be asked for every action that there is, by its name and in words.
func TestEveryActionHasItsWordsInTheAuditLog(t *testing.T) {
	d := newDaemon(t)
	doc := as[api](t, d.do(d.request("", http.MethodGet, "/openapi.json", "")))
	for path, operations := range doc.Paths {
		if op, ok := operations["post"]; ok {
			require.NotEqual(t, op.OperationID, tell.ActionWords(op.OperationID), path)
		}
	}
}

// TestOneTeamSeesAndTouchesNothingOfAnother walks every operation of the OpenAPI document, also those that come later.
func TestOneTeamSeesAndTouchesNothingOfAnother(t *testing.T) {
	d := newDaemon(t)
	d.bind("shop-team", []string{"operator", "qa"}, "shop*")
	d.bind("cart-team", []string{"operator", "qa"}, "cart", "team/*")
	id, unknown := d.start("shop"), "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	before := d.seq(id)
	doc := as[api](t, d.do(d.request("", http.MethodGet, "/openapi.json", "")))
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for method, op := range doc.Paths[path] {
			if _, stream := op.Responses["200"].Content["text/event-stream"]; stream {
				continue // it does not end: see the next test
			}
			ask := func(who, rolloutName, release string) answer {
				at := strings.NewReplacer("{name}", rolloutName, "{id}", release, "{gate}", "start").Replace(path)
				body := ""
				if method == "post" {
					body = bodiesOn(rolloutName)[op.OperationID]
				}
				return d.do(d.request(who, strings.ToUpper(method), at, body))
			}
			theirs, none := ask("cart-team", "shop", id), ask("cart-team", "nope", unknown)
			if !strings.Contains(path, "{") && !strings.Contains(bodiesOn("")[op.OperationID], "rollout") {
				require.NotContains(t, theirs.body, id, "%s %s", method, path)
				require.NotContains(t, theirs.body, `"shop"`, "%s %s", method, path)
				continue
			}
			require.Equal(t, http.StatusNotFound, theirs.status, "%s %s: %s", method, path, theirs.body)
			said := strings.NewReplacer("nope", "shop", unknown, id).Replace(as[server.Problem](t, none).Detail)
			require.Equal(t, said, as[server.Problem](t, theirs).Detail, "%s %s: not to be told from one that is not there", method, path)
			if method == "get" {
				require.Equal(t, http.StatusOK, ask("shop-team", "shop", id).status, "%s %s: their own", method, path)
			}
		}
	}
	require.Equal(t, before, d.seq(id), "nothing of it has done anything")
	require.NotContains(t, d.get("cart-team", "/audit").body, "shop")
	require.Contains(t, d.get("shop-team", "/audit").body, id)
	require.Contains(t, d.get("shop-team", "/rollouts").body, `"shop"`)
	require.NotContains(t, d.get("shop-team", "/rollouts").body, `"cart"`)
	metrics := d.request("cart-team", http.MethodGet, "/metrics", "")
	metrics.Header.Set("X-Forwarded-For", "192.0.2.1") // this machine needs no token
	require.Equal(t, http.StatusForbidden, d.do(metrics).status, "the metrics name every rollout")
	require.Equal(t, http.StatusOK, d.post("shop-team", "/releases/"+id+"/gates/start", `{"answer": "approve"}`).status, "their own")
}

func TestAStreamShowsWhatItsReaderMaySee(t *testing.T) {
	d := newDaemon(t)
	d.bind("cart-team", []string{"viewer"}, "cart")
	shop := d.start("shop")
	require.Equal(t, http.StatusNotFound, d.get("cart-team", "/events?rollout=shop").status)
	require.Equal(t, http.StatusNotFound, d.get("cart-team", "/releases/"+shop+"/events/stream").status)
	resp, err := http.DefaultClient.Do(d.request("cart-team", http.MethodGet, "/api/v1/events", ""))
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	until := func(word string) {
		for lines.Scan() {
			require.NotContains(t, lines.Text(), "shop")
			if strings.Contains(lines.Text(), word) {
				return
			}
		}
		t.Fatal("the stream has ended")
	}
	until(`"cart"`)
	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+shop+"/pause", `{}`).status)
	cart := d.start("cart")
	until(cart)
}

func TestARoleOnSomeRolloutsIsNoneElsewhere(t *testing.T) {
	d := newDaemon(t)
	d.bind("both", []string{"viewer"}, "shop")
	for what, c := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"reading theirs":          {http.MethodGet, "/rollouts/shop", "", http.StatusOK, `"shop"`},
		"acting needs more":       {http.MethodPost, "/rollouts/shop/releases", `{}`, http.StatusForbidden, "both needs the role operator on shop for this"},
		"others are not there":    {http.MethodPost, "/rollouts/cart/releases", `{}`, http.StatusNotFound, "rollout cart: not found"},
		"who they are":            {http.MethodGet, "/me", "", http.StatusOK, `"bound":[{"roles":["viewer"],"rollouts":["shop"]}]`},
		"problems of their files": {http.MethodGet, "/config/problems", "", http.StatusOK, `[]`},
	} {
		t.Run(what, func(t *testing.T) {
			a := d.do(d.request("both", c.method, "/api/v1"+c.path, c.body))
			require.Equal(t, c.status, a.status, a.body)
			require.Contains(t, a.body, c.says)
		})
	}
}

func TestPatternsOfRolloutsAreOfWholeNames(t *testing.T) {
	for pattern, c := range map[string]struct{ yes, no []string }{
		"shop":     {yes: []string{"shop"}, no: []string{"shop-eu", "my-shop", "team/shop", ""}},
		"shop-*":   {yes: []string{"shop-eu", "shop-"}, no: []string{"shop", "shop-eu/x"}},
		"team-a/*": {yes: []string{"team-a/shop"}, no: []string{"team-ab/shop", "shop", "team-a/x/y"}},
		"*":        {yes: []string{"shop"}, no: []string{"team/shop", ""}},
		"*/*":      {yes: []string{"team/shop"}, no: []string{"shop"}},
	} {
		g, err := server.NewGrant([]string{"operator"}, []string{pattern})
		require.NoError(t, err)
		who := server.Identity{Name: "x", Bound: []server.Grant{g}}
		for want, names := range map[bool][]string{true: c.yes, false: c.no} {
			for _, name := range names {
				ok, err := who.May(t.Context(), server.VerbStart, name)
				require.NoError(t, err)
				require.Equal(t, want, ok, "%s and %s", pattern, name)
			}
		}
	}
	for _, wrong := range []string{"", "[", "shop[", `\`} {
		_, err := server.NewGrant([]string{"operator"}, []string{wrong})
		require.ErrorContains(t, err, "is no name", wrong)
	}
	_, err := server.NewGrant([]string{"operator"}, nil)
	require.ErrorContains(t, err, "names none")
}

// table are rights as a cluster would answer them: "VERB ROLLOUT" that may be done, or an error.
type table struct {
	may  map[string]bool
	down atomic.Bool
	gone atomic.Bool // all of them
}

func (r *table) May(_ context.Context, verb server.Verb, rolloutName string) (bool, error) {
	if r.down.Load() {
		return false, errors.New("the API server does not answer")
	}
	return !r.gone.Load() && r.may[string(verb)+" "+rolloutName], nil
}

// cluster knows one token.
type cluster struct{ rights *table }

func (c cluster) Verify(_ context.Context, token string) (server.Identity, error) {
	if token != "cluster-token" {
		return server.Identity{}, server.ErrUnknownToken
	}
	return server.Identity{Name: "dev@example.com", Roles: []string{"admin", "qa"}, Rights: c.rights}, nil
}

func (c cluster) Genuine(_ context.Context, token string) bool { return token == "cluster-token" }

// a right is taken away between two events.
func TestAReleaseIsNotFollowedOnceTheRightToSeeItIsGone(t *testing.T) {
	rights := &table{may: map[string]bool{"get shop": true}}
	d := newDaemon(t, func(o *server.Options) { o.Cluster = cluster{rights} })
	d.secrets = maps.Clone(d.secrets)
	d.secrets["dev"] = "cluster-token"
	id := d.start("shop")
	resp, err := http.DefaultClient.Do(d.request("dev", http.MethodGet, "/api/v1/releases/"+id+"/events/stream", ""))
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), "gate") { // what has happened so far
		require.NotContains(t, lines.Text(), "aused")
	}
	rights.gone.Store(true)
	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+id+"/pause", `{}`).status)
	for lines.Scan() {
		require.NotContains(t, lines.Text(), "aused")
	}
}

func TestTheClusterSaysWhoMayDoWhat(t *testing.T) {
	rights := &table{may: map[string]bool{"get shop": true, "start shop": true, "approve shop": true, "get cart": true}}
	d := newDaemon(t, func(o *server.Options) { o.Cluster = cluster{rights} })
	d.secrets = maps.Clone(d.secrets)
	d.secrets["dev"] = "cluster-token"
	a := d.post("dev", "/rollouts/shop/releases", `{}`)
	require.Equal(t, http.StatusCreated, a.status, a.body)
	var r struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(a.body), &r))
	for what, c := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"a verb that is not given":                {"/releases/" + r.ID + "/rollback", `{}`, http.StatusForbidden, "dev@example.com may not rollback rollouts.serin.dev on shop"},
		"a group called admin is none of Serin's": {"/rollouts/cart/releases", `{}`, http.StatusForbidden, "may not start"},
		"what may not be seen is not there":       {"/rollouts/big/releases", `{}`, http.StatusNotFound, "rollout big: not found"},
		"a gate may name a group":                 {"/releases/" + r.ID + "/gates/start", `{"answer": "approve"}`, http.StatusOK, ""},
	} {
		t.Run(what, func(t *testing.T) {
			a := d.post("dev", c.path, c.body)
			require.Equal(t, c.status, a.status, a.body)
			require.Contains(t, a.body, c.says)
		})
	}
	require.NotContains(t, d.get("dev", "/rollouts").body, `"big"`)
	wrong := map[int]int{}
	for i := range 500 {
		claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"sub":"%d"}`, i)) // another name each
		d.secrets["stranger"] = "x." + claims + ".y"
		wrong[d.get("stranger", "/me").status]++
	}
	require.Len(t, wrong, 2, "%v", wrong)
	require.NotZero(t, wrong[http.StatusTooManyRequests], "guessing is slow here too: %v", wrong)
	require.Equal(t, http.StatusOK, d.get("dev", "/me").status, "and holds up nobody else")
	rights.down.Store(true)
	require.Equal(t, http.StatusInternalServerError, d.get("dev", "/rollouts").status, "what cannot be found out is not allowed")
	require.Equal(t, http.StatusOK, d.get("otto", "/rollouts").status)
}
