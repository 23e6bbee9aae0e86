package analysis

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// counterAt counts for an ask of an offset baseline: counts are in times of the look, the samples an hour earlier.
func counterAt(after int64) *counter {
	return &counter{
		ask: Ask{after: after, shift: time.Hour.Milliseconds(), id: 7}, points: map[uint64]point{}, low: map[uint64]low{}, scrapes: map[Target][]int64{},
	}
}

// seen returns samples "second:value" of an offset baseline, an hour before the look as in the source.
func seen(samples string) Series {
	s := series("x", samples)
	out := Series{Labels: Labels{{"instance", target.Instance}, {"job", target.Job}}}
	for _, x := range s.samples {
		out.Samples = append(out.Samples, Sample{T: x.T - time.Hour.Milliseconds(), V: x.V})
	}
	return out
}

// scrapedAt sets when the target was scraped, in seconds of the look.
func (c *counter) scrapedAt(seconds string) {
	for s := range strings.FieldsSeq(seconds) {
		c.scrapes[target] = append(c.scrapes[target], ms(mustFloat(s))-c.ask.shift)
	}
}

func ms(second float64) int64 { return at(second).UnixMilli() }

func TestScrapesAreAskedForIfASeriesIsNewOrWasGone(t *testing.T) {
	const known = 3
	for name, c := range map[string]struct {
		samples string
		known   float64 // the second of the last sample that was counted; 0 for none
		fresh   bool
		instant bool
		want    bool
	}{
		"a new series": {samples: "110:1", want: true},
		"a new series whose samples were asked for by another": {samples: "90:1 100:2"},
		"a new series, one sample of which is new":             {samples: "90:1 100:2 100.001:3", want: true},
		"nothing at all": {},
		"the first answer, and it was there before":         {samples: "100:1 110:2", fresh: true},
		"the first answer, and it began after counting did": {samples: "100.001:1", fresh: true, want: true},
		"a value at one time":                               {samples: "110:1", instant: true},
		"a series that went on":                             {samples: "60:1 360:2", known: 60},
		"a series that was away for longer than it lives":   {samples: "60:1 360.001:2", known: 60, want: true},
		"a series of which there is nothing new":            {samples: "50:1 60:1", known: 60},
		"the first new sample decides, not the later ones":  {samples: "70:1 400:2", known: 60},
	} {
		t.Run(name, func(t *testing.T) {
			a := counterAt(ms(100)).ask
			a.fresh, a.Template.Instant, a.cursor = c.fresh, c.instant, &Cursor{series: map[uint64]point{}}
			s := seen(c.samples)
			if c.known > 0 {
				a.cursor.series[seriesID(a.id, s.Labels)] = point{ms(c.known), known}
			}
			require.Equal(t, c.want, a.NeedsScrapes(s))
		})
	}
}

func TestTheMatchersOfAnAskAreThoseOfItsQuery(t *testing.T) {
	a := plan(t, errorsMetric()).Asks(NewCursor(epoch), at(10))[0]
	require.Equal(t, []LabelMatch{{"service", "=", "canary@file"}}, a.Matches())
	a.Template = Template{Name: "up", Matchers: `job="x"`, By: "service"}
	require.Equal(t, []LabelMatch{{"job", "=", "x"}, {"service", "=", "canary@file"}}, a.Matches())
	a.Template = Template{Expression: "vector(1)", Instant: true}
	require.Nil(t, a.Matches())
}

func TestALowerValueIsAResetOnlyIfNoOtherServerExplainsIt(t *testing.T) {
	for name, c := range map[string]struct {
		was, is float64 // values, the second one after the first
		took    float64 // seconds from one to the other
		before  float64 // the value before it in the same answer; -1 for none
		since   float64 // seconds for which the series has been below; -1 if it was not
		want    step
	}{
		"a little lower": {100, 98, 10, -1, -1, unsure},
		"lower than the sample before in its own answer": {100, 98, 10, 99, -1, whole},
		"as high as the sample before in its own answer": {100, 98, 10, 98, -1, unsure},
		"a minute later":           {100, 98, 60, -1, -1, whole},
		"not quite a minute later": {100, 98, 59.999, -1, -1, unsure},
		"half of it":               {100, 50, 10, -1, -1, unsure},
		"less than half of it":     {100, 49, 10, -1, -1, whole},
		"less than half of the least that can be judged": {20, 9, 10, -1, -1, whole},
		"less than half of what is too little":           {19, 1, 10, -1, -1, unsure},
		"it has been below for a minute":                 {100, 98, 10, -1, 60, whole},
		"it has been below for not quite a minute":       {100, 98, 10, -1, 59.999, unsure},
	} {
		t.Run(name, func(t *testing.T) {
			k := counterAt(0)
			x := point{ms(1000), c.is}
			if c.since >= 0 {
				k.low[1] = low{since: ms(1000 - c.since), input: 7}
			}
			require.Equal(t, c.want, k.fell(1, point{ms(1000 - c.took), c.was}, x, c.before))
			if c.want == unsure && c.since < 0 {
				require.Equal(t, map[uint64]low{1: {since: x.t, input: 7}}, k.low, "since then it is below")
			}
		})
	}
}

func TestOneServersOwnViewShowsThatACounterBeganAgain(t *testing.T) {
	for name, c := range map[string]struct {
		samples string
		want    bool
	}{
		"it fell":   {"90:100 100:98", true},
		"it stayed": {"90:100 100:100", false},
		"it rose":   {"90:98 100:100", false},
		"the first sample shows nothing, though it is 0": {"100:0", false},
		"it fell less than a minute before":              {"30:100 40.001:98", true},
		"it fell a minute before: that was counted":      {"30:100 40:98", false},
		"it fell after what was counted":                 {"100:100 110:98", false},
		"it fell when the last was counted":              {"90:100 105:98", true},
	} {
		t.Run(name, func(t *testing.T) {
			k := counterAt(0)
			require.False(t, k.beganAgain(1, seen(c.samples), ms(105)), "it was never below")
			k.low[1] = low{since: ms(100)}
			require.Equal(t, c.want, k.beganAgain(1, seen(c.samples), ms(105)))
		})
	}
}

func TestWhatASampleAddsDependsOnTheSamplesBeforeIt(t *testing.T) {
	for name, c := range map[string]struct {
		known   string // the last sample that was counted, or nothing
		samples string
		fresh   bool
		scrapes string
		want    float64
		odd     int
	}{
		"a difference": {known: "100:5", samples: "110:8", want: 3},
		"a new series that was asked for because of another":      {samples: "90:5 100:6", scrapes: "80 95"},
		"and later samples count whole":                           {samples: "90:5 100:6 110:7", scrapes: "80 105", want: 7},
		"the first answer, a sample as counting begins":           {samples: "100:5 110:7", fresh: true, scrapes: "80 90 100 110", want: 2},
		"the first answer to one that was known":                  {known: "80:3", samples: "90:5 110:7", fresh: true, want: 4},
		"the last sample again, and then a lower one":             {known: "100:5", samples: "100:5 110:4", want: 4},
		"another value at that time, and then a lower one":        {known: "100:5", samples: "100:6 110:4"},
		"an earlier sample of that value, and then a lower one":   {known: "100:5", samples: "95:5 110:4"},
		"a value that no counter has":                             {known: "100:5", samples: "101:NaN 102:+Inf 103:-1 110:8", want: 3, odd: 3},
		"a series that was gone while its target was scraped":     {known: "100:5", samples: "500:8", scrapes: "450", want: 8},
		"a series that was gone while its target was not scraped": {known: "100:5", samples: "500:8", scrapes: "390", want: 3},
		"a series that was gone for no longer than it lives":      {known: "100:5", samples: "400:8", scrapes: "399.999", want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			k := counterAt(ms(100))
			k.ask.fresh, k.ask.absent = c.fresh, ms(70)
			k.scrapedAt(c.scrapes)
			if c.known != "" {
				x := series("x", c.known).samples[0]
				k.points[1] = point{x.T, x.V}
			}
			require.Equal(t, c.want, k.float(1, seen(c.samples))) //nolint:testifylint // exact integers
			require.Equal(t, c.odd, k.odd)
		})
	}
}

func TestAScrapeShowsAbsenceStrictlyBetweenTwoTimes(t *testing.T) {
	for name, c := range map[string]struct {
		scrapes string
		want    bool
	}{
		"none": {"", false}, "before": {"90", false}, "as it begins": {"100", false}, "within": {"100.001", true}, "as it ends": {"110", false},
		"around": {"100 110", false}, "after": {"120", false}, "one of many": {"90 105 120", true},
	} {
		t.Run(name, func(t *testing.T) {
			k := counterAt(0)
			k.scrapedAt(c.scrapes)
			require.Equal(t, c.want, k.scraped(seen("").Labels, ms(100), ms(110)))
			require.False(t, k.scraped(Labels{{"service", "x"}}, ms(100), ms(110)), "nothing is known of its target")
		})
	}
}

// observations are samples "second:below0.25/below0.3/all" of a native histogram, an hour before the look.
func observations(samples ...[4]float64) Series {
	s := Series{Labels: Labels{{"instance", target.Instance}, {"job", target.Job}}}
	for _, x := range samples {
		s.Samples = append(s.Samples, Sample{T: ms(x[0]) - time.Hour.Milliseconds(), H: &Histogram{
			Count: x[3], Buckets: []Bucket{{0.1, 0.25, x[1]}, {0.25, 0.3, x[2] - x[1]}, {0.3, 1, x[3] - x[2]}},
		}})
	}
	return s
}

func TestANativeHistogramIsCountedAtEachBound(t *testing.T) {
	for name, c := range map[string]struct {
		first, second Series // two answers
		all           float64
		below         []float64
	}{
		"increments are added up":                          {observations([4]float64{90, 1, 2, 4}), observations([4]float64{110, 2, 4, 8}, [4]float64{120, 3, 6, 12}), 8, []float64{2, 4}},
		"after a reset the whole histogram counts":         {observations([4]float64{90, 10, 20, 40}), observations([4]float64{110, 1, 2, 4}, [4]float64{120, 2, 4, 8}), 8, []float64{2, 4}},
		"coarser buckets are no reset":                     {observations([4]float64{90, 3, 4, 8}), observations([4]float64{110, 1, 5, 10}), 2, []float64{0, 1}},
		"no more are below a bound than there are in all":  {observations([4]float64{90, 1, 1, 8}), observations([4]float64{110, 8, 9, 10}), 2, []float64{2, 2}},
		"the view of another server counts nothing at all": {observations([4]float64{90, 9, 10, 15}), observations([4]float64{110, 8, 9, 14}, [4]float64{120, 10, 11, 16}), 1, []float64{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			k, bounds := counterAt(ms(100)), []float64{0.25, 0.3}
			k.ask.fresh = true
			all, below := k.native(1, c.first, bounds)
			require.Zero(t, all)
			require.Equal(t, []float64{0, 0}, below, "before counting began")
			k.ask.fresh = false
			all, below = k.native(1, c.second, bounds)
			require.Equal(t, c.all, all)
			require.Equal(t, c.below, below)
		})
	}
}

func TestASeriesIsANativeHistogramIfAllItsSamplesAre(t *testing.T) {
	native, plain := observations([4]float64{1, 1, 1, 1}), seen("1:1")
	require.True(t, isNative(native))
	require.False(t, isNative(plain))
	require.False(t, isNative(Series{}))
	require.False(t, isNative(Series{Samples: append(native.Samples, plain.Samples...)}))
}

func TestANativeHistogramInPlaceOfACounterCountsItsObservations(t *testing.T) {
	m := made{selector: ok200, samples: observations([4]float64{3595, 1, 1, 4}, [4]float64{3605, 2, 2, 9}).Samples}
	_, ls := looks(t, plan(t, errorsMetric()), world{series: []made{m}}, 10)
	_, all := total(ls, 0)
	require.Equal(t, 5.0, all)
}

func TestASeriesLivesAsLongAsPrometheusSays(t *testing.T) {
	for end, want := range map[float64]bool{10: true, 305: true, 305.001: false} {
		_, ls := looks(t, plan(t, errorsMetric()), world{series: []made{series(ok200, "-5:10 5:11"), series(stable, "-5:10 5:11 290:12")}}, 10, end)
		require.Equal(t, !want, ls[1].Observations[0].Canary.Missing, end)
	}
}

func TestASeriesIsForgottenADayAfterTheLastTimeThatCanBeAskedFor(t *testing.T) {
	const now = 1e12
	keep := (Forget + MaxWindow).Milliseconds()
	require.Equal(t, 30*time.Hour.Milliseconds(), keep)
	c := Cursor{
		series: map[uint64]point{1: {t: now - keep}, 2: {t: now - keep - 1}, 3: {t: now}},
		low:    map[uint64]low{1: {}, 2: {}},
	}
	c.forget(now)
	require.Equal(t, map[uint64]point{1: {t: now - keep}, 3: {t: now}}, c.series)
	require.Equal(t, map[uint64]low{1: {}}, c.low)
}

func TestARefusedOffsetBaselineContinuesFromTheEndOfTheLook(t *testing.T) {
	in := input{id: 7}
	a := Ask{To: at(110).Add(-time.Hour), shift: time.Hour.Milliseconds(), after: ms(100)}
	next := NewCursor(epoch).clone()
	next.asked[7] = asked{until: ms(50), seen: ms(40), answered: true}
	in.pass(a, false, &next)
	require.Equal(t, asked{until: ms(100), seen: ms(40), answered: true}, next.asked[7], "it is asked again from where it was")
	in.pass(a, true, &next)
	require.Equal(t, asked{until: ms(110), seen: ms(40)}, next.asked[7])
}
