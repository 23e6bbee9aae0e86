package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/server"
)

// presses sends keys to the element that has the focus, as a keyboard does.
func (c *chromium) presses(keys string) { c.t.Helper(); c.do(chromedp.KeyEvent(keys)) }

// tracking makes a page report where the focus is. It counts the parts that live updates replace, and notices if such an
// update loses the focus, however soon the next key is pressed.
const tracking = `(() => {
	const group = e => [...document.getElementsByName(e.name)];
	const stops = () => [...document.querySelectorAll("a[href], button, summary, select, textarea, input:not([type=hidden]), [tabindex='0']")]
		.filter(e => e.checkVisibility({visibilityProperty: true}))
		.filter(e => e.type !== "radio" || e === (group(e).find(r => r.checked) || group(e)[0]));
	const name = e => e.localName + " " + (e.id || e.name || e.getAttribute("href") || e.getAttribute("aria-label") || e.innerText.trim());
	let focused = "", lost = "", leaving = false, turns = 0;
	document.addEventListener("keydown", e => leaving = e.key === "Tab");
	document.addEventListener("focusin", e => { focused = name(e.target); leaving = false; });
	new MutationObserver(changes => {
		turns += changes.some(c => c.target.matches("[data-live]"));
		if (focused && !leaving && document.activeElement === document.body) lost = lost || focused;
	}).observe(document.body, {subtree: true, childList: true});
	window.place = () => {
		const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect(), all = stops();
		return {
			stops: all.length, at: all.indexOf(e), name: name(e), out: e === document.body, turns, lost,
			bare: s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2,
			unseen: b.width < 1 || b.right <= 0 || b.bottom <= 0 || b.left >= innerWidth || b.top >= innerHeight,
		};
	};
	return true;
})()`

// place is where the focus is, in the page as it is at that time.
type place struct {
	Stops        int    // how many elements Tab has to reach
	At           int    // which of them has the focus, in the order of the document; -1 if none has
	Name         string // what has the focus
	Out          bool   // nothing on the page has it
	Turns        int    // how often a live update has replaced a part of the page
	Lost         string // what had the focus when an update lost it
	Bare, Unseen bool   // it shows no outline; it is not on the screen
}

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

// walks presses Tab from the start of the page to its end: each stop comes once, in reading order, and shows that it has the
// focus. Live updates may replace parts of the page meanwhile and change how many stops there are, but they keep the focus.
// So each step is compared with the page as it is at that time.
func (c *chromium) walks(path string) {
	c.t.Helper()
	c.open(path)
	js[bool](c, tracking)
	last := place{At: -1, Out: true}
	for range 1000 {
		was := js[place](c, "place()")
		if !last.Out {
			c.kept(path, last, was)
		}
		c.presses(kb.Tab)
		now := js[place](c, "place()")
		switch {
		case was.Turns != now.Turns: // the stops are no longer those in was
			require.Empty(c.t, now.Lost, "%s: an update lost the focus", path)
		case was.At == now.Stops-1 && was.At >= 0 && (now.Out || now.At == 0): // the end of the page
			require.Greater(c.t, now.Stops, 5, path)
			return
		case was.At == now.At && was.Name == now.Name: // another part of a date
		default:
			require.Equal(c.t, was.At+1, now.At, "%s: Tab led from %s to %s", path, was.Name, now.Name)
			require.False(c.t, now.Bare, "%s: %s has no outline", path, now.Name)
			require.False(c.t, now.Unseen, "%s: %s is out of sight", path, now.Name)
		}
		last = now
	}
	require.Fail(c.t, "Tab does not come to the end of "+path)
}

// kept checks that the focus is still where it was, even if a live update has come.
func (c *chromium) kept(path string, last, now place) {
	c.t.Helper()
	require.Empty(c.t, now.Lost, "%s: an update lost the focus", path)
	require.Equal(c.t, last.Name, now.Name, path)
	require.GreaterOrEqual(c.t, now.At, 0, path)
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
	require.True(t, js[bool](c, `document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().left >= 0`), "the first stop skips what the pages have in common")
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
	aLostFocusIsNoticed(t, c)
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
	aReasonIsKept(t, c, h, operator)
}

// aReasonIsKept closes the form of a rollback after a word was typed into it. The page continues to show what is
// possible.
func aReasonIsKept(t *testing.T, c *chromium, h *house, operator string) {
	t.Helper()
	const back = "#actions details:has(#why-rollback)"
	c.tabsTo(back + " summary")
	c.presses(kb.Enter + kb.Tab + "slow" + kb.Escape)
	c.tabsTo("#gate-reason")
	require.True(t, h.posts(t, strings.TrimPrefix(c.path(), "/")+"/pause", `{"reason": "lunch"}`, operator))
	c.comes(`document.querySelector("#actions").textContent.includes("Resume")`)
	require.Equal(t, "slow", js[string](c, `document.querySelector("#why-rollback").value`))
}

// aLostFocusIsNoticed replaces the part of the overview that has the focus, like a live update that does not keep it.
func aLostFocusIsNoticed(t *testing.T, c *chromium) {
	t.Helper()
	c.open("/")
	js[bool](c, tracking)
	c.tabsTo("#r-shop")
	js[bool](c, `(p => (p.replaceChildren(...[...p.childNodes].map(n => n.cloneNode(true))), true))(document.querySelector("#all"))`)
	require.Equal(t, "a r-shop", js[place](c, "place()").Lost)
}
