package web

import (
	"bytes"
	"time"

	"github.com/serindev/serin/server"
)

// OverviewSize makes the first page of the overview and returns its size.
func OverviewSize(o Options) int {
	s := &site{o: o}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "overview", s.newOverview("", 1, server.Identity{}, time.Now())); err != nil {
		panic(err)
	}
	return out.Len()
}
