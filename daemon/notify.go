package daemon

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/notify"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/store"
)

// newNotifier makes the notifier of people and programs. Receivers that cannot work are refused at the start.
func newNotifier(spec *config.DaemonSpec, e *engine.Engine, s *store.Store, ns *namespaces, log *slog.Logger,
	r prometheus.Registerer) (*notify.Notifier, error) {
	external := strings.TrimRight(string(spec.ExternalURL), "/")
	o := notify.Options{
		Outbox: s, Subscribe: e.Subscribe, Log: log, Registerer: r,
		Plan: func(plan json.RawMessage) (*record.Plan, error) {
			var p record.Plan
			if err := json.Unmarshal(plan, &p); err != nil {
				return nil, fmt.Errorf("decode the plan: %w", err)
			}
			return &p, nil
		},
		Link: func(release string) string {
			if external == "" {
				return ""
			}
			return external + "/releases/" + release
		},
	}
	if ns != nil {
		o.Asked = ns.asked
	}
	for i := range spec.Notify {
		receiver, err := newReceiver(&spec.Notify[i], external)
		if err != nil {
			return nil, fmt.Errorf("notify %s: %w", spec.Notify[i].Name, err)
		}
		o.Receivers = append(o.Receivers, receiver)
	}
	return notify.New(o), nil
}

func newReceiver(n *config.NotifySpec, external string) (notify.Receiver, error) {
	r := notify.Receiver{Name: string(n.Name), Rollouts: n.Rollouts, Namespaces: n.Namespaces, Labels: n.Labels, OnRequest: n.OnRequest}
	for _, kind := range n.On {
		r.On = append(r.On, notify.Kind(kind))
	}
	if n.Webhook == nil {
		address, err := n.Address()
		if err == nil {
			r.Send, err = notify.Chat(address.Reveal())
		}
		return r, err
	}
	address, err := n.Webhook.Address()
	if err != nil {
		return r, err
	}
	key, err := n.Webhook.Key()
	if err != nil {
		return r, err
	}
	events, err := notify.NewCloudEvents(address.Reveal(), key.Reveal(), external)
	if err != nil {
		return r, err
	}
	r.Send = events.Send
	return r, nil
}
