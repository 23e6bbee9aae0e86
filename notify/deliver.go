package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/record"
)

// metrics of the deliveries. Receivers are those of the configuration.
type metrics struct {
	deliveries *prometheus.CounterVec
	waiting    *prometheus.GaugeVec
	oldest     *prometheus.GaugeVec
}

// The results of a try.
const (
	sent   = "sent"
	failed = "failed" // will be tried again
	lost   = "lost"   // given up
)

func newMetrics(r prometheus.Registerer, receivers []Receiver) *metrics {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "serin", Name: "notifications_total", Help: "Tries to deliver messages: sent, failed (tried again) and lost (given up).",
		}, []string{"receiver", "result"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "serin", Name: "notifications_waiting", Help: "Messages that are not delivered yet.",
		}, []string{"receiver"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "serin", Name: "notifications_oldest_age_seconds", Help: "Age of the oldest message that is not delivered yet; 0 without one.",
		}, []string{"receiver"}),
	}
	r.MustRegister(m.deliveries, m.waiting, m.oldest)
	for _, receiver := range receivers {
		for _, result := range []string{sent, failed, lost} {
			m.deliveries.WithLabelValues(receiver.Name, result)
		}
		m.waiting.WithLabelValues(receiver.Name)
		m.oldest.WithLabelValues(receiver.Name)
	}
	return m
}

// deliver sends a receiver's messages until ctx ends.
func (n *Notifier) deliver(ctx context.Context, r *Receiver, wake <-chan struct{}) {
	for ctx.Err() == nil {
		next, err := n.deliverAll(ctx, r)
		if err != nil && ctx.Err() == nil {
			n.o.Log.Warn("the outbox cannot be read or written", "receiver", r.Name, "err", err)
		}
		timer := time.NewTimer(min(max(time.Until(next), 0), lookEvery))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-wake:
		}
		timer.Stop()
	}
}

// deliverAll sends the messages that are due, and returns when to look again.
func (n *Notifier) deliverAll(ctx context.Context, r *Receiver) (time.Time, error) {
	later := time.Now().Add(lookEvery)
	for ctx.Err() == nil {
		now := time.Now()
		m, next, err := n.o.Outbox.Take(ctx, r.Name, now, now.Add(leaseTime), patience)
		if err != nil {
			return later, err
		}
		if m == nil {
			if next.IsZero() || next.After(later) {
				next = later
			}
			return next, n.count(ctx, r)
		}
		// A delivery in progress is finished, and its outcome written, even if the daemon is stopping.
		err = n.deliverOne(context.WithoutCancel(ctx), r, *m)
		if err := errors.Join(err, n.count(ctx, r)); err != nil {
			return later, err
		}
	}
	return later, nil
}

func (n *Notifier) count(ctx context.Context, r *Receiver) error {
	waiting, oldest, err := n.o.Outbox.Backlog(ctx, r.Name)
	if err != nil {
		return err
	}
	age := 0.0
	if waiting > 0 {
		age = time.Since(oldest).Seconds()
	}
	n.metrics.waiting.WithLabelValues(r.Name).Set(float64(waiting))
	n.metrics.oldest.WithLabelValues(r.Name).Set(age)
	return nil
}

// deliverOne tries once and records the outcome.
func (n *Notifier) deliverOne(ctx context.Context, r *Receiver, m record.Outgoing) error {
	err := n.send(ctx, r, m)
	m.State, m.Detail = record.OutgoingWaiting, ""
	result := failed
	switch {
	case err == nil:
		m.State, result = record.OutgoingSent, sent
		n.o.Log.Info("message sent", "receiver", r.Name, "key", m.Key, "tries", m.Tries)
	case errors.Is(err, ErrRefused), time.Since(m.At) > giveUpAfter:
		m.State, m.Detail, result = record.OutgoingLost, err.Error(), lost
		n.o.Log.Error("message given up", "receiver", r.Name, "key", m.Key, "tries", m.Tries, "err", err)
	default:
		pause := n.o.Pause(m.Tries)
		if e, ok := errors.AsType[*RetryError](err); ok {
			pause = min(max(pause, e.After), longestPause)
		}
		m.Detail, m.Due = err.Error(), time.Now().Add(pause)
		n.o.Log.Warn("message not sent yet", "receiver", r.Name, "key", m.Key, "tries", m.Tries, "again", pause, "err", err)
	}
	n.metrics.deliveries.WithLabelValues(r.Name, result).Inc()
	return n.o.Outbox.Settle(ctx, m)
}

func (n *Notifier) send(ctx context.Context, r *Receiver, m record.Outgoing) error {
	var note Note
	if err := json.Unmarshal(m.Body, &note); err != nil {
		return fmt.Errorf("%w: decode it: %w", ErrRefused, err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return r.Send(ctx, m.Key, note)
}
