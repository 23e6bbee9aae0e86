package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/server"
)

// bound signs in a person whose roles hold for some rollouts only.
func (d *daemon) bound(name string, roles []string, rollouts ...string) *browser {
	d.t.Helper()
	secret, token, err := server.NewToken(name, roles)
	require.NoError(d.t, err)
	token.Rollouts = rollouts
	tokens, err := server.LoadTokens(d.tokens)
	require.NoError(d.t, err)
	require.NoError(d.t, server.SaveTokens(d.tokens, append(tokens, token)))
	b := d.browser()
	require.Less(d.t, b.post("/sign-in", url.Values{"token": {secret}, "to": {"/"}}).status, 404)
	return b
}

func TestPagesShowATeamItsOwnRollouts(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop", nil)
	cart, shop := d.bound("cart-team", []string{"operator", "qa"}, "cart"), d.bound("shop-team", []string{"operator", "qa"}, "shop*")
	for _, path := range []string{"/", "/?q=shop", "/history", "/history?rollout=shop", "/audit?kind=all", "/audit?rollout=shop&kind=all", "/compare", "/problems"} {
		p := cart.get(path)
		require.Equal(t, http.StatusOK, p.status, path)
		require.NotContains(t, p.body, id, path)
		require.NotContains(t, strings.ReplaceAll(p.body, `value="shop"`, ""), "shop<", path)
	}
	for _, path := range []string{"/rollouts/shop", "/releases/" + id, "/releases/" + id + "/events", "/releases/" + id + "/report", "/compare?a=" + id + "&b=" + id} {
		require.Equal(t, http.StatusNotFound, cart.get(path).status, path)
		require.Equal(t, http.StatusOK, shop.get(path).status, path)
	}
	for _, path := range []string{"/rollouts/shop/start", "/releases/" + id + "/do/pause", "/releases/" + id + "/do/rollback", "/releases/" + id + "/do/promote", "/releases/" + id + "/do/undo", "/releases/" + id + "/do/retry", "/releases/" + id + "/answer"} {
		csrf := hidden(cart.get("/rollouts/cart"), "csrf")
		p := cart.post(path, url.Values{"csrf": {csrf}, "answer": {"approve"}, "gate": {"start"}, "reason": {"x"}})
		require.Equal(t, http.StatusNotFound, p.status, "%s: %s", path, p.body)
	}
	p := shop.get("/releases/" + id)
	require.True(t, p.has("Yes, roll back") && p.has("Yes, pause"), p.body)
	require.Contains(t, p.body, "operator on shop*", "and what the roles hold for is in the head of the page")
	reader := d.bound("shop-reader", []string{"viewer"}, "shop").get("/releases/" + id)
	require.False(t, reader.has("Yes, roll back") || reader.has("Yes, pause"))
}
