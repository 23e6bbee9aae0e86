package web

import (
	"bytes"
	"context"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
)

// ActionsOf are the names of what an operator is offered for a release.
func ActionsOf(v record.View) []string {
	var out []string
	for _, a := range actionsFor(v) {
		out = append(out, a.Action)
	}
	return out
}

// OverviewSize makes the first page of the overview and returns its size.
func OverviewSize(o Options) int {
	s := &site{o: o, sight: server.NewSight(o.Engine, o.Store, o.Problems)}
	page, err := s.newOverview(server.As(context.Background(), server.Identity{Roles: []string{server.RoleViewer}}), "", 1, server.Identity{}, time.Now())
	if err != nil {
		panic(err)
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "overview", page); err != nil {
		panic(err)
	}
	return out.Len()
}
