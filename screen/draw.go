package screen

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// View implements [tea.Model].
func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = strings.TrimSpace(m.o.Command + " " + m.o.Title)
	return v
}

// lines returns exactly as many lines as the terminal has, none longer than it is wide.
func (m *model) lines() []string {
	top, bottom := m.head(), m.foot()
	room := max(0, m.height-len(top)-len(bottom))
	body := m.body()
	m.top = min(m.top, max(0, len(body)-room))
	if !m.open {
		m.follows(body, room)
	}
	rest := body[min(m.top, len(body)):]
	if len(rest) > room {
		rest = rest[:room]
		if room > 1 && m.open {
			rest = append(rest[:room-1:room-1], m.paint("↓ more", dim))
		}
	}
	for len(rest) < room {
		rest = append(rest, "")
	}
	out := append(append(top, rest...), bottom...)
	if len(out) > m.height { // in a terminal of a few lines the end matters most: a question is there
		out = out[len(out)-max(m.height, 0):]
	}
	for i := range out {
		out[i] = fit(out[i], m.width)
	}
	return out
}

// cursor marks the beginning of the chosen line of the list.
const cursor = "›"

// follows scrolls the list so that the cursor is on the screen.
func (m *model) follows(body []string, room int) {
	for i, l := range body {
		if strings.HasPrefix(ansi.Strip(l), cursor) {
			m.top = min(max(m.top, i-room+1), i)
			if i <= 1 {
				m.top = 0 // with its heading
			}
		}
	}
}

// head says what is shown, and whether it is up to date.
func (m *model) head() []string {
	left := m.paint(m.o.Command+" watch", bold)
	if m.open && m.chosen != "" {
		left += "  " + m.paint(line(m.chosen), bold)
	}
	right := m.paint("live "+m.now.Local().Format(time.TimeOnly), dim)
	switch {
	case m.answered.IsZero():
		right = m.paint("asking…", dim)
	case m.trouble != nil:
		right = m.paint("no connection", red)
	}
	gap := m.width - ansi.StringWidth(left) - ansi.StringWidth(right)
	out := []string{left}
	if gap > 0 {
		out[0] += strings.Repeat(" ", gap) + right
	}
	if m.trouble != nil {
		what := fmt.Sprintf("No connection to the daemon for %s; what follows is %s old. Trying again.",
			figures.Span(m.now.Sub(m.lost).Round(time.Second)+time.Second), figures.Span(m.now.Sub(m.answered).Round(time.Second)+time.Second))
		for _, l := range wrap(what, m.width) {
			out = append(out, m.paint(l, red))
		}
	}
	return append(out, "")
}

func (m *model) body() []string {
	switch {
	case m.help:
		return m.helpLines()
	case m.answered.IsZero():
		return nil
	case m.open && m.shown() != nil:
		return m.detail(*m.shown())
	case len(m.views) == 0:
		return []string{"There are no rollouts."}
	case len(m.list()) == 0:
		return []string{"No rollout has " + line(m.filter) + " in its name, version, namespace, owner or labels."}
	}
	return m.overview()
}

// overview lists the rollouts by how urgently they need a person.
func (m *model) overview() []string {
	list := m.list()
	names, versions := 4, 0
	counts := map[tell.Urgency]int{}
	for _, v := range list {
		names = max(names, ansi.StringWidth(line(v.Rollout)))
		versions = max(versions, ansi.StringWidth(line(rollout.Version(v.State.Parameters))))
		counts[tell.UrgencyOf(v, m.now)]++
	}
	names, versions = min(names, max(m.width/3, 8)), min(versions, max(m.width/6, 5))
	var out []string
	last := tell.Urgency(-1)
	for _, v := range list {
		if u := tell.UrgencyOf(v, m.now); u != last {
			if len(out) > 0 {
				out = append(out, "")
			}
			out = append(out, m.paint(fmt.Sprintf("%s (%d)", tell.Urgencies[u], counts[u]), bold))
			last = u
		}
		out = append(out, m.row(v, names, versions))
	}
	return out
}

// row shows one rollout of the list.
func (m *model) row(v record.View, names, versions int) string {
	h := tell.HeadlineOf(v, m.now)
	class, ok := classes[h.Class]
	if !ok {
		class = classes[""]
	}
	text := line(h.Text)
	if since := m.since(h); since != "" {
		text += " · " + since
	}
	if h.Next != "" {
		text += " · " + line(h.Next)
	}
	if len(v.Trouble) > 0 {
		class, text = classes["bad"], line(strings.Join(v.Trouble, "; "))
	}
	at := " "
	name := pad(line(v.Rollout), names)
	if v.Rollout == m.chosen {
		at, name = cursor, m.paint(name, turn)
	}
	return at + " " + m.paint(class.mark, class.style) + " " + name + "  " +
		pad(line(rollout.Version(v.State.Parameters)), versions) + "  " + m.paint(text, class.style)
}

// since is how long a state has lasted, or how long ago an event happened.
func (m *model) since(h tell.Headline) string {
	switch {
	case h.Since.IsZero():
		return ""
	case h.Lasts, h.Class == "wait":
		return "for " + figures.Roughly(m.now.Sub(h.Since))
	}
	return figures.Roughly(m.now.Sub(h.Since)) + " ago"
}

// foot shows the possible deeds, or the open question.
func (m *model) foot() []string {
	switch {
	case m.ask != nil:
		return m.question()
	case m.typing:
		return []string{"", "Only those with: " + line(m.filter) + "▏", m.paint("Enter keeps it · Esc shows all", dim)}
	}
	out := []string{""}
	switch {
	case m.doing:
		out = append(out, m.paint("Asking the daemon…", amber))
	case m.said.text != "":
		p := green
		if m.said.bad {
			p = red
		}
		for _, l := range wrap(m.said.text, m.width) {
			out = append(out, m.paint(l, p))
		}
	}
	var keys []string
	for _, o := range m.offers() {
		keys = append(keys, m.paint(keyOf[o.Deed], bold)+" "+short(o))
	}
	if m.open {
		keys = append(keys, "↑↓ scroll")
		if m.o.Title == "" {
			keys = append(keys, "Esc back")
		}
	} else {
		keys = append(keys, "↑↓ choose", "Enter opens", "/ filter")
	}
	return append(out, packed(append(keys, "? help", "q quit"), m.width)...)
}

// short is a deed's name in the line of keys.
func short(o tell.Offer) string {
	word, _, _ := strings.Cut(o.Button, ":")
	return strings.ToLower(word)
}

// packed puts words on as few lines as possible.
func packed(words []string, width int) []string {
	const gap = "   "
	out := []string{""}
	for _, w := range words {
		last := &out[len(out)-1]
		switch {
		case *last == "":
			*last = w
		case ansi.StringWidth(*last+gap+w) <= width:
			*last += gap + w
		default:
			out = append(out, w)
		}
	}
	return out
}

// question is the confirmation before a deed.
func (m *model) question() []string {
	a := m.ask
	p := amber
	if a.Danger {
		p = red
	}
	out := []string{m.paint(strings.Repeat("─", max(m.width, 1)), p)}
	add := func(text string, s style) {
		for _, l := range wrap(text, m.width) {
			out = append(out, m.paint(l, s))
		}
	}
	add(line(m.ask.order.Rollout)+": "+line(a.Title), bold)
	add(line(a.Text), plain)
	if a.Deed == tell.GoOn {
		add("It goes on "+choices[a.choice]+". Tab changes that.", plain)
	}
	if a.Reason {
		add("Why (others will read it): "+line(a.reason)+"▏", plain)
	}
	if a.missing {
		add("A reason is needed.", red)
	}
	return append(out, m.paint("Enter does it · Esc leaves everything as it is", dim))
}

func (m *model) helpLines() []string {
	return strings.Split(`↑ ↓ k j        choose a rollout, or scroll
Enter          show one rollout
Esc            back to all of them
/              only those whose name, version, owner, namespace or label has a text
PgUp PgDn      a page up or down

a  x  w        answer a gate: approve, reject, keep waiting
p              pause, or resume
g              go on without waiting, on your responsibility
b              roll back: all traffic to stable
c              cancel, while no traffic has moved
d              dismiss an alarm about the data
u              undo a release that has ended
r              retry one that ended without its version
               Each asks first; nothing happens without Enter.

q              quit

Any key closes this.`, "\n")
}
