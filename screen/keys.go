package screen

import (
	tea "charm.land/bubbletea/v2"
)

// press handles a key.
func (m *model) press(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	switch {
	case m.ask != nil:
		return m.pressAsked(k)
	case m.typing:
		return m.pressTyping(k)
	case m.help:
		m.help = false
		return m, nil
	}
	switch key := k.String(); key {
	case "q", "ctrl+c":
		return m, tea.Quit
	case "ctrl+z":
		return m, tea.Suspend
	case "?":
		m.help = true
	case "esc", "left", "backspace":
		if m.open && m.o.Title == "" {
			m.open, m.top, m.said = false, 0, said{}
		} else if m.filter != "" && !m.open {
			m.filter, m.top = "", 0
		}
	case "enter", "right", "l":
		if !m.open && m.shown() != nil {
			m.open, m.top, m.said = true, 0, said{}
			return m, m.fetch(false)
		}
	case "/":
		if !m.open {
			m.typing = true
		}
	case "up", "k", "down", "j", "pgup", "pgdown", "space", "home", "end", "G":
		m.move(key)
	default:
		if !m.doing {
			m.begin(key)
		}
	}
	return m, nil
}

// move scrolls the page, or moves the list's cursor. [model.View] keeps both within bounds.
func (m *model) move(key string) {
	by := map[string]int{
		"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -(m.height - 4), "pgdown": m.height - 4, "space": m.height - 4,
		"home": -far, "end": far, "G": far,
	}[key]
	if m.open {
		m.top = max(0, m.top+by)
		return
	}
	list := m.list()
	if len(list) > 0 {
		m.chosen = list[min(max(m.at()+by, 0), len(list)-1)].Rollout
	}
}

// far is more lines than any page has.
const far = 1 << 20

// pressTyping handles a key while the filter is being typed.
func (m *model) pressTyping(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	switch k.String() {
	case "ctrl+c":
		return m, tea.Quit
	case "esc":
		m.typing, m.filter = false, ""
	case "enter":
		m.typing = false
	case "backspace", "ctrl+h":
		m.filter = rubOut(m.filter)
	case "ctrl+u":
		m.filter = ""
	default:
		m.write(k.Text)
	}
	m.follow()
	return m, nil
}
