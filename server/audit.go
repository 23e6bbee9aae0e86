package server

import (
	"context"
	"sync"
	"time"

	"github.com/serindev/serin/record"
)

const (
	// auditTimeout bounds how long an answer waits for the audit log. The action has been carried out, so the log may be
	// late, but the answer may not.
	auditTimeout = 2 * time.Second
	// auditEvery is how often late entries are retried.
	auditEvery = time.Second
	// maxLate entries wait for the store: about what a hundred people do in an hour.
	maxLate = 10_000
)

// lateEntries holds the entries that could not be written yet, in order.
type lateEntries struct {
	mu      sync.Mutex // guards entries
	entries []record.AuditEntry
}

// add keeps an entry; it is false if there is no room.
func (l *lateEntries) add(a record.AuditEntry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) >= maxLate {
		return false
	}
	l.entries = append(l.entries, a)
	return true
}

func (l *lateEntries) first() (a record.AuditEntry, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 {
		return a, 0
	}
	return l.entries[0], len(l.entries)
}

// drop removes the first one, which is written.
func (l *lateEntries) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = l.entries[1:]
}

// audit records an action in the daemon's log and in the audit log. An entry that the store refuses is retried until it
// is accepted: a rollback while the disk is full is exactly what people will ask about afterwards.
func (s *Server) audit(ctx context.Context, a record.AuditEntry) {
	result := "done"
	if a.Refused != "" {
		result = "refused"
	}
	s.metrics.actions.WithLabelValues(a.Action, result).Inc()
	s.o.Log.Info("action", "action", a.Action, "by", a.By, "from", a.From, "rollout", a.Rollout, "release", a.Release,
		"refused", a.Refused)
	if _, waiting := s.late.first(); waiting == 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
		defer cancel()
		err := s.o.Store.Audit(ctx, a)
		if err == nil {
			return
		}
		s.o.Log.Error("audit", "action", a.Action, "by", a.By, "release", a.Release, "err", err)
	}
	s.metrics.auditErrors.Inc()
	if !s.late.add(a) {
		s.o.Log.Error("audit entry is lost: too many wait for the store", "action", a.Action, "by", a.By, "release", a.Release)
	}
}

// catchUp keeps writing late entries until ctx ends, and then tries once more.
func (s *Server) catchUp(ctx context.Context) {
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		s.writeLate(context.WithoutCancel(ctx))
	}
	if _, waiting := s.late.first(); waiting > 0 {
		s.o.Log.Error("audit entries are lost: the store has not taken them, this log has them", "entries", waiting)
	}
}

// writeLate writes them in order, as far as the store accepts them.
func (s *Server) writeLate(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	for {
		a, waiting := s.late.first()
		if waiting == 0 || s.o.Store.Audit(ctx, a) != nil {
			return
		}
		s.late.drop()
	}
}
