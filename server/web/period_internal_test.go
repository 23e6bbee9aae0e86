package web

import (
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDaysAreThoseOfTheReadersZone(t *testing.T) {
	for query, want := range map[string]struct{ zone, since, until string }{
		"":                                   {zone: "UTC"},
		"from=2026-03-04&to=2026-03-04":      {"UTC", "2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"},
		"from=2026-03-04&zone=Asia/Calcutta": {zone: "Asia/Calcutta", since: "2026-03-03T18:30:00Z"},
		"from=2026-03-29&to=2026-03-29&zone=Europe/Berlin":       {"Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},    // a day of 23 hours
		"from=2026-09-06&to=2026-09-06&zone=America/Santiago":    {"America/Santiago", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"}, // begins at 01:00
		"to=2026-03-04&zone=America/New_York":                    {zone: "America/New_York", until: "2026-03-05T05:00:00Z"},
		"from=2026-03-04&zone=Mars/Olympus_Mons":                 {zone: "UTC", since: "2026-03-04T00:00:00Z"},
		"from=2026-03-04&zone=Local":                             {zone: "UTC", since: "2026-03-04T00:00:00Z"},
		"from=2026-03-04&zone=../../../../../../etc/passwd":      {zone: "UTC", since: "2026-03-04T00:00:00Z"},
		"from=2026-03-04&zone=" + url.QueryEscape("<script>x()"): {zone: "UTC", since: "2026-03-04T00:00:00Z"},
	} {
		q, err := url.ParseQuery(query)
		require.NoError(t, err)
		p, err := periodOf(q)
		require.NoError(t, err, query)
		written := func(t time.Time) string {
			if t.IsZero() {
				return ""
			}
			return t.UTC().Format(time.RFC3339)
		}
		require.Equal(t, want, struct{ zone, since, until string }{p.Zone, written(p.since), written(p.until)}, query)
	}
	for _, wrong := range []string{"from=yesterday", "to=2026-02-30", "from=1066-10-14"} {
		q, err := url.ParseQuery(wrong)
		require.NoError(t, err)
		_, err = periodOf(q)
		require.ErrorContains(t, err, "is not written like", wrong)
	}
}

// With TZ=Europe/Berlin the daemon's own zone has that name, and can be the reader's like any other.
func TestTheZoneOfTheDaemonIsTheReadersAsWell(t *testing.T) {
	for _, zone := range []string{"", "UTC", "Europe/Berlin", "/etc/localtime"} {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDaysAreThoseOfTheReadersZone$")
		c.Env = append(os.Environ(), "TZ="+zone)
		out, err := c.CombinedOutput()
		require.NoError(t, err, "TZ=%s: %s", zone, out)
	}
}
