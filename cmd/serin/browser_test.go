package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// chromium is a real browser. Anything it reports fails the test: a script error, a violation of the
// Content-Security-Policy, a missing file.
type chromium struct {
	t    *testing.T
	base string
	ctx  context.Context //nolint:containedctx // chromedp keeps its tab in it

	mu    sync.Mutex // guards wrong
	wrong []string
}

// newChromium starts a browser without a session.
func newChromium(t *testing.T, base string) *chromium {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	require.NotEmpty(t, path, "chromium is not in PATH: run `make deps`")
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.WSURLReadTimeout(await.Patience), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("disable-dev-shm-usage", true),
	}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it does not start otherwise
	}
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	c := &chromium{t: t, base: base, ctx: ctx}
	c.do(c.size(ways[0].width, ways[0].height))
	require.NoError(t, chromedp.Listen(ctx, c.listen))
	_, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{})
	require.NoError(t, err)
	return c
}

func (c *chromium) listen(ev any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch ev := ev.(type) {
	case *cdplog.EventEntryAdded:
		c.complain(ev.Entry)
	case cdplog.EventEntryAdded:
		c.complain(ev.Entry)
	case *runtime.EventExceptionThrown:
		c.wrong = append(c.wrong, ev.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		c.wrong = append(c.wrong, "a dialog: "+ev.Message)
	}
}

func (c *chromium) complain(e *cdplog.Entry) {
	if e.Level == "error" || e.Level == "warning" {
		c.wrong = append(c.wrong, e.Text+" "+e.URL)
	}
}

// clean fails if the browser has reported anything unexpected.
func (c *chromium) clean(expected ...string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var rest []string
	for _, w := range c.wrong {
		known := false
		for _, e := range expected {
			known = known || strings.Contains(w, e)
		}
		if !known {
			rest = append(rest, w)
		}
	}
	c.wrong = nil
	require.Empty(c.t, rest)
}

func (c *chromium) do(steps ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	err := chromedp.Do(c.ctx, steps...)
	for tries := 0; tries < 20 && err != nil && len(steps) == 1 && strings.Contains(err.Error(), "Could not find node"); tries++ {
		err = chromedp.Do(c.ctx, steps...) // a live update has replaced the node since it was found
	}
	require.NoError(c.t, err)
}

func (c *chromium) size(width, height int64) chromedp.Action[chromedp.Void] {
	return chromedp.EmulateViewport(width, height)
}

func (c *chromium) open(path string) { c.t.Helper(); c.do(chromedp.Navigate(c.base + path)) }

// navigate goes to any address.
func navigate(address string) chromedp.Action[chromedp.Void] { return chromedp.Navigate(address) }

func (c *chromium) click(css string) { c.t.Helper(); c.do(chromedp.Click(chromedp.CSS(css))) }

// unfolds opens a folded part of a page, which live updates may move between finding and clicking it.
func (c *chromium) unfolds(css string) {
	c.t.Helper()
	await.True(c.t, func() bool {
		open := func() bool { return js[bool](c, fmt.Sprintf("document.querySelector(%q)?.open ?? false", css)) }
		if !open() {
			c.click(css + " summary")
		}
		return open()
	}, css)
}

func (c *chromium) write(css, text string) {
	c.t.Helper()
	c.do(chromedp.SendKeys(chromedp.CSS(css), text))
}

// js evaluates an expression in the page.
func js[T any](c *chromium, expression string) T {
	c.t.Helper()
	v, err := chromedp.Run(c.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(c.t, err, expression)
	return v
}

// shows waits until the page's text has all of these words.
func (c *chromium) shows(words ...string) {
	c.t.Helper()
	await.Until(c.t, "the page shows "+strings.Join(words, ", "), func() string {
		text, err := chromedp.Run(c.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		if err != nil {
			return err.Error() // between two pages
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				return fmt.Sprintf("%q is missing; it shows:\n%s", w, text)
			}
		}
		return ""
	})
}

// path is the path of the current page.
func (c *chromium) path() string { return js[string](c, "location.pathname") }

// look is one way of viewing a page: theme and screen size.
type look struct {
	name          string
	width, height int64
	dark          bool
}

var ways = []look{{"light", 1440, 900, false}, {"dark", 1440, 900, true}, {"phone", 390, 844, false}, {"phone-dark", 390, 844, true}}

func (c *chromium) as(l look) {
	c.t.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[l.dark]
	_, err := chromedp.Call(c.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(c.t, err)
	c.do(c.size(l.width, l.height))
}

// violation is an accessibility rule that a page breaks.
type violation struct {
	ID, Help string
	Nodes    []struct {
		HTML           string
		FailureSummary string
	}
}

// in moves the browser to a time zone.
func (c *chromium) in(zone string) {
	c.t.Helper()
	_, err := chromedp.Call(c.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
	require.NoError(c.t, err)
}

// mouse sends a real mouse event to an element, at a part of its width.
func (c *chromium) mouse(what input.DispatchMouseEventType, css string, part float64) {
	c.t.Helper()
	at := js[[]float64](c, fmt.Sprintf(`(() => { const b = document.querySelector(%q).getBoundingClientRect(); return [b.left + %g * b.width, b.top + b.height / 2] })()`, css, part))
	p := input.DispatchMouseEventParams{Type: what, X: at[0], Y: at[1]}
	if what != input.DispatchMouseEventTypeMouseMoved {
		p.Button, p.ClickCount = input.MouseButtonLeft, 1
	}
	_, err := chromedp.Call(c.ctx, input.DispatchMouseEvent, p)
	require.NoError(c.t, err)
}

// inspect checks the page in every theme and size: no violation of WCAG 2.2 A or AA, nothing wider than the screen. With
// the flag pictures it leaves screenshots in .demo/pages.
func (c *chromium) inspect(name string) {
	c.t.Helper()
	for _, l := range ways {
		c.as(l)
		require.LessOrEqual(c.t, js[float64](c, "document.documentElement.scrollWidth"), float64(l.width), "%s %s is wider than its screen", name, l.name)
		c.keep(name + "-" + l.name)
		for _, v := range c.axe(l) {
			for _, n := range v.Nodes {
				c.t.Errorf("%s %s: %s (%s): %s\n%s", name, l.name, v.Help, v.ID, n.HTML, n.FailureSummary)
			}
		}
	}
	c.as(ways[0])
}

// keep leaves a screenshot of the whole page in .demo/pages, if pictures are asked for.
func (c *chromium) keep(name string) {
	c.t.Helper()
	if !*pictures {
		return
	}
	root, err := testbed.Root()
	require.NoError(c.t, err)
	dir := filepath.Join(root, ".demo", "pages")
	require.NoError(c.t, os.MkdirAll(dir, 0o755))
	png, err := chromedp.Run(c.ctx, chromedp.FullScreenshot(100))
	require.NoError(c.t, err)
	require.NoError(c.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}

// picture saves the first screen of the page, as the README and the docs show it, if the flag asks for pictures.
func (c *chromium) picture(name string) {
	c.t.Helper()
	if !*pictures {
		return
	}
	root, err := testbed.Root()
	require.NoError(c.t, err)
	c.do(c.size(1440, 1100))
	js[bool](c, "(scrollTo(0, 0), true)") // a test may have led further down
	png, err := chromedp.Run(c.ctx, chromedp.CaptureScreenshot())
	require.NoError(c.t, err)
	require.NoError(c.t, os.WriteFile(filepath.Join(root, "docs", "img", name+".png"), png, 0o644))
	c.as(ways[0])
}

// axe runs axe-core (testdata/axe) on the page. In the dark theme it runs only the rules on colours: nothing else differs
// from the light one (TestTheDarkThemeChangesColoursOnly).
func (c *chromium) axe(l look) []violation {
	c.t.Helper()
	rules := `{type: "tag", values: ["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"]}`
	if l.dark {
		rules = `{type: "rule", values: ["color-contrast", "link-in-text-block"]}`
	}
	if !js[bool](c, "!!window.axe") {
		js[chromedp.Void](c, axeSource(c.t)+";0")
	}
	text := js[string](c, `axe.run({resultTypes: ["violations"], runOnly: `+rules+`}).then(r => JSON.stringify(r.violations))`)
	var out []violation
	require.NoError(c.t, json.Unmarshal([]byte(text), &out), text)
	return out
}

var axeOnce = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("testdata/axe/axe.min.js.gz")
	if err != nil {
		return "", err
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return string(text), err
})

func axeSource(t *testing.T) string {
	t.Helper()
	text, err := axeOnce()
	require.NoError(t, err)
	return text
}

// firstPaint returns the time from the click until the browser painted something.
func (c *chromium) firstPaint() string {
	c.t.Helper()
	await.True(c.t, func() bool { // a page may be loaded before it is painted
		return js[int](c, `performance.getEntriesByName("first-contentful-paint").length`) > 0
	})
	return fmt.Sprintf("%.0f ms", js[float64](c, `performance.getEntriesByName("first-contentful-paint")[0].startTime`))
}

// TestTheDarkThemeChangesColoursOnly keeps what [chromium.axe] relies on.
func TestTheDarkThemeChangesColoursOnly(t *testing.T) {
	t.Parallel()
	css, err := os.ReadFile("../../server/web/assets/serin.css")
	require.NoError(t, err)
	names := regexp.MustCompile(`(?s)(@media \(prefers-color-scheme:dark\)\{)?:root[^{]*\{([^}]*)\}`)
	rest := names.ReplaceAllStringFunc(string(css), func(rule string) string {
		for declaration := range strings.SplitSeq(names.FindStringSubmatch(rule)[2], ";") {
			require.Regexp(t, `^\s*(--[a-z-]+:|color-scheme:|$)`, declaration)
		}
		return ""
	})
	require.NotRegexp(t, `prefers-color-scheme|data-theme|light-dark`, rest)
}
