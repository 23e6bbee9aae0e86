package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// Chat makes a function that sends notes to a chat or a mailbox; address is a URL as shoutrrr writes it. No error
// of it, or of what it makes, shows any part of the address.
func Chat(address string) (func(ctx context.Context, key string, n Note) error, error) {
	secret := newRedactor(address)
	sender, err := shoutrrr.CreateSender(address)
	if err != nil {
		return nil, fmt.Errorf("its URL is not one that shoutrrr knows: %s", secret.text(err))
	}
	sender.Timeout = sendTimeout
	mail := false
	if u, err := url.Parse(address); err == nil {
		mail = strings.EqualFold(u.Scheme, "smtp") || strings.EqualFold(u.Scheme, "smtps")
	}
	return func(_ context.Context, _ string, n Note) error {
		params, text := types.Params{}, n.Title+"\n\n"+n.Text
		if mail { // all others show the title as the first line; not all of them have a place for it
			params.SetTitle("[serin] " + n.Title)
			text = n.Text
		}
		for _, err := range sender.Send(text, &params) {
			if err != nil {
				return errors.New(secret.text(err))
			}
		}
		return nil
	}, nil
}
