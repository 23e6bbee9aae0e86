package calendar_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/calendar"
)

const berlin = "Europe/Berlin"

func at(t *testing.T, zone, text string) time.Time {
	t.Helper()
	in, err := time.LoadLocation(zone)
	require.NoError(t, err)
	out, err := time.ParseInLocation("2006-01-02 15:04", text, in)
	require.NoError(t, err)
	return out
}

func window(t *testing.T, days, from, to, zone string) calendar.Window {
	t.Helper()
	w := calendar.Window{Zone: zone}
	if days != "" {
		var err error
		w.Days, err = calendar.ParseDays(days)
		require.NoError(t, err)
	}
	require.NoError(t, w.From.UnmarshalText([]byte(from)))
	require.NoError(t, w.To.UnmarshalText([]byte(to)))
	return w
}

func freeze(t *testing.T, from, until, reason string) calendar.Freeze {
	t.Helper()
	f := calendar.Freeze{Zone: berlin, Reason: reason}
	require.NoError(t, f.From.UnmarshalText([]byte(from)))
	require.NoError(t, f.Until.UnmarshalText([]byte(until)))
	return f
}

// TestWhenItOpens: the 30th of November 2026 is a Monday. The clocks of Berlin are put forward from 2:00 to 3:00 on the
// 28th of March 2027, and back from 3:00 to 2:00 on the 25th of October 2026, both Sundays.
func TestWhenItOpens(t *testing.T) {
	office := window(t, "mon-thu", "09:00", "16:00", berlin)
	night := window(t, "fri", "22:00", "02:00", berlin)
	early := window(t, "", "02:15", "02:45", berlin)
	christmas := freeze(t, "2026-12-20T00:00", "2027-01-04T12:00", "Christmas")
	cases := []struct {
		name string
		c    calendar.Calendar
		now  string
		want string // when it opens; "open" if it is, "never"
	}{
		{"without windows and freezes it is open", calendar.Calendar{}, "2026-11-30 03:00", "open"},
		{"a window is open from its first minute", calendar.Calendar{Windows: []calendar.Window{office}}, "2026-11-30 09:00", "open"},
		{"before it, it opens the same day", calendar.Calendar{Windows: []calendar.Window{office}}, "2026-11-30 08:59", "2026-11-30 09:00"},
		{"its end is not part of it", calendar.Calendar{Windows: []calendar.Window{office}}, "2026-11-30 16:00", "2026-12-01 09:00"},
		{"after the last day of a week it opens in the next", calendar.Calendar{Windows: []calendar.Window{office}}, "2026-12-03 16:00", "2026-12-07 09:00"},
		{"of several windows, one has to be open", calendar.Calendar{Windows: []calendar.Window{office, night}}, "2026-12-04 23:00", "open"},
		{"the nearest of them opens", calendar.Calendar{Windows: []calendar.Window{office, night}}, "2026-12-03 16:30", "2026-12-04 22:00"},
		{"windows that overlap are one", calendar.Calendar{Windows: []calendar.Window{office, window(t, "mon", "15:00", "18:00", berlin)}}, "2026-11-30 16:30", "open"},
		{"one across midnight belongs to the day on which it begins", calendar.Calendar{Windows: []calendar.Window{night}}, "2026-12-05 01:59", "open"},
		{"and ends on the next", calendar.Calendar{Windows: []calendar.Window{night}}, "2026-12-05 02:00", "2026-12-11 22:00"},
		{"not on the morning of its own day", calendar.Calendar{Windows: []calendar.Window{night}}, "2026-12-04 01:00", "2026-12-04 22:00"},
		{"one until midnight ends there", calendar.Calendar{Windows: []calendar.Window{window(t, "mon", "00:00", "24:00", berlin)}}, "2026-12-01 00:00", "2026-12-07 00:00"},
		{"days may run over the end of a week", calendar.Calendar{Windows: []calendar.Window{window(t, "sat-mon", "10:00", "11:00", berlin)}}, "2026-12-04 12:00", "2026-12-05 10:00"},
		{"a window in another zone goes by the clocks there", calendar.Calendar{Windows: []calendar.Window{window(t, "", "09:00", "17:00", "Asia/Tokyo")}}, "2026-11-30 00:30", "2026-11-30 01:00"},

		{"a freeze closes an open window, and it opens in the first window after it", calendar.Calendar{Windows: []calendar.Window{office}, Freezes: []calendar.Freeze{christmas}}, "2026-12-21 10:00", "2027-01-04 12:00"},
		{"the opening of a window in a freeze does not count", calendar.Calendar{Windows: []calendar.Window{office}, Freezes: []calendar.Freeze{christmas}}, "2026-12-18 10:00", "2027-01-04 12:00"},
		{"freezes in a row are all waited for", calendar.Calendar{Freezes: []calendar.Freeze{christmas, freeze(t, "2027-01-04T12:00", "2027-01-05T00:00", "inventory")}}, "2026-12-21 10:00", "2027-01-05 00:00"},
		{"a freeze that is over says nothing", calendar.Calendar{Freezes: []calendar.Freeze{christmas}}, "2027-01-04 12:00", "open"},
		{"nor does one that is to come", calendar.Calendar{Freezes: []calendar.Freeze{christmas}}, "2026-12-19 23:59", "open"},
		{"nor one of years ago", calendar.Calendar{Freezes: []calendar.Freeze{christmas}}, "2029-12-19 23:59", "open"},

		{"a window in the skipped hour does not exist on that day", calendar.Calendar{Windows: []calendar.Window{early}}, "2027-03-28 01:59", "2027-03-29 02:15"},
		{"one that begins in it begins when the clocks are put forward", calendar.Calendar{Windows: []calendar.Window{window(t, "", "02:15", "04:00", berlin)}}, "2027-03-28 01:59", "2027-03-28 03:00"},
		{"one that ends in it ends then", calendar.Calendar{Windows: []calendar.Window{window(t, "sun", "01:00", "02:15", berlin)}}, "2027-03-28 03:00", "2027-04-04 01:00"},
		{"a freeze that ends in it ends then", calendar.Calendar{Freezes: []calendar.Freeze{freeze(t, "2027-03-27T00:00", "2027-03-28T02:30", "x")}}, "2027-03-28 01:00", "2027-03-28 03:00"},
		{"an unknown zone is never open", calendar.Calendar{Windows: []calendar.Window{{From: 0, To: 600, Zone: "Mars/Olympus"}}}, "2026-11-30 00:30", "never"},
		{"and always frozen", calendar.Calendar{Freezes: []calendar.Freeze{{Zone: "Mars/Olympus"}}}, "2026-11-30 00:30", "never"},
		{"the clocks of the machine are no zone", calendar.Calendar{Windows: []calendar.Window{{From: 0, To: 600, Zone: "Local"}}}, "2026-11-30 00:30", "never"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			closed, open := c.c.At(at(t, berlin, c.now))
			switch {
			case open:
				require.Equal(t, c.want, "open")
				require.Zero(t, closed)
			case closed.Until.IsZero():
				require.Equal(t, c.want, "never")
			default:
				require.Equal(t, c.want, calendar.In(closed.Until, berlin).Format("2006-01-02 15:04"))
			}
		})
	}
}

func TestAWindowInARepeatedHourIsOpenTwice(t *testing.T) {
	c := calendar.Calendar{Windows: []calendar.Window{window(t, "", "02:15", "02:45", berlin)}}
	summer := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC) // 02:30, and an hour later again
	for after, want := range map[time.Duration]bool{
		-20 * time.Minute: false, 0: true, 14 * time.Minute: true, 15 * time.Minute: false, 44 * time.Minute: false,
		45 * time.Minute: true, time.Hour: true, 75 * time.Minute: false,
	} {
		_, open := c.At(summer.Add(after))
		require.Equal(t, want, open, "%s", after)
	}
	closed, _ := c.At(summer.Add(20 * time.Minute))
	require.Equal(t, summer.Add(45*time.Minute), closed.Until.UTC(), "it opens again on the same morning")
}

func TestSeveralCalendarsHaveToBeOpenTogether(t *testing.T) {
	rollout := calendar.Calendar{Windows: []calendar.Window{window(t, "mon-thu", "09:00", "16:00", berlin)}}
	house := calendar.Calendar{Windows: []calendar.Window{window(t, "", "14:00", "20:00", berlin)}, Freezes: []calendar.Freeze{freeze(t, "2026-12-01T00:00", "2026-12-02T00:00", "audit")}}
	closed, open := calendar.And{rollout, house}.At(at(t, berlin, "2026-11-30 10:00"))
	require.False(t, open)
	require.Equal(t, at(t, berlin, "2026-11-30 14:00").UTC(), closed.Until.UTC())
	_, open = calendar.And{rollout, house}.At(at(t, berlin, "2026-11-30 14:00"))
	require.True(t, open)
	closed, _ = calendar.And{rollout, house}.At(at(t, berlin, "2026-12-01 20:00"))
	require.Equal(t, "audit", closed.Freeze, "a freeze says more than a window")
	require.Equal(t, at(t, berlin, "2026-12-02 14:00").UTC(), closed.Until.UTC())

	never := calendar.Calendar{Windows: []calendar.Window{window(t, "sun", "09:00", "16:00", berlin)}}
	closed, open = calendar.And{rollout, never}.At(at(t, berlin, "2026-11-30 10:00"))
	require.False(t, open)
	require.True(t, closed.Until.IsZero(), "they are never open together")
}

// zones have changes of an hour, of half an hour, at midnight, and none.
var zones = []string{berlin, "UTC", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"}

func anyCalendar(t *rapid.T) calendar.Calendar {
	var c calendar.Calendar
	for range rapid.IntRange(0, 3).Draw(t, "windows") {
		w := calendar.Window{
			From: calendar.Clock(rapid.IntRange(0, 24*60-1).Draw(t, "from")), To: calendar.Clock(rapid.IntRange(1, 24*60).Draw(t, "to")),
			Zone: rapid.SampledFrom(zones).Draw(t, "zone"),
		}
		for d := range calendar.Day(7) {
			if rapid.Bool().Draw(t, "day") {
				w.Days = append(w.Days, d)
			}
		}
		if w.From != w.To {
			c.Windows = append(c.Windows, w)
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "freezes") {
		from := anyTime(t).UTC().Truncate(time.Minute)
		until := from.Add(time.Duration(rapid.IntRange(1, 20*24*60).Draw(t, "minutes")) * time.Minute)
		c.Freezes = append(c.Freezes, calendar.Freeze{From: calendar.Reading(from), Until: calendar.Reading(until), Zone: rapid.SampledFrom(zones).Draw(t, "zone"), Reason: "r"})
	}
	return c
}

func anyTime(t *rapid.T) time.Time {
	return time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 5*365*24*60).Draw(t, "at")) * time.Minute)
}

// open checks the wall-clock time against each window and freeze: slower than the search, but simpler.
func open(c calendar.Calendar, t time.Time) bool {
	for _, f := range c.Freezes {
		now := calendar.In(t, f.Zone).Format("2006-01-02T15:04")
		if now >= f.From.String() && now < f.Until.String() {
			return false
		}
	}
	for _, w := range c.Windows {
		local := calendar.In(t, w.Zone)
		now := calendar.Clock(local.Hour()*60 + local.Minute())
		on := func(d time.Weekday) bool {
			for _, day := range w.Days {
				if time.Weekday(day) == d {
					return true
				}
			}
			return len(w.Days) == 0
		}
		today, before := on(local.Weekday()), on((local.Weekday()+6)%7)
		if w.From < w.To && today && now >= w.From && now < w.To || w.From >= w.To && (today && now >= w.From || before && now < w.To) {
			return true
		}
	}
	return len(c.Windows) == 0
}

// TestItIsOpenByTheClocksOnTheWall compares the search with the definition of a window, minute by minute until it opens.
func TestItIsOpenByTheClocksOnTheWall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, now := anyCalendar(t), anyTime(t)
		closed, isOpen := c.At(now)
		require.Equal(t, open(c, now), isOpen, "%s", now)
		if isOpen || closed.Until.IsZero() {
			return
		}
		require.True(t, closed.Until.After(now))
		require.True(t, open(c, closed.Until), "it is open then: %s", closed.Until)
		for m := now; m.Before(closed.Until); m = m.Add(time.Minute) {
			require.False(t, open(c, m), "and not before: %s", m)
		}
		later := now.Add(closed.Until.Sub(now) / 2)
		again, _ := c.At(later)
		require.Equal(t, closed.Until, again.Until, "it stays announced for the same time")
	})
}

func TestACalendarIsStoredAsItAlwaysWas(t *testing.T) {
	const stored = `{"windows":[{"days":["mon","thu"],"from":"09:00","to":"24:00","zone":"Europe/Berlin"}],` +
		`"freezes":[{"from":"2026-12-20T00:00","until":"2027-01-02T12:30","zone":"UTC","reason":"Christmas"}]}`
	var c calendar.Calendar
	require.NoError(t, json.Unmarshal([]byte(stored), &c))
	again, err := json.Marshal(c)
	require.NoError(t, err)
	require.JSONEq(t, stored, string(again))
}

func TestReading(t *testing.T) {
	for text, want := range map[string][]calendar.Day{
		"mon": {1}, "mon-wed": {1, 2, 3}, "fri-mon": {5, 6, 0, 1}, "sun-sat": {0, 1, 2, 3, 4, 5, 6}, "tue-tue": {2},
	} {
		got, err := calendar.ParseDays(text)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "monday", "Mon", "mon-", "-mon", "mon-tue-wed", "1", "mon "} {
		_, err := calendar.ParseDays(text)
		require.Error(t, err, text)
	}
	for _, text := range []string{"", "9:00", "25:00", "24:01", "09:60", "0900", "09:00:00", "-1:00"} {
		require.Error(t, new(calendar.Clock).UnmarshalText([]byte(text)), text)
	}
	r, day, err := calendar.ParseReading("2026-12-24")
	require.NoError(t, err)
	require.True(t, day)
	require.Equal(t, "2026-12-25T00:00", r.EndOfDay().String())
	r, day, err = calendar.ParseReading("2026-12-24T18:00")
	require.NoError(t, err)
	require.False(t, day)
	require.Equal(t, "2026-12-24T18:00", r.String())
	for _, text := range []string{"", "24.12.2026", "2026-02-30", "2026-12-24 18:00", "2026-12-24T18:00Z"} {
		_, _, err := calendar.ParseReading(text)
		require.Error(t, err, text)
	}
	require.True(t, calendar.Reading{}.IsZero())
	require.True(t, calendar.Known(berlin))
	require.False(t, calendar.Known("CEST"))
	require.False(t, calendar.Known(""))
	require.Equal(t, "UTC", calendar.In(time.Unix(0, 0), "Mars/Olympus").Location().String())
}

func TestADayIsWholeIfTheClocksChangeAtMidnight(t *testing.T) {
	for _, c := range []struct{ zone, day, begins, ends string }{
		{"UTC", "2026-03-04", "2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"},
		{berlin, "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"America/Santiago", "2026-09-05", "2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z"}, // the next day begins at 01:00
		{"America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"},
		{"Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},   // begins at 01:00
		{"America/Havana", "2026-11-01", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"}, // has two midnights, an hour apart
		{"Asia/Amman", "2010-10-29", "2010-10-28T21:00:00Z", "2010-10-29T22:00:00Z"},     // the same
		{"Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},   // the next day was left out
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z"},   // no time at all
		{"Pacific/Kiritimati", "2026-01-01", "2025-12-31T10:00:00Z", "2026-01-01T10:00:00Z"},
	} {
		zone, err := time.LoadLocation(c.zone)
		require.NoError(t, err)
		begins, ends, err := calendar.ReadDay(c.day, zone)
		require.NoError(t, err)
		require.Equal(t, c.begins, begins.UTC().Format(time.RFC3339), "%s begins in %s", c.day, c.zone)
		require.Equal(t, c.ends, ends.UTC().Format(time.RFC3339), "%s ends in %s", c.day, c.zone)
	}
	_, _, err := calendar.ReadDay("2026-02-30", time.UTC)
	require.ErrorContains(t, err, "write 2026-12-24")
}

func TestWords(t *testing.T) {
	require.Equal(t, "mon-thu 09:00 to 16:00 (Europe/Berlin)", window(t, "mon-thu", "09:00", "16:00", berlin).String())
	require.Equal(t, "every day 22:00 to 02:00 (UTC)", window(t, "", "22:00", "02:00", "UTC").String())
	w := window(t, "", "22:00", "02:00", "UTC")
	w.Days = []calendar.Day{1, 3, 4, 6, 0}
	require.Equal(t, "mon, wed-thu, sat-sun 22:00 to 02:00 (UTC)", w.String())
	require.Equal(t, "2026-12-20T00:00 to 2027-01-04T12:00 (Europe/Berlin): Christmas", freeze(t, "2026-12-20T00:00", "2027-01-04T12:00", "Christmas").String())
}
