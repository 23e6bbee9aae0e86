package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
)

// teams posts notes to a workflow of Microsoft Teams, as Adaptive Cards. The Office 365 connectors that shoutrrr's teams://
// uses have been retired, and workflows take no other form.
//
// https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
type teams struct {
	url    string
	secret redactor
	client *http.Client
}

func newTeams(url string) *teams {
	return &teams{url: url, secret: newRedactor(url), client: &http.Client{
		Timeout:       sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send posts a note once. The error is a *RetryError if Teams says when to try again.
func (t *teams) Send(ctx context.Context, _ string, n Note) error {
	body, err := json.Marshal(card(n))
	if err != nil {
		return fmt.Errorf("encode the card: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return errors.New(t.secret.text(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "serin")
	_, err = t.secret.post(t.client, req)
	return err
}

// card converts a note to an Adaptive Card. The note's texts are safe already; Markdown in them is escaped here.
//
// https://adaptivecards.io/explorer/
func card(n Note) map[string]any {
	block := func(text string, more map[string]any) map[string]any {
		out := map[string]any{"type": "TextBlock", "text": unmarked(text), "wrap": true}
		maps.Copy(out, more)
		return out
	}
	blocks := []any{block(n.Title, map[string]any{"weight": "Bolder", "size": "Medium"})}
	for line := range strings.SplitSeq(n.Text, "\n") {
		if line != n.Link {
			blocks = append(blocks, block(line, map[string]any{"spacing": "Small"}))
		}
	}
	content := map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": blocks,
	}
	if n.Link != "" {
		title := "Open the release"
		if n.Gate != nil {
			title = "Answer"
		}
		content["actions"] = []any{map[string]any{"type": "Action.OpenUrl", "title": title, "url": n.Link}}
	}
	return map[string]any{
		"type": "message", "attachments": []any{map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "content": content}},
	}
}

// literal escapes the Markdown that a TextBlock understands.
var literal = strings.NewReplacer("*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]")

// unmarked escapes a text so that it is shown as it is. Addresses stay unchanged, so that their links work.
func unmarked(text string) string {
	words := strings.Split(text, " ")
	for i, w := range words {
		if !strings.HasPrefix(w, "https://") && !strings.HasPrefix(w, "http://") {
			words[i] = literal.Replace(w)
		}
	}
	return strings.Join(words, " ")
}
