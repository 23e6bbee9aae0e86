package analysis

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// unanswered is w without answers to the asks that fails selects.
func (w world) unanswered(refused bool, fails func(Ask) bool) world {
	w.err = func(a Ask) (error, bool) {
		if fails(a) {
			return errors.New("timeout"), refused
		}
		return nil, false
	}
	return w
}

func TestTheInputsOfAComparisonAreCountedForTheSameWindow(t *testing.T) {
	counters := world{series: []made{
		series(`errors_total{arm="canary"}`, "-5:0 5:50 15:50 25:50"), series(`errors_total{arm="baseline"}`, "-5:0 5:0 15:0 25:0"),
		series(`requests_total{arm="canary"}`, "-5:0 5:100 15:200 25:300"), series(`requests_total{arm="baseline"}`, "-5:0 5:100 15:200 25:300"),
		series(ok200, "-5:0 5:50 15:150"), series(bad500, "-5:0 5:50 15:50"), series(stable, "-5:0 5:100 15:200"),
	}}
	ratio := Metric{Name: "errors", Source: Ratio{Bad: `errors_total{arm="${arm}"}`, Total: `requests_total{arm="${arm}"}`}}
	for name, c := range map[string]struct {
		metric  Metric
		fails   func(Ask) bool
		refused bool
		absent  judge.Reason
	}{
		"events whose total was not answered":          {ratio, func(a Ask) bool { return a.Template.Name == "requests_total" }, false, judge.Unreachable},
		"a total whose events were not answered":       {ratio, func(a Ask) bool { return a.Template.Name == "errors_total" }, false, judge.Unreachable},
		"events whose total was refused":               {ratio, func(a Ask) bool { return a.Template.Name == "requests_total" }, true, judge.NoData},
		"an arm whose other arm was not answered":      {errorsMetric(), func(a Ask) bool { return a.Value == "stable@file" }, false, judge.Unreachable},
		"a baseline whose canary could not be reached": {errorsMetric(), func(a Ask) bool { return a.Value == "canary@file" }, false, judge.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			bad, total := 50.0, 200.0
			if c.refused { // nothing was counted before it, so its window is lost for the whole group
				bad, total = 0, 100
			}
			p := plan(t, c.metric)
			cursor := NewCursor(epoch)
			cursor, half := p.Fold(cursor, counters.unanswered(c.refused, c.fails).answer(t, p.Asks(cursor, at(10))), FoldInput{Number: 1, At: at(10)})
			require.Equal(t, c.absent, half.Observations[0].Absent)
			require.Equal(t, judge.Arm{Missing: true}, half.Observations[0].Canary)
			require.Equal(t, judge.Arm{Missing: true}, half.Observations[0].Baseline)
			_, all := p.Fold(cursor, counters.answer(t, p.Asks(cursor, at(20))), FoldInput{Number: 2, At: at(20)})
			require.Empty(t, all.Observations[0].Absent, all.Observations[0].Detail)
			require.Equal(t, judge.Arm{Bad: bad, Total: total}, all.Observations[0].Canary)
			require.Equal(t, judge.Arm{Total: total}, all.Observations[0].Baseline)
		})
	}
}

func TestAMetricGoesOnWhileOneThatSharesACounterWithItIsHeld(t *testing.T) {
	p := plan(t,
		Metric{Name: "late", Source: Ratio{Bad: `late_total{arm="${arm}"}`, Total: `requests_total{arm="${arm}"}`}},
		Metric{Name: "errors", Source: Ratio{Bad: `errors_total{arm="${arm}"}`, Total: `requests_total{arm="${arm}"}`}},
	)
	w := world{series: []made{
		series(`late_total{arm="canary"}`, "-5:0 5:1 15:2"), series(`late_total{arm="baseline"}`, "-5:0 5:1 15:2"),
		series(`errors_total{arm="canary"}`, "-5:0 5:9 15:18"), series(`errors_total{arm="baseline"}`, "-5:0 5:0 15:0"),
		series(`requests_total{arm="canary"}`, "-5:0 5:10 15:20"), series(`requests_total{arm="baseline"}`, "-5:0 5:10 15:20"),
		series(ok200, "-5:0 5:1 15:2"), series(stable, "-5:0 5:1 15:2"),
	}}
	c := NewCursor(epoch)
	c, one := p.Fold(c, w.unanswered(false, func(a Ask) bool { return a.Template.Name == "late_total" }).answer(t, p.Asks(c, at(10))), FoldInput{Number: 1, At: at(10)})
	require.Equal(t, judge.Unreachable, one.Observations[0].Absent)
	require.Equal(t, judge.Arm{Bad: 9, Total: 10}, one.Observations[1].Canary)
	_, two := p.Fold(c, w.answer(t, p.Asks(c, at(20))), FoldInput{Number: 2, At: at(20)})
	require.Equal(t, judge.Arm{Bad: 2, Total: 20}, two.Observations[0].Canary, "both windows")
	require.Equal(t, judge.Arm{Bad: 9, Total: 10}, two.Observations[1].Canary, "its own")
}

func TestAnAnswerOfTheOtherServerIsNoReset(t *testing.T) {
	// Each line is the answer to one look: the samples of the server that happened to answer.
	for name, c := range map[string]struct {
		answers []string
		counted float64
	}{
		"a sample from before the last one": {
			[]string{"-5:1000000 10:1000020 20:1000040", "21:1000030 31:1000060", "40:1000070 50:1000090"}, 90},
		"a pair that answers in turns, one ten seconds behind": {
			[]string{"-5:400 10:1000", "11:800 21:1400", "22:1900 30:2400", "31:2200 41:2800"}, 2400},
		"a counter of a few events": {
			[]string{"-5:0 10:1", "11:0 20:1", "21:1 30:2", "31:1 40:2"}, 2},
		"a counter that began again, far below":                        {[]string{"-5:1000 10:1100", "20:50 30:100"}, 200},
		"one that began again, within one answer":                      {[]string{"-5:10 10:16 15:9 20:12", "30:13"}, 19},
		"one that began again a little below, after a minute's view":   {[]string{"-5:10 10:16", "20:10 30:11", "40:12 70:13", "80:14"}, 20},
		"one that began again, and is seen again only a minute later":  {[]string{"-5:10 10:16", "75:10"}, 16},
		"one that began again while it is below":                       {[]string{"-5:10 10:16", "20:12", "30:5 35:3"}, 9},
		"one that began again a little below, by the next answer":      {[]string{"-5:10 10:16", "20:10", "10:16 20:10 30:11"}, 17},
		"the other server's next answer shows that there was no reset": {[]string{"-5:1000 10:1016", "11:1010", "1:1006 11:1010 21:1020"}, 20},
		"a restart that was counted before does not count again":       {[]string{"-5:100 10:10 20:30", "85:50", "86:49", "10:10 20:30 86:49 96:60"}, 60},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan(t, errorsMetric())
			cursor, sum, stored := NewCursor(epoch), 0.0, Cursor{}
			for i, samples := range c.answers {
				w := world{series: []made{series(ok200, samples), series(stable, samples)}}
				last := w.series[0].samples[len(w.series[0].samples)-1]
				end := at(float64(last.T-epoch.UnixMilli())/1000 + 0.5)
				var l judge.Look
				cursor, l = p.Fold(cursor, w.answer(t, p.Asks(cursor, end)), FoldInput{Number: i + 1, At: end})
				sum += l.Observations[0].Canary.Total
				b, err := cursor.MarshalJSON()
				require.NoError(t, err)
				require.NoError(t, stored.UnmarshalJSON(b))
				require.Equal(t, cursor, stored, "it is stored as it is")
				cursor = stored
			}
			require.Equal(t, c.counted, sum)
		})
	}
}

func TestImpossibleCountsAreNoData(t *testing.T) {
	p := plan(t, errorsMetric())
	w := world{series: []made{series(ok200, "-5:0 5:1.7e308"), series(bad500, "-5:0 5:1.7e308"), series(stable, "-5:0 5:10")}}
	_, ls := looks(t, p, w, 10)
	o := ls[0].Observations[0]
	require.Equal(t, judge.NoData, o.Absent)
	require.Contains(t, o.Detail, "2^53")
	require.Equal(t, judge.Arm{Missing: true}, o.Canary)
	require.Nil(t, ls[0].Requests)
}

func TestTheCursorFollowsAClockThatWasSetBack(t *testing.T) {
	p := plan(t, errorsMetric())
	w := world{series: []made{series(ok200, "-5:0 5:10 15:20 25:30 35:40"), series(stable, "-5:0 5:10 15:20 25:30 35:40")}}
	c, ls := looks(t, p, w, 10)
	c, _ = p.Fold(c, world{}.answer(t, p.Asks(c, at(3600))), FoldInput{Number: 2, At: at(3600)})
	c, back := c.Until(at(30))
	require.Equal(t, 3570*time.Second, back)
	_, l := p.Fold(c, w.answer(t, p.Asks(c, at(40))), FoldInput{Number: 3, At: at(40)})
	_, before := total(ls, 0)
	require.Equal(t, 40.0, before+l.Observations[0].Canary.Total, "each request once")
	same, back := c.Until(at(30))
	require.Zero(t, back)
	require.Equal(t, c, same)
}

func TestAVanishedSeriesIsForgottenOnlyWhenItCannotComeBack(t *testing.T) {
	keeps := func(age time.Duration) bool {
		c := NewCursor(epoch).clone()
		c.series[1], c.low[1] = point{t: epoch.Add(-age).UnixMilli(), v: 5}, low{since: 7}
		c.forget(epoch.UnixMilli())
		require.Len(t, c.low, len(c.series))
		return len(c.series) == 1
	}
	require.True(t, keeps(Forget+MaxWindow))
	require.False(t, keeps(Forget+MaxWindow+time.Millisecond))
}

func TestAScrapeFromBeforeTheWindowProvesNoAbsence(t *testing.T) {
	p := plan(t, errorsMetric())
	c := NewCursor(epoch)
	end := epoch.Add(MaxWindow + time.Hour)
	for _, a := range p.Asks(c, end) {
		require.Equal(t, end.Add(-MaxWindow), a.From)
		require.Equal(t, a.From, a.ScrapesFrom(), "what was before is not asked for, so it says nothing")
	}
	w := world{series: []made{series(ok200, "25100:1000 25150:1010"), series(stable, "25100:1000 25150:1010")}, scrapes: "3000 25050 25100 25150"}
	_, l := p.Fold(c, w.answer(t, p.Asks(c, end)), FoldInput{Number: 1, At: end})
	require.Equal(t, 1010.0, l.Observations[0].Canary.Total, "it began after the scrape at 25050")
	w.scrapes = "3000 25100 25150"
	_, l = p.Fold(c, w.answer(t, p.Asks(c, end)), FoldInput{Number: 1, At: end})
	require.Equal(t, 10.0, l.Observations[0].Canary.Total, "a scrape that is not in the window shows nothing")
}

func TestAGapShorterThanStaleIsNoAbsence(t *testing.T) {
	p := plan(t, errorsMetric())
	for scrapes, counted := range map[string]float64{
		"100 200 304.9 400": 9,  // within the five minutes for which a series lives without samples
		"100 305 400":       15, // it was scraped without the series, which had vanished and began again
	} {
		w := world{series: []made{series(ok200, "-5:0 5:6 400:9"), series(stable, "-5:0 5:6 400:9")}, scrapes: scrapes}
		_, ls := looks(t, p, w, 10, 405)
		_, sum := total(ls, 0)
		require.Equal(t, counted, sum, scrapes)
	}
}

func TestTwoSamplesOfOneTimeCountOnce(t *testing.T) {
	p := plan(t, errorsMetric())
	c := NewCursor(epoch)
	sum := 0.0
	for i, samples := range []string{"-5:0 5:10", "5:10 15:20", "15:5 25:30"} { // another server's view of second 15
		w := world{series: []made{series(ok200, samples), series(stable, samples)}}
		end := at(float64(10 * (i + 1)))
		asks := p.Asks(c, end)
		for k := range asks {
			asks[k].From = asks[k].From.Add(-10 * time.Second)
		}
		var l judge.Look
		c, l = p.Fold(c, w.answer(t, asks), FoldInput{Number: i + 1, At: end})
		sum += l.Observations[0].Canary.Total
	}
	require.Equal(t, 30.0, sum)
}

func TestScrapesOfAnEarlierBaselineAreAskedForItsTime(t *testing.T) {
	m := errorsMetric()
	m.Baseline = Offset{By: time.Hour}
	p := plan(t, m)
	for _, a := range p.Asks(NewCursor(epoch), at(10)) {
		if a.Value == "stable@file" && a.To.Before(epoch) {
			require.Equal(t, at(10).Add(-time.Hour), a.To)
			require.Equal(t, epoch.Add(-time.Hour-Stale), a.ScrapesFrom())
			return
		}
	}
	t.Fatal("nothing is asked of the hour before")
}

func TestTheReplacementCharacterIsWrittenAsPromQLReadsIt(t *testing.T) {
	require.Equal(t, `"a\ufffdb"`, quote("a\ufffdb"))
}

// While it is unclear whether a series began again, the window is extended. That must not affect other series: one
// whose first sample came late counts as it would have.
func TestAnExtendedWindowCountsNothingOfOtherSeries(t *testing.T) {
	p := plan(t, errorsMetric())
	c := NewCursor(epoch)
	for i, w := range []world{
		{series: []made{series(ok200, "-5:0 5:6"), series(stable, "-5:0 5:6")}},
		{series: []made{series(ok200, "-5:0 5:6 15:5"), series(stable, "-5:0 5:6 15:8")}},
		{series: []made{series(ok200, "-5:0 5:6 15:5 25:5"), series(bad500, "15:3 25:3"), series(stable, "-5:0 5:6 15:8 25:9")}, scrapes: "-5 5 15 25"},
	} {
		end := at(float64(10 * (i + 1)))
		asks := p.Asks(c, end)
		var l judge.Look
		c, l = p.Fold(c, w.answer(t, asks), FoldInput{Number: i + 1, At: end})
		if i == 2 {
			require.True(t, asks[0].From.Before(epoch), "more is asked")
			require.Equal(t, judge.Arm{Bad: 3, Total: 8}, l.Observations[0].Canary, "5 since the restart, and 3 of the new series")
		}
	}
}
