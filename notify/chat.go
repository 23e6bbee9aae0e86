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
// it, or teams+https://… No error of it, or of what it makes, shows any part of the address.
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
		go func() { sent <- service.Send(text, &params) }() // it takes no context
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

// message is a note as a service takes it. Most have no place for a title, and show it as the first line.
func message(scheme string, n Note) (text string, params types.Params) {
	switch scheme {
	case "smtp", "smtps":
		return n.Text, types.Params{"title": "[serin] " + n.Title}
	case "slack": // a phone shows the message's own text; the lines are attachments
		return n.Text, types.Params{"title": n.Title}
	case "pagerduty":
		return n.Title, incident(n)
	case "opsgenie":
		return n.Text, types.Params{"title": short(n.Title, longestAlert), "alias": n.Release, "source": "Serin", "entity": n.Rollout}
	}
	return n.Title + "\n\n" + n.Text, types.Params{}
}

// longestAlert is as long as the message of an alert may be at Opsgenie, in characters.
const longestAlert = 130

func short(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// incident makes one incident per release, however many notes there are, and resolves it once the release is over and
// all traffic is where it belongs.
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
