package screen

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

var sgr = regexp.MustCompile(`\x1b\[[0-9;]*m`)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// scripted is a daemon with scripted answers; the tests of cmd/serin use a real one.
type scripted struct {
	views  []record.View
	err    error
	now    time.Time
	orders []Order
	refuse error
}

func (s *scripted) Views(context.Context) ([]record.View, error) { return s.views, s.err }
func (s *scripted) Events(context.Context, string) ([]rollout.Event, error) {
	return []rollout.Event{
		rollout.Started{Meta: rollout.Meta{Seq: 1, At: noon.Add(-10 * time.Minute), By: "ann"}, Parameters: map[string]string{"image": "shop:1.4.2"}},
		rollout.StepEntered{Meta: rollout.Meta{Seq: 2, At: noon.Add(-9 * time.Minute)}, Name: "canary", What: rollout.StageGray},
		rollout.StepEntered{Meta: rollout.Meta{Seq: 3, At: noon.Add(-2 * time.Minute)}, Name: "canary", Stage: 1, What: rollout.StageGray},
	}, nil
}
func (s *scripted) Before(context.Context, string, string) (string, error) { return "1.4.1", nil }
func (s *scripted) Wait(context.Context)                                   {}
func (s *scripted) Do(_ context.Context, o Order) (string, error) {
	s.orders = append(s.orders, o)
	return o.Rollout + ": done", s.refuse
}
func (s *scripted) Now() time.Time         { return s.now }
func (s *scripted) Temporary(e error) bool { return errors.Is(e, errAway) }

var errAway = errors.New("connection refused")

// underWay is a release of 1.4.2 at the second of three weights.
func underWay(name string) record.View {
	verdict := &judge.Verdict{
		Outcome: judge.Inconclusive, Reason: judge.Undecided, Decisive: "errors", Look: 12, At: noon, Enough: true,
		SampleRatio: &judge.SampleRatio{Share: 0.203, Weight: 0.2, Canary: 2030, Baseline: 7970},
		Metrics: []judge.MetricVerdict{{
			Metric: "errors", Kind: judge.Counts, Outcome: judge.Inconclusive, Reason: judge.Undecided, Ratio: 1.04, Lower: 0.7, Upper: 1.6, Margin: 1.25,
			Canary: judge.Totals{Bad: 11, Total: 2030, Rate: 11. / 2030}, Baseline: judge.Totals{Bad: 41, Total: 7970, Rate: 41. / 7970},
			LogEvidence: judge.LogEvidence{Worse: 0.5, FailsFrom: 4.6, NoWorse: 2.1, PassFrom: 4.6},
		}},
	}
	v := record.View{
		Rollout: name, Declared: true, Release: &record.Release{ID: "01M8N2W0000000000000000000", Rollout: name, StartedBy: "ann", StartedAt: noon.Add(-10 * time.Minute)},
		Steps: rollout.Steps{
			rollout.Gray{Name: "canary", Weights: []share.Share{0.05, 0.2, 0.5}, Hold: 3 * time.Minute}, rollout.Gate{Name: "full"}, rollout.Promote{Name: "promote"},
		},
		State: rollout.State{
			Phase: rollout.Active, Step: 0, Stage: 1, StepName: "canary", Moved: true, InForce: true, Parameters: map[string]string{"image": "shop:1.4.2"}, StartedBy: "ann",
			Look: verdict, InForceSince: noon.Add(-2 * time.Minute), StageAt: noon.Add(-2 * time.Minute), StepAt: noon.Add(-9 * time.Minute),
		},
		Confirmation: traffic.InForce, Verdict: verdict, Waiting: "20% of traffic on the canary: it needs at least 1m more in force",
	}
	v.Target.Weight = 0.2
	return v
}

func atGate(name string) record.View {
	v := underWay(name)
	v.State.Step, v.State.Stage, v.State.StepName = 1, 0, "full"
	v.Gate, v.GateSince, v.Approvers, v.State.Gate = "full", noon.Add(-3*time.Minute), []string{"qa", "release-manager"}, "full"
	return v
}

func rolledBack(name string) record.View {
	v := underWay(name)
	v.State.Phase, v.State.Outcome, v.State.Why, v.State.WhyBy, v.State.EndedAt = rollout.PhaseEnded, rollout.RolledBack, "the canary is worse: errors", "judge", noon.Add(-time.Minute)
	return v
}

// person drives a screen with keys and answers of the daemon.
type person struct {
	t *testing.T
	m *model
	d *scripted
}

func newPerson(t *testing.T, o Options, views ...record.View) *person {
	o.Command = "serin"
	d := &scripted{views: views, now: noon}
	p := &person{t, newModel(t.Context(), d, o), d}
	p.resize(100, 40)
	p.hears()
	return p
}

func (p *person) resize(width, height int) {
	p.m.Update(tea.WindowSizeMsg{Width: width, Height: height})
}

// hears makes the daemon answer.
func (p *person) hears() { p.m.Update(p.m.fetch(true)()) }

func (p *person) presses(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		msg := tea.KeyPressMsg{Text: k}
		if len([]rune(k)) == 1 {
			msg.Code = []rune(k)[0]
		}
		if code, ok := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "down": tea.KeyDown, "up": tea.KeyUp, "tab": tea.KeyTab, "backspace": tea.KeyBackspace, "end": tea.KeyEnd}[k]; ok {
			msg = tea.KeyPressMsg{Code: code}
		}
		_, cmd := p.m.Update(msg)
		if cmd != nil {
			if said := cmd(); said != nil {
				p.m.Update(said)
			}
		}
	}
}

func (p *person) sees() string { return ansi.Strip(strings.Join(p.m.lines(), "\n")) }

func TestOneReleaseFitsOnAScreen(t *testing.T) {
	p := newPerson(t, Options{Title: "shop"}, underWay("shop"))
	got := p.sees()
	for _, want := range []string{
		"▶ 20% of the traffic is on 1.4.2 (for 2 min)", "50% of the traffic in 1 min if nothing gets worse.",
		"✓ 5% 7m", "▶ 20% 2m", "○ 50%", "○ full, gate", "asked", "20%, in force", "served", "20% of 10,000 requests",
		"0.54%  11 of 2,030", "0.51%  41 of 7,970", "1.0", "up to 1.2", "undecided", "worse", "11%", "no worse", "46%", "g go on", "p pause", "b roll back", "started by ann: image=shop:1.4.2",
	} {
		require.Contains(t, got, want)
	}
}

func TestBothArmsAreShownWithTheirImagesAndPods(t *testing.T) {
	v := underWay("shop")
	canary := workload.Name{Namespace: "pro", Name: "shop-canary"}
	v.Arms = &record.Arms{
		Canary: record.Running{Workload: canary, Image: "registry.example.com/shop:1.4.2"},
		Stable: record.Running{Workload: workload.Name{Namespace: "pro", Name: "shop"}, Image: "registry.example.com/shop:1.4.1"},
	}
	v.Workloads = []workload.Status{{Name: canary, Phase: workload.Progressing, Why: "pod shop-canary-7d is being created"}}
	p := newPerson(t, Options{Title: "shop"}, v)
	p.resize(140, 50)
	got := p.sees()
	require.Contains(t, got, "new version     1.4.2  pro/shop-canary registry.example.com/shop:1.4.2\n")
	require.Contains(t, got, "! on its way: pod shop-canary-7d is being created\n")
	require.Contains(t, got, "version before  1.4.1  pro/shop registry.example.com/shop:1.4.1")

	p.d.views = []record.View{underWay("shop")} // without Kubernetes
	p.hears()
	require.Contains(t, p.sees(), "version before  1.4.1\n")
	require.NotContains(t, p.sees(), "pro/shop")
}

func TestOwnerLabelsAndLinksAreShown(t *testing.T) {
	v := underWay("shop")
	v.About = record.About{
		Owner: "payments", Labels: map[string]string{"tier": "one"}, Links: []record.Link{{Name: "runbook", URL: "https://wiki.example.com/shop"}},
	}
	p := newPerson(t, Options{Title: "shop"}, v)
	p.resize(140, 60)
	require.Contains(t, p.sees(), "Owner payments")
	require.Contains(t, p.sees(), "tier")
	require.Contains(t, p.sees(), "runbook: https://wiki.example.com/shop")
}

func TestANarrowTerminalShowsWholeImages(t *testing.T) {
	v := underWay("shop")
	const tag, image = "2026.11.30-build.4711", "registry.example.com/payments/backend/shop:"
	v.State.Parameters["image"] = image + tag
	v.Arms = &record.Arms{
		Canary: record.Running{Workload: workload.Name{Namespace: "pro", Name: "shop-canary"}, Image: image + tag},
		Stable: record.Running{Workload: workload.Name{Namespace: "pro", Name: "shop"}, Image: image + "2026.11.29-build.4699"},
	}
	p := newPerson(t, Options{Title: "shop"}, v)
	for _, width := range []int{30, 40, 60, 80, 100, 140} {
		p.resize(width, 200)
		got := strings.Join(strings.Fields(p.sees()), "")
		require.Contains(t, got, "pro/shop-canary"+image+tag, "%d columns:\n%s", width, p.sees())
		require.Contains(t, got, "pro/shop"+image+"2026.11.29-build.4699", "%d columns:\n%s", width, p.sees())
	}
}

func TestAGateShowsItsQuestionAndTheKeysOfItsAnswers(t *testing.T) {
	p := newPerson(t, Options{Title: "shop"}, atGate("shop"))
	got := p.sees()
	for _, want := range []string{"! Shall everybody get 1.4.2? (for 3 min)", "[a] Approve: all users get 1.4.2", "[x] Reject: all users back to stable", "Who may answer: qa, release-manager", "a approve", "x reject"} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "g go on", "a gate is answered, not skipped")
	p.presses("a")
	require.Contains(t, p.sees(), "shop: Shall everybody get 1.4.2?")
	require.Contains(t, p.sees(), "All users get 1.4.2.")
	p.presses("l", "o", "o", "k", "s", " ", "g", "o", "x", "backspace", "o", "d", "enter")
	require.Equal(t, []Order{{Deed: tell.Approve, Rollout: "shop", Release: "01M8N2W0000000000000000000", Gate: "full", Reason: "looks good"}}, p.d.orders)
	require.Contains(t, p.sees(), "shop: done")
}

func TestNothingHappensUnlessItIsConfirmed(t *testing.T) {
	for _, c := range []struct {
		name   string
		keys   []string
		orders []Order
	}{
		{"a key alone asks", []string{"b"}, nil},
		{"escape drops the question", []string{"b", "esc", "enter"}, nil},
		{"another key is part of the reason", []string{"b", "p", "g", "q"}, nil},
		{"enter does it", []string{"b", "enter"}, []Order{{Deed: tell.RollBack, Rollout: "shop", Release: "01M8N2W0000000000000000000"}}},
		{"going on needs a reason", []string{"g", "enter", " ", "enter"}, nil},
		{"and sends it along", []string{"g", "f", "i", "x", "enter"}, []Order{{Deed: tell.GoOn, Rollout: "shop", Release: "01M8N2W0000000000000000000", Reason: "fix"}}},
		{"tab goes further", []string{"g", "f", "tab", "tab", "enter"}, []Order{{Deed: tell.GoOn, Rollout: "shop", Release: "01M8N2W0000000000000000000", Reason: "f", Full: true, EvenIfWorse: true}}},
		{"an unused key does nothing", []string{"a", "enter", "x", "enter", "u", "enter", "d", "enter"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPerson(t, Options{Title: "shop"}, underWay("shop"))
			p.presses(c.keys...)
			require.Equal(t, c.orders, p.d.orders)
		})
	}
}

func TestAQuestionIsClosedWhenTheReleaseHasMovedOn(t *testing.T) {
	later := underWay("shop")
	later.State.Stage = 2
	other := underWay("shop")
	other.Release.ID = "01M8N2W0000000000000000001"
	for _, c := range []struct {
		name, key string
		now       record.View
		open      bool
	}{
		{"it stays if nothing has changed", "g", underWay("shop"), true},
		{"going on would skip a weight that nobody has seen", "g", later, false},
		{"going back is always right", "b", later, true},
		{"but not in another release", "b", other, false},
		{"nor once it has ended", "b", rolledBack("shop"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPerson(t, Options{Title: "shop"}, underWay("shop"))
			p.presses(c.key, "w", "h", "y")
			p.d.views = []record.View{c.now}
			p.hears()
			require.Equal(t, c.open, p.m.ask != nil)
			p.presses("enter")
			require.Equal(t, c.open, len(p.d.orders) == 1)
			if !c.open {
				require.Contains(t, p.sees(), "Nothing was done")
			}
		})
	}
}

func TestAnOpenRolloutIsNeverReplacedByAnother(t *testing.T) {
	p := newPerson(t, Options{}, underWay("cart"), underWay("shop"))
	p.presses("down", "enter")
	require.Contains(t, p.sees(), "serin watch  shop")
	p.d.views = []record.View{underWay("cart")}
	p.hears()
	require.Contains(t, p.sees(), "shop is no longer there.")
	p.presses("b", "enter")
	require.Empty(t, p.d.orders)
}

func TestALostConnectionIsShownAndDisablesTheKeys(t *testing.T) {
	p := newPerson(t, Options{Title: "shop"}, underWay("shop"))
	p.d.err = errAway
	p.d.now = noon.Add(5 * time.Second)
	p.hears()
	p.d.now = noon.Add(20 * time.Second)
	p.m.Update(second{})
	got := p.sees()
	require.Contains(t, got, "No connection to the daemon for 16s; what follows is 21s old. Trying again.")
	require.Contains(t, got, "20% of the traffic is on 1.4.2", "what was known is still there")
	require.NotContains(t, got, "b roll back")
	p.presses("b", "enter")
	require.Empty(t, p.d.orders)
	p.d.err = nil
	p.hears()
	require.NotContains(t, p.sees(), "No connection")
	require.Contains(t, p.sees(), "b roll back")

	p.d.err = errors.New("a token is unknown")
	_, cmd := p.m.Update(p.m.fetch(true)())
	require.Equal(t, tea.Quit(), cmd())
	require.ErrorContains(t, p.m.fatal, "a token is unknown")
}

func TestRolloutsThatNeedAPersonComeFirst(t *testing.T) {
	idle := record.View{Rollout: "idle", Declared: true}
	broken := underWay("broken")
	broken.Trouble = []string{"the store does not answer"}
	views := []record.View{idle, underWay("way"), atGate("gate"), rolledBack("back"), broken}
	p := newPerson(t, Options{}, views...)
	got := p.sees()
	last := -1
	for _, want := range []string{
		"Needs attention (2)", "✗ back", "Rolled back: the canary is worse: errors · 1 min ago", "✗ broken", "the store does not answer",
		"Waiting for a person (1)", "! gate", "Shall everybody get 1.4.2?", "Under way (1)", "▶ way", "At rest (1)", "· idle", "It has had no release",
	} {
		at := strings.Index(got, want)
		require.Greater(t, at, last, want)
		last = at
	}
	require.Contains(t, got, "› ✗ back", "the cursor is on the first")
	p.presses("/", "g", "a", "enter")
	require.NotContains(t, p.sees(), "broken")
	require.Contains(t, p.sees(), "› ! gate")
	p.presses("esc")
	require.Contains(t, p.sees(), "broken")
}

func TestTwoHundredRolloutsAreScrolled(t *testing.T) {
	var views []record.View
	for i := range 200 {
		views = append(views, underWay(fmt.Sprintf("service-%03d", i)))
	}
	p := newPerson(t, Options{}, views...)
	require.Contains(t, p.sees(), "Under way (200)")
	for range 120 {
		p.presses("down")
		require.Contains(t, p.sees(), "› ▶ "+p.m.chosen)
	}
	p.presses("enter")
	require.Contains(t, p.sees(), "serin watch  service-120")
	p.presses("esc", "end")
	require.Contains(t, p.sees(), "› ▶ service-199")
}

// TestNoLineIsTooLongAndNoForeignCodeReachesTheTerminal draws arbitrary texts in terminals of any size.
func TestNoLineIsTooLongAndNoForeignCodeReachesTheTerminal(t *testing.T) {
	hostile := []string{
		"shop", "a-very-long-name-of-a-service-that-somebody-has-given-to-it", "\x1b[2Jgone", "\x1b]0;title\x07", "a\u202eb", "店铺发布系统", "👩‍👩‍👧‍👦 family", "é́́́", "two\nlines", "\x9b31m",
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.SampledFrom(hostile)
		v := rapid.SampledFrom([]func(string) record.View{underWay, atGate, rolledBack}).Draw(rt, "view")(text.Draw(rt, "name"))
		v.State.Parameters["image"] = "r/" + text.Draw(rt, "image") + ":" + text.Draw(rt, "tag")
		v.State.Why, v.Trouble, v.Approvers = text.Draw(rt, "why"), []string{text.Draw(rt, "trouble")}, []string{text.Draw(rt, "approver")}
		v.Workloads = []workload.Status{{Name: workload.Name{Namespace: "pro", Name: "shop"}, Phase: workload.Failed, Why: text.Draw(rt, "pod")}}
		v.Arms = &record.Arms{Canary: record.Running{Workload: v.Workloads[0].Name, Image: text.Draw(rt, "runs")}}
		v.Verdict.Metrics[0].Metric = text.Draw(rt, "metric")
		p := newPerson(t, Options{Title: rapid.SampledFrom([]string{"", "shop"}).Draw(rt, "title"), Colours: rapid.Bool().Draw(rt, "colours")}, v, underWay("cart"))
		width, height := rapid.IntRange(1, 200).Draw(rt, "width"), rapid.IntRange(1, 60).Draw(rt, "height")
		p.resize(width, height)
		for _, key := range rapid.SliceOfN(rapid.SampledFrom([]string{"enter", "down", "b", "g", "a", "?", "esc", "/", "x", "end", "tab", "店"}), 0, 8).Draw(rt, "keys") {
			p.presses(key)
			lines := p.m.lines()
			if len(lines) != height {
				rt.Fatalf("%d lines, not %d", len(lines), height)
			}
			for _, l := range lines {
				if w := ansi.StringWidth(l); w > width {
					rt.Fatalf("%d cells, not %d: %q", w, width, l)
				}
				for _, r := range ansi.Strip(l) {
					if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e {
						rt.Fatalf("%q has %q", l, r)
					}
				}
				if rest := sgr.ReplaceAllString(l, ""); strings.Contains(rest, "\x1b") {
					rt.Fatalf("%q has an escape that is no style", l)
				}
			}
		}
	})
}
