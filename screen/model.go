package screen

import (
	"cmp"
	"context"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// model is the state of the screen. Messages change it ([model.Update]), and [model.View] draws it.
type model struct {
	ctx    context.Context //nolint:containedctx // the program's context: requests to the daemon end with it
	daemon Daemon
	o      Options

	width, height int
	now           time.Time // the daemon's

	// views in the order of the list; answered is when they arrived, zero before the first. trouble is why none have arrived
	// since then, and lost since when.
	views    []record.View
	answered time.Time
	trouble  error
	lost     time.Time
	// events of the shown release, and the version before it. Both are replaced and never modified, since an answer may
	// be in flight.
	events map[string][]rollout.Event
	before map[string]string

	// chosen is the rollout at the list's cursor; open means that it is shown in full. top is the first line on the
	// screen.
	chosen string
	open   bool
	top    int
	// filter is a text that names or versions have to contain; typing is true while it is being typed.
	filter string
	typing bool
	help   bool

	ask   *ask
	doing bool
	said  said
	// fatal ends the screen: the daemon will not change its answer.
	fatal error
}

// said is the outcome of the last order.
type said struct {
	text string
	bad  bool
}

// The messages.
type (
	answer struct {
		views   []record.View
		release string
		events  []rollout.Event
		before  map[string]string
		err     error
		// again: this request is one of the endless series that waits for changes, so the next wait follows.
		again bool
	}
	stirred struct{}
	second  struct{}
	done    struct {
		text string
		err  error
	}
)

func newModel(ctx context.Context, d Daemon, o Options) *model {
	return &model{ctx: ctx, daemon: d, o: o, width: 80, height: 24, now: d.Now(), open: o.Title != "", events: map[string][]rollout.Event{}}
}

// Init implements [tea.Model].
func (m *model) Init() tea.Cmd { return tea.Batch(m.fetch(true), tick()) }

func tick() tea.Cmd { return tea.Tick(time.Second, func(time.Time) tea.Msg { return second{} }) }

// fetch requests the watched views from the daemon.
func (m *model) fetch(again bool) tea.Cmd {
	ctx, d, release := m.ctx, m.daemon, ""
	if v := m.shown(); m.open && v != nil && v.Release != nil {
		release = v.Release.ID
	}
	alone, before := m.o.Title != "", m.before
	return func() tea.Msg {
		a := answer{release: release, again: again, before: before}
		if a.views, a.err = d.Views(ctx); a.err != nil {
			return a
		}
		if alone && len(a.views) == 1 && a.views[0].Release != nil {
			a.release = a.views[0].Release.ID
		}
		if a.release != "" {
			a.events, _ = d.Events(ctx, a.release) //nolint:errcheck // they come with the next answer
			if _, known := before[a.release]; !known {
				a.before = versionBefore(ctx, d, a)
			}
		}
		return a
	}
}

// versionBefore returns the version before the shown release; after an error it is nil, and is requested again.
func versionBefore(ctx context.Context, d Daemon, a answer) map[string]string {
	i := slices.IndexFunc(a.views, func(v record.View) bool { return v.Release != nil && v.Release.ID == a.release })
	if i < 0 {
		return nil
	}
	version, err := d.Before(ctx, a.views[i].Rollout, a.release)
	if err != nil {
		return nil
	}
	return map[string]string{a.release: version}
}

func (m *model) wait() tea.Cmd {
	ctx, d := m.ctx, m.daemon
	return func() tea.Msg {
		d.Wait(ctx)
		return stirred{}
	}
}

// Update implements [tea.Model].
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.now = m.daemon.Now()
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case second:
		return m, tick()
	case stirred:
		return m, m.fetch(true)
	case answer:
		return m.take(msg)
	case done:
		m.doing, m.said = false, said{line(msg.text), false}
		if msg.err != nil {
			m.said = said{line(msg.err.Error()), true}
		}
		return m, m.fetch(false)
	case tea.PasteMsg:
		m.write(msg.Content)
	case tea.KeyPressMsg:
		return m.press(msg)
	}
	return m, nil
}

// take shows an answer of the daemon.
func (m *model) take(a answer) (tea.Model, tea.Cmd) {
	var next tea.Cmd
	if a.again {
		next = m.wait()
	}
	switch {
	case a.err == nil:
	case m.ctx.Err() != nil:
		return m, tea.Quit
	case m.answered.IsZero() || !m.daemon.Temporary(a.err):
		m.fatal = a.err
		return m, tea.Quit
	default:
		if m.trouble == nil {
			m.lost = m.now
		}
		m.trouble = a.err
		return m, next
	}
	m.trouble, m.answered, m.views = nil, m.now, sorted(a.views, m.now)
	if a.events != nil {
		m.events = map[string][]rollout.Event{a.release: a.events}
	}
	m.before = a.before
	m.follow()
	m.outdate()
	if m.o.Release && len(m.views) == 1 && m.views[0].State.Ended() {
		return m, tea.Quit
	}
	return m, next
}

// sorted puts rollouts that need a person first, and ended releases by time, the latest first.
func sorted(views []record.View, now time.Time) []record.View {
	out := slices.Clone(views)
	slices.SortStableFunc(out, func(a, b record.View) int {
		urgency := tell.UrgencyOf(a, now)
		ended := 0
		if urgency == tell.OnFire || urgency == tell.Lately {
			ended = b.State.EndedAt.Compare(a.State.EndedAt)
		}
		return cmp.Or(cmp.Compare(urgency, tell.UrgencyOf(b, now)), ended, cmp.Compare(a.Rollout, b.Rollout))
	})
	return out
}

// list returns the views that match the filter.
func (m *model) list() []record.View {
	if m.filter == "" {
		return m.views
	}
	return slices.DeleteFunc(slices.Clone(m.views), func(v record.View) bool { return !tell.Matches(v, m.filter) })
}

// at is the chosen rollout's position in the list; -1 if it is missing.
func (m *model) at() int {
	return slices.IndexFunc(m.list(), func(v record.View) bool { return v.Rollout == m.chosen })
}

// shown is the rollout to which keys apply; nil for none.
func (m *model) shown() *record.View {
	list := m.list()
	if m.open { // an open rollout stays open when a filter would leave it out
		list = m.views
	}
	for i := range list {
		if list[i].Rollout == m.chosen {
			return &list[i]
		}
	}
	return nil
}

// follow keeps the cursor on a rollout. An open rollout is never replaced by another one, since a key press might be on
// its way.
func (m *model) follow() {
	if m.shown() != nil {
		return
	}
	if m.open && m.o.Title == "" && m.chosen != "" {
		m.open, m.top, m.said = false, 0, said{m.chosen + " is no longer there.", true}
	}
	m.chosen = ""
	if list := m.list(); len(list) > 0 {
		m.chosen = list[0].Rollout
	}
}
