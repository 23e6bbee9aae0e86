package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/serindev/serin/rollout"
)

// teamsScheme is that of the addresses of Teams' workflows, teams+https://…, which only take Adaptive Cards.
const teamsScheme = "teams+https"

// Chat makes a function that sends notes to a chat, a mailbox or an incident service; address is a URL as shoutrrr writes
// it, or teams+https://… Neither its errors nor those of the function show any part of the address.
func Chat(address string) (func(ctx context.Context, key string, n Note) error, error) {
	secret := newRedactor(address)
	scheme, rest, _ := strings.Cut(address, "://")
	if scheme = strings.ToLower(scheme); scheme == teamsScheme {
		return newTeams("https://" + rest).Send, nil
	}
	service, err := new(router.ServiceRouter).Locate(address)
	if err != nil {
		return nil, fmt.Errorf("its URL is not one that shoutrrr knows: %s", secret.text(err))
	}
	stay(service)
	return func(ctx context.Context, _ string, n Note) error {
		text, params := message(scheme, n)
		sent := make(chan error, 1)
		go func() { sent <- service.Send(text, &params) }() // Send takes no context
		select {
		case err := <-sent:
			if err != nil {
				return errors.New(secret.text(err))
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("send a message: %w", ctx.Err())
		}
	}, nil
}

// message converts a note for a service. Most services have no field for a title, and get it as the first line.
func message(scheme string, n Note) (text string, params types.Params) {
	switch scheme {
	case "smtp", "smtps":
		return n.Text, types.Params{"title": "[serin] " + n.Title}
	case "slack": // phones show only the message's own text, which is the title; the lines become attachments
		return n.Text, types.Params{"title": n.Title}
	case "pagerduty":
		return n.Title, incident(n)
	case "opsgenie":
		return n.Text, types.Params{"title": short(n.Title, longestAlert), "alias": n.Release, "source": "Serin", "entity": n.Rollout}
	}
	return n.Title + "\n\n" + n.Text, types.Params{}
}

// longestAlert is how long Opsgenie lets the message of an alert be, in characters.
const longestAlert = 130

func short(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// incident makes one incident per release, however many notes there are, and resolves it when the release has ended, unless
// it failed.
//
// https://developer.pagerduty.com/docs/events-api-v2-overview
func incident(n Note) types.Params {
	p := types.Params{"dedup_key": n.Release, "source": n.Rollout, "action": "trigger", "client": "Serin"}
	if n.Kind == Finished && n.Outcome != rollout.Failed {
		p["action"] = "resolve"
	}
	if n.Link != "" {
		p["client_url"] = n.Link
	}
	if details, err := json.Marshal(map[string]string{"rollout": n.Rollout, "release": n.Release, "step": n.Step, "text": n.Text}); err == nil {
		p["details"] = string(details)
	}
	return p
}
