package server_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// overridden is a daemon in which going on needs a second person for cart, and one of the approvers for shop.
func overridden(t *testing.T, approvers ...string) *daemon {
	t.Helper()
	d := newDaemon(t)
	all := plans()
	for name, o := range map[string]rollout.Override{"cart": {FourEyes: true}, "shop": {Approvers: approvers}} {
		p := all[name]
		p.Rollout.Override = &o
		all[name] = p
	}
	d.engine.SetPlans(all)
	return d
}

func TestGoingOnWithoutWaitingCanNeedASecondPerson(t *testing.T) {
	d := overridden(t, "qa", "otto")
	cart, shop := d.start("cart"), d.start("shop")
	for what, c := range map[string]struct {
		who, release string
		status       int
		says         string
	}{
		"not the one who has started it":        {"otto", cart, http.StatusForbidden, "needs a second pair of eyes: otto has started the release"},
		"another operator":                      {"olga", cart, http.StatusOK, ""},
		"not a user who is none of those named": {"olga", shop, http.StatusForbidden, "[qa otto] may let a release go on without waiting, not olga"},
		"a person by name":                      {"otto", shop, http.StatusOK, ""},
	} {
		t.Run(what, func(t *testing.T) {
			a := d.post(c.who, "/releases/"+c.release+"/promote", `{"reason": "x", "full": true}`)
			require.Equal(t, c.status, a.status, a.body)
			require.Contains(t, a.body, c.says)
		})
	}
}

func TestAnUrgentStartIsForThoseWhoMayPromote(t *testing.T) {
	d := overridden(t, "otto")
	for _, c := range []struct {
		what, who, rollout, body string
		status                   int
		says                     string
	}{
		{"one person is not four eyes", "otto", "cart", `{"urgent": {"reason": "x"}}`, http.StatusForbidden, "needs a second pair of eyes"},
		{"an operator who is not named", "olga", "shop", `{"urgent": {"reason": "x"}}`, http.StatusForbidden, "may let a release go on without waiting, not olga"},
		{"a blank reason", "otto", "shop", `{"urgent": {"reason": " "}}`, http.StatusUnprocessableEntity, "a reason is needed"},
		{"no reason", "otto", "shop", `{"urgent": {}}`, http.StatusUnprocessableEntity, "reason"},
		{"a rollout that is not there", "otto", "nothing", `{"urgent": {"reason": "x"}}`, http.StatusNotFound, ""},
		{"one who may", "otto", "shop", `{"urgent": {"reason": "the fix", "evenIfWorse": true}}`, http.StatusCreated, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			a := d.post(c.who, "/rollouts/"+c.rollout+"/releases", c.body)
			require.Equal(t, c.status, a.status, a.body)
			require.Contains(t, a.body, c.says)
			if c.status == http.StatusCreated {
				d.until(as[record.Release](t, a).ID, func(v record.View) bool { return v.State.EvenIfWorse })
			}
		})
	}
}

func TestAReleaseThatEndedWithoutItsVersionIsRetried(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop")
	require.Equal(t, http.StatusConflict, d.post("otto", "/rollouts/shop/retry", `{}`).status, "it is under way")
	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+id+"/cancel", `{}`).status)
	d.until(id, func(v record.View) bool { return v.State.Ended() })
	require.Equal(t, http.StatusForbidden, d.post("vera", "/rollouts/shop/retry", `{}`).status, "a viewer")

	a := d.post("otto", "/rollouts/shop/retry", `{"reason": "the day is right now", "key": "k"}`)
	require.Equal(t, http.StatusCreated, a.status, a.body)
	next := as[record.Release](t, a).ID
	require.Equal(t, id, d.until(next, func(v record.View) bool { return v.State.Step >= 0 }).State.Retries)
	again := d.post("otto", "/rollouts/shop/retry", `{"key": "k"}`)
	require.Equal(t, http.StatusOK, again.status, again.body)
	require.Equal(t, next, as[record.Release](t, again).ID)
	audit := as[[]record.AuditEntry](t, d.get("otto", "/audit?action=retryRollout"))
	require.Len(t, audit, 4)
	require.Equal(t, "the day is right now", audit[1].Detail)
	require.Equal(t, next, audit[1].Release)
}

func TestAnUndoWithAKeyIsDoneOnce(t *testing.T) {
	d := newDaemon(t)
	all := plans()
	p := all["cart"]
	p.Rollout.Steps = rollout.Steps{rollout.Promote{Name: "promote"}}
	all["cart"] = p
	d.engine.SetPlans(all)
	for range 2 {
		a := d.post("otto", "/rollouts/cart/releases", `{}`)
		require.Equal(t, http.StatusCreated, a.status, a.body)
		d.until(as[record.Release](t, a).ID, func(v record.View) bool { return v.State.Ended() })
	}
	first := d.post("otto", "/rollouts/cart/undo", `{"reason": "x", "key": "k"}`)
	require.Equal(t, http.StatusCreated, first.status, first.body)
	id := as[record.Release](t, first).ID
	d.until(id, func(v record.View) bool { return v.State.Ended() })
	again := d.post("otto", "/rollouts/cart/undo", `{"reason": "x", "key": "k"}`)
	require.Equal(t, http.StatusOK, again.status, again.body)
	require.Equal(t, id, as[record.Release](t, again).ID)
}
