package screen

import (
	"crypto/rand"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// ask is an open question: should this be done, and why?
type ask struct {
	tell.Offer

	order Order
	// reason is the text typed so far; missing: it is needed, and Enter was pressed without it.
	reason  string
	missing bool
	// choice is the index into choices, for [tell.GoOn].
	choice int
	// of is the state that the person saw: the answer applies only to that.
	of place
}

// place is a position of a release.
type place struct {
	release, gate string
	phase         rollout.Phase
	step, stage   int
	paused        bool
}

func placeOf(v record.View) place {
	p := place{gate: v.Gate, phase: v.State.Phase, step: v.State.Step, stage: v.State.Stage, paused: v.State.Pause != nil}
	if v.Release != nil {
		p.release = v.Release.ID
	}
	return p
}

// choices lists how far a person can let the release go on.
var choices = []string{
	"past what it waits for now",
	"past everything that is left, up to the next gate",
	"past all that is left, even if it is worse: stable is broken itself, and this repairs it",
}

// longestReason is the most that the daemon takes, in characters.
const longestReason = 1000

// keyOf maps deeds to keys.
var keyOf = map[tell.Deed]string{
	tell.Approve: "a", tell.Reject: "x", tell.KeepWaiting: "w", tell.GoOn: "g", tell.PauseIt: "p", tell.Resume: "p",
	tell.RollBack: "b", tell.Cancel: "c", tell.Dismiss: "d", tell.Undo: "u", tell.Retry: "r",
}

// offers returns the possible deeds for the shown rollout, answers first.
func (m *model) offers() []tell.Offer {
	v := m.shown()
	if v == nil || !m.open || m.trouble != nil {
		return nil
	}
	out := append(tell.Answers(*v), tell.Offers(*v)...)
	if v.State.Outcome == rollout.Released && v.Declared && !m.o.Release {
		out = append(out, tell.UndoOffer(*v))
	}
	if retry, ok := tell.RetryOffer(*v); ok && !m.o.Release {
		out = append(out, retry)
	}
	return out
}

// begin opens the question about the offer whose key was pressed; ok is false for an unused key.
func (m *model) begin(key string) (ok bool) {
	for _, o := range m.offers() {
		if keyOf[o.Deed] != key {
			continue
		}
		v := m.shown()
		m.ask = &ask{Offer: o, of: placeOf(*v), order: Order{Deed: o.Deed, Rollout: v.Rollout, Gate: o.Gate}}
		m.ask.order.Release = m.ask.of.release
		if o.Deed == tell.Undo || o.Deed == tell.Retry {
			m.ask.order.Key = rand.Text()
		}
		m.said = said{}
		return true
	}
	return false
}

// outdate closes a question when the release has moved: going on would then skip a weight that nobody has seen. A rollback is
// always right.
func (m *model) outdate() {
	if m.ask == nil {
		return
	}
	i := slices.IndexFunc(m.views, func(v record.View) bool { return v.Rollout == m.ask.order.Rollout })
	if i >= 0 {
		now := placeOf(m.views[i])
		if now == m.ask.of || m.ask.Deed == tell.RollBack && now.release == m.ask.of.release && now.phase == rollout.Active {
			return
		}
	}
	m.ask = nil
	m.said = said{"The release has changed in the meantime. Nothing was done: look again.", true}
}

// write adds text to the current input.
func (m *model) write(text string) {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	switch {
	case m.ask != nil && m.ask.Reason:
		m.ask.reason = head(m.ask.reason+text, longestReason)
		m.ask.missing = false
	case m.typing:
		m.filter, m.top = head(m.filter+text, 100), 0
	}
}

// head returns the first n characters.
func head(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n])
}

// rubOut removes the last character.
func rubOut(s string) string {
	_, size := utf8.DecodeLastRuneInString(s)
	return s[:len(s)-size]
}

// pressAsked handles a key while a question is open.
func (m *model) pressAsked(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	a := m.ask
	switch k.String() {
	case "esc", "ctrl+c":
		m.ask = nil
	case "enter":
		if a.Needed && strings.TrimSpace(a.reason) == "" {
			a.missing = true
			return m, nil
		}
		o := a.order
		o.Reason, o.Full, o.EvenIfWorse = strings.TrimSpace(a.reason), a.choice > 0, a.choice > 1
		m.ask, m.doing = nil, true
		ctx, d := m.ctx, m.daemon
		return m, func() tea.Msg {
			text, err := d.Do(ctx, o)
			return done{text, err}
		}
	case "backspace", "ctrl+h":
		a.reason = rubOut(a.reason)
	case "ctrl+u":
		a.reason = ""
	case "tab":
		if a.Deed == tell.GoOn {
			a.choice = (a.choice + 1) % len(choices)
		}
	default:
		m.write(k.Text)
	}
	return m, nil
}
