package web_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server/web"
)

func TestAReleaseIsWalkedThroughWithoutScripts(t *testing.T) {
	d := newDaemon(t)
	otto := d.browser()
	p := otto.get("/rollouts/shop")
	require.Equal(t, "/sign-in?to=%2Frollouts%2Fshop", p.path, "anyone who is not signed in is asked to")
	secrets, _ := roster()
	require.Equal(t, http.StatusUnauthorized, otto.submit(p, "Sign in with a token", url.Values{"token": {"serin.otto.wrong"}}).status)
	p = otto.submit(p, "Sign in with a token", url.Values{"token": {secrets["otto"]}})
	require.Equal(t, "/rollouts/shop", p.path, "and led back")

	p = otto.submit(p, "Start", url.Values{"p-image": {"shop:2"}, "p-note": {evil}, "key": {"ci-1"}})
	require.Equal(t, http.StatusOK, p.status, p.body)
	require.Contains(t, p.body, "The release is started.")
	id := strings.TrimPrefix(strings.Split(p.path, "?")[0], "/releases/")
	d.until(id, func(v record.View) bool { return v.Gate == "start" && v.State.InForce })
	p = otto.get("/releases/" + id)
	require.Contains(t, p.body, "shop:2")
	require.Contains(t, p.body, `<h1>shop <span class="version">2</span></h1>`)
	require.Contains(t, p.body, "May the release of 2 go on?", "the question is the headline")
	require.Contains(t, p.body, "gate start is answered by qa, not by otto")
	require.False(t, p.has("Approve: on to gate full"), "no button for who may not")
	require.Contains(t, otto.get("/").body, "Waiting for a person")

	quinn := d.as("quinn")
	p = quinn.get("/releases/" + id)
	require.False(t, p.has("Yes, roll back"), "an approver is not an operator")
	p = quinn.submit(p, "Approve: on to gate full", url.Values{"reason": {"fine " + evil}})
	require.Equal(t, http.StatusOK, p.status, p.body)
	require.Contains(t, p.body, "Approved.")
	d.until(id, func(v record.View) bool { return v.Gate == "full" })
	p = otto.get("/releases/" + id)
	require.Contains(t, p.body, "needs a second pair of eyes")
	require.Contains(t, p.body, "quinn", "what was answered before, and by whom")

	olga := d.as("olga")
	p = olga.submit(olga.get("/releases/"+id), "Yes, pause", url.Values{"reason": {"lunch"}})
	require.Contains(t, p.body, "Paused by olga: lunch")
	p = olga.submit(p, "Yes, resume", nil)
	require.Contains(t, p.body, "Resumed.")
	require.Contains(t, p.body, "Shall everybody get 2?")
	stale := p
	olga.submit(p, "Approve: all users get 2", nil)
	v := d.until(id, func(v record.View) bool { return v.State.Ended() })
	require.Equal(t, rollout.Released, v.State.Outcome)
	p = olga.submit(stale, "Reject: end the release", nil)
	require.Equal(t, http.StatusConflict, p.status)
	require.Contains(t, p.body, "olga was first: approved at")

	p = otto.get("/releases/" + id)
	require.Contains(t, p.body, "Released: 2 serves everybody")
	require.False(t, p.has("Yes, roll back"))
	historyIsFiltered(t, otto, v)
	p = otto.get("/audit?rollout=shop")
	for _, text := range []string{"Start a release", "Answer a gate", "Pause", "quinn", "olga", "127.0.0.1:", "was answered by olga"} {
		require.Contains(t, p.body, text)
	}
	require.NotContains(t, otto.get("/audit").body, ">Sign in</span>", "sign-ins are left out unless asked for")
	require.Contains(t, otto.get("/audit?kind=all").body, ">Sign in</span>")
	require.Contains(t, olga.submit(p, "Sign out", nil).body, "form belongs to another session", "a form belongs to a session")
	require.Contains(t, otto.submit(p, "Sign out", nil).body, "You are signed out.")
	require.Contains(t, otto.get("/history").path, "/sign-in")
}

func TestAPersonLetsAReleaseGoOn(t *testing.T) {
	d := newDaemon(t)
	r, err := d.engine.Start(t.Context(), "later", rollout.StartRequest{By: "otto"}, false)
	require.NoError(t, err)
	d.until(r.ID, func(v record.View) bool { return v.State.StepName == "lunch" && v.State.InForce })
	vera := d.as("vera")
	p := vera.get("/releases/" + r.ID)
	require.Contains(t, p.body, "All traffic in ", "the headline says when")
	require.False(t, p.has("Yes, go on"))
	require.Equal(t, http.StatusForbidden, vera.post("/releases/"+r.ID+"/do/promote", url.Values{"csrf": {hidden(p, "csrf")}, "reason": {"x"}}).status)
	olga := d.as("olga")
	p = olga.get("/releases/" + r.ID)
	require.Contains(t, p.body, "step lunch", "what would not be waited for")
	require.Equal(t, http.StatusUnprocessableEntity, olga.submit(p, "Yes, go on", nil).status, "a reason is needed")
	p = olga.submit(p, "Yes, go on", url.Values{"reason": {"the fix of the outage"}, "evenIfWorse": {"yes"}})
	require.Contains(t, p.body, "The release goes on without waiting.")
	v := d.until(r.ID, func(v record.View) bool { return v.State.Ended() })
	require.Equal(t, rollout.Released, v.State.Outcome)
	p = olga.get("/releases/" + r.ID)
	require.Contains(t, p.body, "Sent on without waiting, even if it is worse")
	require.Contains(t, p.body, "the fix of the outage")
	audit := olga.get("/audit?kind=promoteRelease").body
	require.Contains(t, audit, "even if it is worse: the fix of the outage")
	require.Equal(t, 2, strings.Count(audit, `<span class="pill bad">refused</span>`))
	require.Equal(t, http.StatusConflict, olga.post("/releases/"+r.ID+"/do/promote", url.Values{"csrf": {hidden(p, "csrf")}, "reason": {"x"}}).status, "it is over")
}

func TestTheLastReleaseIsUndone(t *testing.T) {
	d := newDaemon(t)
	olga := d.as("olga")
	release := func(image string) string {
		r, err := d.engine.Start(t.Context(), "later", rollout.StartRequest{By: "otto", Parameters: map[string]string{"image": image}}, false)
		require.NoError(t, err)
		d.until(r.ID, func(v record.View) bool { return v.State.StepName == "lunch" })
		olga.submit(olga.get("/releases/"+r.ID), "Yes, go on", url.Values{"reason": {"x"}})
		v := d.until(r.ID, func(v record.View) bool { return v.State.Ended() })
		require.Equal(t, rollout.Released, v.State.Outcome)
		return r.ID
	}
	first, second := release("shop:1"), release("shop:2")
	require.False(t, olga.get("/releases/"+first).has("Yes, undo"), "it is not in service any more")
	require.False(t, d.as("vera").get("/releases/"+second).has("Yes, undo"))
	before, err := d.engine.Rollout("later")
	require.NoError(t, err)
	stale := olga.get("/releases/" + second)
	p := olga.submit(stale, "Yes, undo", url.Values{"reason": {"orders are lost"}})
	require.Contains(t, p.body, "The previous version is being brought back.")
	id := strings.TrimPrefix(strings.Split(p.path, "?")[0], "/releases/")
	v := d.until(id, func(v record.View) bool { return v.State.Ended() })
	require.Equal(t, rollout.Released, v.State.Outcome)
	require.Equal(t, second, v.State.Undoes)
	require.Equal(t, "shop:1", v.State.Parameters["image"], "it is the version before")
	require.NotEqual(t, before.Swapped, v.Swapped, "the other servers are in service")
	require.Len(t, v.Steps, 1, "nothing is compared or waited for")
	p = olga.get("/releases/" + id)
	require.Contains(t, p.body, "Undone: 1 serves everybody again")
	require.Contains(t, p.body, "Started to undo release "+second)
	require.Contains(t, p.body, "orders are lost")

	require.Equal(t, "/releases/"+id, strings.Split(olga.submit(stale, "Yes, undo", url.Values{"reason": {"orders are lost"}}).path, "?")[0], "pressed twice, it is done once")

	p = olga.submit(p, "Yes, undo", url.Values{"reason": {"it was not the release"}})
	again := strings.TrimPrefix(strings.Split(p.path, "?")[0], "/releases/")
	v = d.until(again, func(v record.View) bool { return v.State.Ended() })
	require.Equal(t, "shop:2", v.State.Parameters["image"], "an undo can be undone")

	third, err := d.engine.Start(t.Context(), "later", rollout.StartRequest{By: "otto"}, false)
	require.NoError(t, err)
	_, err = d.engine.Undo(t.Context(), "later", "x", rollout.StartRequest{By: "olga"})
	var active *record.ActiveError
	require.ErrorAs(t, err, &active)
	d.until(third.ID, func(v record.View) bool { return v.State.StepName == "lunch" })
	olga.submit(olga.get("/releases/"+third.ID), "Yes, cancel", nil)
	d.until(third.ID, func(v record.View) bool { return v.State.Ended() })
	_, err = d.engine.Undo(t.Context(), "later", "x", rollout.StartRequest{By: "olga"})
	require.ErrorIs(t, err, rollout.ErrNotAllowed)
	require.ErrorContains(t, err, "was tried on the other servers")
	_, err = d.engine.Undo(t.Context(), "shop", "x", rollout.StartRequest{By: "olga"})
	require.ErrorContains(t, err, "nothing has been released yet")
}

func TestAReleaseIsRetriedFromItsPage(t *testing.T) {
	d := newDaemon(t)
	olga := d.as("olga")
	first, err := d.engine.Start(t.Context(), "later", rollout.StartRequest{By: "otto", Parameters: map[string]string{"image": "shop:7"}}, false)
	require.NoError(t, err)
	d.until(first.ID, func(v record.View) bool { return v.State.StepName == "lunch" })
	require.False(t, olga.get("/releases/"+first.ID).has("Yes, retry"), "it is under way")
	olga.submit(olga.get("/releases/"+first.ID), "Yes, cancel", nil)
	d.until(first.ID, func(v record.View) bool { return v.State.Ended() })
	require.False(t, d.as("vera").get("/releases/"+first.ID).has("Yes, retry"))

	stale := olga.get("/releases/" + first.ID)
	p := olga.submit(stale, "Yes, retry", url.Values{"reason": {"now it is after lunch"}})
	require.Contains(t, p.body, "The version is being tried again.")
	require.Contains(t, p.body, "It tries the version of release "+first.ID+" again.")
	require.Contains(t, p.body, "now it is after lunch")
	id := strings.TrimPrefix(strings.Split(p.path, "?")[0], "/releases/")
	v := d.until(id, func(v record.View) bool { return v.State.StepName == "lunch" })
	require.Equal(t, "shop:7", v.State.Parameters["image"])
	require.Equal(t, p.path, olga.submit(stale, "Yes, retry", nil).path, "pressed twice, it is done once")
	require.Contains(t, olga.get("/audit?kind=retryRollout").body, "Retry a release")
}

func TestAGateIsAnsweredAndNotSkipped(t *testing.T) {
	for what, c := range map[string]struct {
		state rollout.State
		want  bool
	}{
		"between gates":                  {rollout.State{}, true},
		"after a gate was answered":      {rollout.State{Gate: "full", Answered: map[string]rollout.GateAnswered{"full": {}}}, true},
		"at a gate":                      {rollout.State{Gate: "full"}, false},
		"at a gate, and with a question": {rollout.State{Gate: "full", Question: &rollout.Question{Name: "drift"}}, false},
		"with a question at a weight":    {rollout.State{Question: &rollout.Question{Name: "undecided"}}, true},
		"while it is promoted":           {rollout.State{Doing: rollout.StagePromote}, false},
	} {
		t.Run(what, func(t *testing.T) {
			c.state.Phase = rollout.Active
			require.Equal(t, c.want, slices.Contains(web.ActionsOf(record.View{State: c.state}), "promote"))
		})
	}
}

func TestWhatWasReleasedBeforeARollbackCanBeUndoneWhereVersionsAreDeployed(t *testing.T) {
	d := newDaemon(t)
	olga := d.as("olga")
	run := func(name string, ends string) string {
		r, err := d.engine.Start(t.Context(), name, rollout.StartRequest{By: "otto"}, false)
		require.NoError(t, err)
		d.until(r.ID, func(v record.View) bool { return v.State.StepName == "lunch" })
		olga.submit(olga.get("/releases/"+r.ID), ends, url.Values{"reason": {"x"}})
		d.until(r.ID, func(v record.View) bool { return v.State.Ended() })
		return r.ID
	}
	run("later", "Yes, go on")
	back := run("later", "Yes, roll back")
	require.False(t, olga.get("/releases/"+back).has("Yes, undo"), "the other servers had the version that was taken back")
	p := plans()["later"]
	p.Rollout.Steps = append(rollout.Steps{rollout.Deploy{}}, p.Rollout.Steps...)
	all := plans()
	all["later"] = p
	d.engine.SetPlans(all)
	await.True(t, func() bool { return olga.get("/releases/" + back).has("Yes, undo") })
	require.Contains(t, olga.get("/releases/"+back).body, "before the last one that was released")
}

func TestAReleaseIsTakenBackByHand(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop", nil)
	olga := d.as("olga")
	p := olga.submit(olga.get("/releases/"+id), "Yes, roll back", url.Values{"reason": {evil}})
	require.Contains(t, p.body, "all traffic goes to stable")
	d.until(id, func(v record.View) bool { return v.State.Ended() })
	require.Contains(t, olga.get("/releases/"+id).body, "Cancelled (by olga): ", "no traffic had moved")

	second := d.start("shop", map[string]string{"image": "shop:9"})
	p = olga.submit(olga.get("/releases/"+second), "Yes, cancel", nil)
	require.Equal(t, http.StatusOK, p.status)
	d.until(second, func(v record.View) bool { return v.State.Ended() })
	p = olga.get("/compare?a=" + id + "&b=" + second)
	for _, text := range []string{"Cancelled (by olga)", "shop:9", "Step start"} {
		require.Contains(t, p.body, text)
	}
	require.Equal(t, http.StatusNotFound, olga.get("/compare?a="+id+"&b=nope").status)

	third := d.start("shop", nil)
	p = olga.submit(olga.get("/rollouts/shop"), "Start", url.Values{"supersede": {"yes"}})
	require.Contains(t, p.body, "The active release goes back first")
	d.until(third, func(v record.View) bool { return v.State.Outcome == rollout.OutcomeSuperseded })
}

// historyIsFiltered searches for a release of the rollout shop that otto started and that succeeded.
func historyIsFiltered(t *testing.T, otto *browser, v record.View) {
	t.Helper()
	id := v.Release.ID
	require.Contains(t, otto.get("/history?rollout=shop&outcome=released").body, id)
	require.NotContains(t, otto.get("/history?rollout=shop&outcome=rolledBack").body, id)
	today := time.Now().UTC().Format(time.DateOnly)
	for query, there := range map[string]bool{
		"by=otto": true, "by=olga": false, "q=otto+SHOP:2+released": true, "q=shop:3": false, "q=image%3Dshop:2&rollout=shop": true, "from=2026-01-01&by=otto&to=2261-12-31": true, "from=2261-12-31": false, "to=2026-01-01": false,
		"from=" + v.State.StartedAt.UTC().Format(time.DateOnly) + "&to=" + today: true, // the last day counts to its end
	} {
		require.Equal(t, there, strings.Contains(otto.get("/history?"+query).body, id), query)
	}
	require.Contains(t, otto.get("/history?by=otto&from=2026-01-01").body, `type="date" value="2026-01-01"`)
}

func TestTheWholeAuditLogCanBeRead(t *testing.T) {
	d := newDaemon(t)
	for i := range 250 {
		require.NoError(t, d.store.Audit(t.Context(), record.AuditEntry{At: time.Now(), By: "ci", Action: "startRelease", Rollout: "shop", Detail: fmt.Sprintf("number-%03d", i)}))
	}
	ada, seen := d.as("ada"), map[string]bool{}
	older := regexp.MustCompile(`<a href="([^"]+)" rel="next">Older ones</a>`)
	for at := "/audit?rollout=shop&by=ci"; at != ""; {
		p := ada.get(at)
		for _, n := range regexp.MustCompile(`number-\d{3}`).FindAllString(p.body, -1) {
			require.False(t, seen[n], n)
			seen[n] = true
		}
		at = ""
		if m := older.FindStringSubmatch(p.body); m != nil {
			at = html.UnescapeString(m[1])
		}
	}
	require.Len(t, seen, 250)
	p := ada.get("/audit?by=ada&kind=signIn")
	require.Contains(t, p.body, ">Sign in</span>")
	require.NotContains(t, p.body, ">Start a release</span>", "somebody else did that")
	today := time.Now().UTC().Format(time.DateOnly)
	require.Contains(t, ada.get("/audit?from="+today+"&to="+today).body, "number-249")
	require.Contains(t, ada.get("/audit?to=2026-01-01").body, "Nothing matches.")
	require.Equal(t, http.StatusBadRequest, ada.get("/audit?from=tomorrow").status)
	require.Contains(t, ada.get("/audit?by=nobody").body, "Nothing matches.")
}

func TestAUserWithoutTheRightSeesNoButtonAndIsRefused(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop", nil)
	vera := d.as("vera")
	p := vera.get("/releases/" + id)
	require.Equal(t, http.StatusOK, p.status)
	for _, button := range []string{"Approve: on to gate full", "Yes, pause", "Yes, roll back", "Yes, cancel"} {
		require.False(t, p.has(button), button)
	}
	require.False(t, vera.get("/rollouts/shop").has("Start"))
	token := hidden(p, "csrf")
	for path, form := range map[string]url.Values{
		"/releases/" + id + "/do/rollback": {}, "/releases/" + id + "/do/pause": {}, "/rollouts/cart/start": {},
		"/releases/" + id + "/answer": {"gate": {"start"}, "answer": {"approve"}},
	} {
		form.Set("csrf", token)
		p := vera.post(path, form)
		require.Equal(t, http.StatusForbidden, p.status, path)
		require.Contains(t, p.body, "You may not do this")
	}
	audit := d.as("ada").get("/audit").body
	require.Equal(t, 4, strings.Count(audit, `<span class="pill bad">refused</span>`), "refusals are written down")

	judy := d.as("judy")
	require.Equal(t, http.StatusForbidden, judy.get("/").status, "a judge reads nothing")
	require.Equal(t, http.StatusForbidden, judy.get("/releases/"+id).status)
	v, err := d.engine.Release(t.Context(), id)
	require.NoError(t, err)
	require.Nil(t, v.State.Pause)
	require.Equal(t, rollout.Active, v.State.Phase)
}

func TestUsersTextsAreOnlyTextOnEveryPage(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop", map[string]string{"note": evil})
	quinn, olga := d.as("quinn"), d.as("olga")
	quinn.submit(quinn.get("/releases/"+id), "Approve: on to gate full", url.Values{"reason": {evil}})
	olga.submit(olga.get("/releases/"+id), "Yes, pause", url.Values{"reason": {evil}})
	q := url.QueryEscape(evil)
	for _, path := range []string{ // get checks that each is harmless
		"/", "/?q=" + q, "/?page=" + q, "/rollouts/shop", "/rollouts/big", "/rollouts/" + url.PathEscape(evil), "/releases/" + id, "/releases/" + url.PathEscape(evil),
		"/releases/" + id + "?done=" + q, "/history?rollout=" + q, "/history?outcome=" + q, "/history?by=" + q, "/history?from=" + q, "/compare?a=" + q + "&b=" + q, "/compare?a=" + id + "&b=" + id,
		"/audit", "/audit?rollout=" + q, "/problems", "/" + url.PathEscape(evil), "/sign-in?to=" + q,
	} {
		p := olga.get(path)
		require.Less(t, p.status, 500, path)
		require.NotContains(t, p.body, "<script>alert", path)
		require.NotContains(t, p.body, "<img src=x", path)
	}
	require.Contains(t, olga.get("/releases/"+id).body, "&lt;script&gt;alert(1)", "it is shown as it was written")
	report := olga.get("/releases/" + id + "/report")
	require.Contains(t, report.header.Get("Content-Disposition"), "attachment")
	require.NotContains(t, report.body, "<script")
}

func TestMissingPagesAndErrorsHaveAPage(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop", nil)
	ada := d.as("ada")
	for path, status := range map[string]int{
		"/nope": 404, "/releases/01ARZ3NDEKTSV4RRFFQ69G5FAV": 404, "/rollouts/nope": 404, "/history?outcome=perhaps": 400, "/history?from=tomorrow": 400, "/history?to=9999-01-01": 400, "/assets/nope": 404,
		"/sign-in/provider": 404, "/sign-in/callback": 404, "/releases/" + id + "/do/pause": 404, "/api/v1/nope": 404, "//evil.example": 404,
	} {
		require.Equal(t, status, ada.get(path).status, path)
	}
	token := hidden(ada.get("/"), "csrf")
	for path, c := range map[string]struct {
		form   url.Values
		status int
	}{
		"/releases/" + id + "/do/explode": {url.Values{}, 404},
		"/releases/" + id + "/do/resume":  {url.Values{}, 409},
		"/releases/" + id + "/do/pause":   {url.Values{"reason": {strings.Repeat("x", 1001)}}, 422},
		"/releases/" + id + "/answer":     {url.Values{"gate": {"nope"}, "answer": {"approve"}}, 404},
		"/rollouts/cart/start":            {url.Values{"p-image": {strings.Repeat("x", 5000)}}, 422},
		"/rollouts/shop/start":            {url.Values{}, 409},
		"/rollouts/nope/start":            {url.Values{}, 404},
	} {
		c.form.Set("csrf", token)
		require.Equal(t, c.status, ada.post(path, c.form).status, path)
	}
	require.Equal(t, 422, ada.post("/releases/"+id+"/answer", url.Values{"csrf": {token}, "gate": {"start"}, "answer": {"perhaps"}}).status)
	require.Equal(t, http.StatusBadRequest, ada.post("/releases/"+id+"/do/pause", url.Values{"csrf": {token}, "reason": {strings.Repeat("x", 70_000)}}).status)
}

// hidden is the value of a page's hidden field.
func hidden(p page, name string) string {
	_, rest, _ := strings.Cut(p.body, `name="`+name+`" value="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
