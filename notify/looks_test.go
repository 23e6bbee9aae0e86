package notify

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// services are those whose messages docs/messages.md shows: the parts of a request that people see, in their order, as Markdown.
var services = []struct {
	name, about string
	looks       func(body []byte) (string, error)
}{
	{"Slack", "The first line is the message itself, and all that a phone's notification shows. The other lines are attachments, with a bar before them.", func(body []byte) (string, error) {
		var m struct {
			Text        string
			Attachments []struct{ Text string }
		}
		err := json.Unmarshal(body, &m)
		lines := []string{shownText(m.Text), ""}
		for _, a := range m.Attachments {
			lines = append(lines, "> "+shownText(a.Text)+"<br>")
		}
		return quoted(lines...), err
	}},
	{"Microsoft Teams", "An Adaptive Card with a button.", func(body []byte) (string, error) {
		var m struct {
			Attachments []struct {
				Content struct {
					Body    []struct{ Text, Weight string }
					Actions []struct{ Title string }
				}
			}
		}
		err := json.Unmarshal(body, &m)
		var lines []string
		for _, a := range m.Attachments {
			for _, b := range a.Content.Body {
				if b.Weight == "Bolder" {
					lines = append(lines, "**"+shownText(b.Text)+"**<br>")
					continue
				}
				lines = append(lines, shownText(b.Text)+"<br>")
			}
			for _, b := range a.Content.Actions {
				lines = append(lines, "", "`[ "+b.Title+" ]`")
			}
		}
		return quoted(lines...), err
	}},
	{"Mattermost", "Markdown in the channel.", textOf("text")},
	{"Discord", "Markdown in the channel.", textOf("content")},
	{"PagerDuty", "An incident. What comes later of the same release is added to it, and its end resolves it unless it failed. *View in Serin* leads to the release.", func(body []byte) (string, error) {
		var m struct {
			Payload struct{ Summary, Severity, Source string }
			Action  string `json:"event_action"`
			Client  string
			Details struct{ Text string }
		}
		err := json.Unmarshal(body, &m)
		state := map[string]string{"trigger": "Triggered", "resolve": "Resolved"}[m.Action]
		return quoted(append([]string{"**" + shownText(m.Payload.Summary) + "**<br>", state + " · " + m.Payload.Severity + " · " + m.Payload.Source + " · View in " + m.Client, ""}, broken(m.Details.Text)...)...), err
	}},
	{"Opsgenie", "An alert; what comes later of the same release is counted there.", func(body []byte) (string, error) {
		var m struct{ Message, Description, Priority, Entity, Source string }
		err := json.Unmarshal(body, &m)
		return quoted(append([]string{"**" + shownText(m.Message) + "**<br>", m.Priority + " · " + m.Entity + " · " + m.Source, ""}, broken(m.Description)...)...), err
	}},
}

// textOf shows one field.
func textOf(field string) func([]byte) (string, error) {
	return func(body []byte) (string, error) {
		var m map[string]any
		err := json.Unmarshal(body, &m)
		text, _ := m[field].(string)
		return quoted(broken(text)...), err
	}
}

// shownText escapes a text so that Markdown shows it as it is. Addresses do not become links.
func shownText(text string) string {
	words := strings.Split(strings.NewReplacer("\\_", "_", "\\*", "*", "\\[", "[", "\\]", "]").Replace(text), " ")
	for i, w := range words {
		words[i] = strings.ReplaceAll(w, "_", "\\_")
		if strings.Contains(w, "://") {
			words[i] = "`" + w + "`"
		}
	}
	return strings.Join(words, " ")
}

func broken(text string) (out []string) {
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			line = shownText(line) + "<br>"
		}
		out = append(out, line)
	}
	return out
}

func quoted(lines ...string) string {
	var out strings.Builder
	for i, line := range lines {
		if i == len(lines)-1 {
			line = strings.TrimSuffix(line, "<br>")
		}
		out.WriteString(strings.TrimRight("> "+line, " ") + "\n")
	}
	return out.String()
}

const messagesHead = `# Messages, as they look

What each service shows of the same two messages: a gate that asks, and a release that was rolled back. This page is made from the requests that are sent (` + "`notify/testdata/payloads.txt`" + `), so that it shows what is in them; how large the letters are is each service's own. How to set them up is in [Notifications](notifications.md#services).
`

// TestThePageOfMessagesShowsWhatIsSent makes docs/messages.md from the requests that TestWhatEachServiceGets holds to the byte.
func TestThePageOfMessagesShowsWhatIsSent(t *testing.T) {
	sent, err := os.ReadFile("testdata/payloads.txt")
	require.NoError(t, err)
	var got strings.Builder
	got.WriteString(messagesHead)
	for _, s := range services {
		got.WriteString("\n## " + s.name + "\n\n" + s.about + "\n")
		for _, kind := range []Kind{Gate, Finished} {
			_, request, found := strings.Cut(string(sent), "== "+s.name+", "+string(kind)+"\n")
			require.True(t, found, s.name)
			_, request, _ = strings.Cut(request, "\n") // the address
			body, _, _ := strings.Cut(request, "\n\n==")
			text, err := s.looks([]byte(body))
			require.NoError(t, err, s.name)
			got.WriteString("\n" + text)
		}
	}
	got.WriteString("\n## Mail\n\nText without markup. The subject is the first line here.\n")
	for _, n := range []Note{gateNote(), endNote()} {
		text, params := message("smtp", n)
		got.WriteString("\n" + quoted(append([]string{"**" + shownText(params["title"]) + "**", ""}, broken(text)...)...))
	}
	const page = "../docs/messages.md"
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "go test ./notify -run TestThePageOfMessages -update")
}
