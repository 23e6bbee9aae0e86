package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/server"
)

// presses sends keys to whatever has the focus, as a keyboard does.
func (c *chromium) presses(keys string) { c.t.Helper(); c.do(chromedp.KeyEvent(keys)) }

// stops is everything on the page that the Tab key has to reach, in the order of the document.
const stops = `[...document.querySelectorAll("a[href], button, summary, select, textarea, input:not([type=hidden]):not([type=radio]), input[type=radio]:checked, [tabindex='0']")]
	.filter(e => e.checkVisibility({visibilityProperty: true}))`

// tabsTo presses Tab until an element has the focus.
func (c *chromium) tabsTo(css string) {
	c.t.Helper()
	for range 100 {
		c.presses(kb.Tab)
		if js[bool](c, fmt.Sprintf("document.activeElement.matches(%q)", css)) {
			return
		}
	}
	require.Fail(c.t, "Tab does not lead to "+css)
}

// walks presses Tab from the start of the page to its end: each stop comes once, in the order in which one reads, and shows
// that it has the focus.
func (c *chromium) walks(path string) {
	c.t.Helper()
	want, got := c.walk(path)
	for tries := 0; tries < 10 && !slices.Equal(want, got); tries++ { // a live update may have replaced what is ahead
		want, got = c.walk(path)
	}
	require.Equal(c.t, want, got, path)
}

// walk returns the stops that a page has, and those that Tab came to.
func (c *chromium) walk(path string) (want, got []string) {
	c.t.Helper()
	c.open(path)
	want = js[[]string](c, `(window.all = `+stops+`).map(e => e.localName + " " + (e.id || e.name || e.getAttribute("aria-label") || e.innerText.trim()))`)
	require.Greater(c.t, len(want), 5, path)
	last := -1
	for range 2*len(want) + 10 {
		c.presses(kb.Tab)
		at := js[int](c, `window.all.indexOf(document.activeElement)`)
		if at < 0 || at == last {
			continue // what the browser adds, or another part of a date
		}
		if at == 0 && last > 0 {
			break // it begins again
		}
		last = at
		got = append(got, want[at])
		require.Empty(c.t, js[string](c, `(e => {
			const s = getComputedStyle(e), b = e.getBoundingClientRect();
			return s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2 ? "no outline" :
				b.width < 1 || b.right <= 0 || b.bottom <= 0 || b.left >= innerWidth || b.top >= innerHeight ? "out of sight" : "";
		})(document.activeElement)`), "%s: %s", path, want[at])
	}
	return want, got
}

// TestThePagesWorkByKeyboardAlone signs in, finds a rollout, starts a release, and answers its gates without a mouse.
func TestThePagesWorkByKeyboardAlone(t *testing.T) {
	t.Parallel()
	h := &house{dir: t.TempDir()}
	operator, token, err := server.NewToken("otto", []string{server.RoleOperator})
	require.NoError(t, err)
	h.quiet(t, token)
	labelled := strings.Replace(trusting, "spec:\n", "spec:\n  owner: Payments\n  labels: {team: payments}\n", 1)
	h.write(t, "rollouts/shop.yaml", labelled)
	h.write(t, "rollouts/cart.yaml", strings.NewReplacer("name: shop", "name: cart", "shop.yaml", "cart.yaml", "payments", "cart", "Payments", "Cart").Replace(labelled))
	h.write(t, "dynamic/here", "")
	h.run(t)
	c := newChromium(t, h.url)

	c.open("/")
	c.presses(operator + kb.Enter) // the field has the focus
	c.shows("cart", "shop", "at rest")
	c.presses(kb.Tab)
	require.True(t, js[bool](c, `document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().left >= 0`), "the first stop leads past what the pages have in common")
	c.presses(kb.Enter + kb.Tab)
	require.True(t, js[bool](c, `document.activeElement.matches("#q")`))
	c.presses("nothing is called so" + kb.Enter)
	c.shows("No rollout has this")
	c.tabsTo("#q")
	c.presses("sho" + kb.Enter)
	c.comes(`document.querySelectorAll(".card").length === 1`)
	c.open("/")
	c.tabsTo(`a.chip[href*="team%3Dpayments"]`)
	c.presses(kb.Enter)
	c.comes(`document.querySelectorAll(".card").length === 1 && document.querySelector(".chip.on") !== null`)

	c.tabsTo(".c-name a")
	c.presses(kb.Enter)
	c.shows("Start a release")
	c.tabsTo("#p0")
	c.presses("tuesday" + kb.Enter)
	c.shows("The release is started.", "Gate tested")
	release := c.path()
	byKeysAtAGate(t, c)
	for _, path := range []string{"/", release, "/rollouts/shop", "/history", "/audit"} {
		c.walks(path)
	}
	c.as(ways[2])
	c.walks("/")
	c.walks(release)
	c.as(ways[0])
	theFocusStays(t, c, h, operator)
	c.clean()
}

// byKeysAtAGate pauses and resumes a release, and answers its gate.
func byKeysAtAGate(t *testing.T, c *chromium) {
	t.Helper()
	const pause = `#actions details:first-child`
	c.tabsTo(pause + " summary")
	c.presses(kb.Enter)
	c.comes(`document.querySelector("#why-pause").checkVisibility()`)
	c.presses(kb.Tab + "half" + kb.Escape)
	require.False(t, js[bool](c, `document.querySelector("`+pause+`").open`), "Escape closes it")
	require.True(t, js[bool](c, `document.activeElement.matches("`+pause+` summary")`), "and leads back to where it was opened")
	c.presses(kb.Enter + kb.Tab + " of lunch" + kb.Tab + kb.Enter)
	c.shows("Paused.", "Paused by otto: half of lunch")
	c.tabsTo(pause + " summary")
	c.presses(kb.Enter)
	c.tabsTo(pause + " form button")
	c.presses(kb.Enter)
	c.shows("Resumed.")
	c.tabsTo("#gate-reason")
	c.presses("checked" + kb.Tab)
	require.Equal(t, "approve", js[string](c, "document.activeElement.value"))
	c.presses(kb.Enter)
	c.shows("Approved.", "Gate full-release")
}

// theFocusStays holds a rollout on an open overview while its state changes and it moves to another group.
func theFocusStays(t *testing.T, c *chromium, h *house, operator string) {
	t.Helper()
	c.open("/")
	c.shows("live")
	c.tabsTo("#r-cart")
	js[bool](c, "window.stays = true")
	before := js[string](c, "document.activeElement.href")
	await.True(t, func() bool { return h.starts(t, "cart", operator) })
	c.comes(`document.querySelector("#r-cart").closest("section").matches(".people")`)
	require.True(t, js[bool](c, `window.stays && document.activeElement.matches("#r-cart")`))
	require.NotEqual(t, before, js[string](c, "document.activeElement.href"), "it leads to the release now")
	c.presses(kb.Tab)
	c.presses(kb.Enter)
	c.shows("Gate tested")
	require.Contains(t, c.path(), "/releases/")
}
