package sequential

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// The numbers of this file are worked out by hand from the formulas in the comments of what is tested.

// sums are the bad events of intervals with the same exposure each.
func sums(total float64, bad ...float64) judge.Sums {
	s := judge.Sums{Bad: bad, Total: make([]float64, len(bad))}
	for i := range bad {
		s.Total[i] = total
	}
	return s
}

func squared(x float64) float64 { return x * x }

// minutes repeats each number so many times.
func minutes(n int, each ...float64) (out []float64) {
	for _, x := range each {
		for range n {
			out = append(out, x)
		}
	}
	return out
}

// pastOf has so many blocks of each length, with so many times the deviation that chance makes.
func pastOf(count, times float64) (p judge.Past) {
	for i := range p.Blocks {
		p.Blocks[i] = judge.Blocks{Squares: times * 20 * count, Variance: 20 * count, Weight: 400 * count, Fourth: 160000 * count, Count: count}
	}
	p.Rate = 0.01
	return p
}

func with(p judge.Past, change func(*judge.Past)) judge.Past {
	change(&p)
	return p
}

// wandering is what replaces the supposed noise where the pasts say that the relative variance is at most so much.
func wandering(upper ...float64) [3]float64 {
	wander, _ := statespace.Fit([3]float64(upper))
	return wander
}

func upper(p judge.Past, k int, low, clusters float64) float64 {
	v, _ := statespace.Blocks(p.Blocks[k]).Upper(low, clusters)
	return v
}

func TestWhatReplicasDifferBy(t *testing.T) {
	const even, uneven = 10.0, 30.0 // bad events a minute of two replicas with 1000 requests each: 2% of all
	for name, c := range map[string]struct {
		seconds                    float64
		replicas                   []judge.Sums
		known                      int
		spread, clusters, incident float64
	}{
		"two that differ": {60, []judge.Sums{sums(1000, minutes(20, even)...), sums(1000, minutes(20, uneven)...)},
			2, math.Sqrt(2e-4-1e-6) / 0.02, 1, 0},
		"two, one of which has events that come together": { // four blocks of 5 minutes with ±20 of 50 expected, of eight
			60, []judge.Sums{sums(1000, minutes(5, 6, 14, 6, 14)...), sums(1000, minutes(20, uneven)...)},
			2, math.Sqrt(2e-4-4e-6) / 0.02, 4, 0},
		"one block too few to tell what comes together": { // three blocks with ±20 around 44, 46 and 46 expected
			60, []judge.Sums{sums(1000, minutes(5, 6, 14, 6)...), sums(1000, minutes(15, uneven)...)},
			2, math.Sqrt(squared(0.03-130.0/15000)/2-(0.03+130.0/15000)/2/15000) / ((0.03 + 130.0/15000) / 2), 1, 0},
		"intervals longer than a block": { // each is a block: eight in all, four of them with ±4 of 10 expected
			900, []judge.Sums{sums(1000, 6, 14, 6, 14), sums(1000, minutes(4, uneven)...)},
			2, math.Sqrt(2e-4-5e-6) / 0.02, 1, 0},
		"one that is gone is none": {60, []judge.Sums{sums(1000, minutes(20, even)...), sums(0, minutes(20, 0)...), sums(1000, minutes(20, uneven)...)},
			2, math.Sqrt(2e-4-1e-6) / 0.02, 1, 0},
		"one alone differs from nothing": {60, []judge.Sums{sums(1000, minutes(20, even)...), sums(0, minutes(20, 0)...)}, 1, 0, 1, 0},
		// An incident has more than 6 times as many as expected, and 8 more: 128.
		"at its bound it is none":                 {60, []judge.Sums{sums(1000, 128, 128, 0, 0), sums(1000, 64, 64, 64, 64)}, 2, 0, 1, 0},
		"two minutes in one":                      {60, []judge.Sums{sums(1000, 10, 129, 129, 10, 10, 10), sums(1000, 10, 10, 10, 10, 10, 10)}, 2, 0, 1, 120},
		"three minutes in two, the shortest":      {60, []judge.Sums{sums(1000, 129, 10, 129, 129, 10, 10), sums(1000, 10, 10, 10, 10, 10, 10)}, 2, 0, 1, 90},
		"within a minute it is a restart":         {60, []judge.Sums{sums(1000, 129, 10, 10, 129, 10, 10), sums(1000, 10, 10, 10, 10, 10, 10)}, 2, 0, 1, 0},
		"incidents of two replicas are apart":     {60, []judge.Sums{sums(1000, 10, 10, 129, 129, 129), sums(1000, 129, 129, 129, 10, 10)}, 2, 0, 1, 180},
		"nobody knows the rate of one all of ill": {60, []judge.Sums{sums(1000, 129, 129, 129), sums(1000, 10, 10, 10)}, 1, 0, 1, 180},
	} {
		t.Run(name, func(t *testing.T) {
			p := judge.Past{Rate: 0.02}
			compareReplicas(&judge.History{Seconds: c.seconds, Baseline: c.replicas[0], Replicas: c.replicas}, &p)
			require.Equal(t, c.known, p.Replicas)
			require.InDelta(t, c.spread, p.Spread, 1e-12)
			require.InDelta(t, c.clusters, p.Clusters, 1e-12)
			require.InDelta(t, c.incident, p.Incident, 1e-9)
		})
	}
}

func TestWhatUsersDifferBy(t *testing.T) {
	group := func(bad float64) judge.Sums { return sums(500, bad/2, bad/2) } // of 1000 requests in two intervals
	for name, c := range map[string]struct {
		groups          []judge.Sums
		users, clusters float64
	}{
		// Deviations of -10, 0 and 10 from 20: squares of 200, fourth powers of 20000, so that two groups count.
		"three groups": {[]judge.Sums{group(10), group(20), group(30)}, (200*3.0/2 - 60) / (60 * 60) * statespace.Inflate(2), 1},
		"two groups":   {[]judge.Sums{group(10), group(30)}, (200*2.0 - 40) / (40 * 40) * statespace.Inflate(1.5), 1},
		// Of five deviations of ±10 or 20 the largest counts the most.
		"a group that outweighs the others": {[]judge.Sums{group(10), group(10), group(30), group(10), group(40)},
			(800*5.0/4 - 100) / (100 * 100) * statespace.Inflate(800*800/200000.0), 1},
		"a group that has no requests is none": {[]judge.Sums{group(10), sums(0, 0, 0), group(30)}, (200*2.0 - 40) / (40 * 40) * statespace.Inflate(1.5), 1},
		"one group":                            {[]judge.Sums{group(30), sums(0, 0, 0)}, 0, 1},
		"groups without a bad event":           {[]judge.Sums{group(0), group(0)}, 0, 1},
		"groups that are all the same":         {[]judge.Sums{group(20), group(20)}, 0, 1},
		"less than chance makes":               {[]judge.Sums{group(19), group(21)}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := judge.Past{Rate: 0.02}
			compareUsers(&judge.History{Seconds: 60, Baseline: c.groups[0], Replicas: c.groups}, &p)
			require.InDelta(t, c.users, p.Users, 1e-12)
			require.InDelta(t, c.clusters, p.Clusters, 1e-12)
		})
	}
	p := judge.Past{Rate: 0.02} // each group has ±20 around 50 in eight blocks
	together := []judge.Sums{sums(1000, minutes(5, 6, 14, 6, 14)...), sums(1000, minutes(5, 26, 34, 26, 34)...)}
	compareUsers(&judge.History{Seconds: 60, Baseline: together[0], Replicas: together}, &p)
	clusters := (4*400/50.0 + 4*400/150.0) / 8
	require.InDelta(t, clusters, p.Clusters, 1e-12)
	require.InDelta(t, (2*40000*2-clusters*800)/(800*800)*statespace.Inflate(1.5), p.Users, 1e-12, "which explain a part of what they differ by")
}

func TestHowManyEventsComeTogether(t *testing.T) {
	of := func(rate float64, all float64, s judge.Sums) dispersion {
		d := dispersion{length: 2}
		d.of(&s, rate, all)
		return d
	}
	require.Equal(t, dispersion{2, 8.1 + 8.1, 2}, of(0.1, 1, sums(50, 10, 9, 0, 1)))
	require.Equal(t, 1.0, of(0.1, 1, sums(50, 10, 9, 0)).df, "what is no whole block does not count")
	require.Zero(t, of(0.1, 1, sums(0, 0, 0)).df, "without requests there is none")
	require.Zero(t, of(0, 1, sums(50, 0, 0)).df, "without a bad event there is none")
	require.Equal(t, 1.0, of(0.1, 0.04, sums(50, 20, 0)).df, "20 are just no incident where 2 are expected")
	require.Zero(t, of(0.1, 0.04, sums(50, 20.5, 0)).df, "and more are one")
	require.Zero(t, of(0.1, 0.04, sums(50, 0, 20.5)).df)
	require.Equal(t, 1.0, (&dispersion{squares: 70, df: 7}).value(), "too few blocks to tell")
	require.Equal(t, 10.0, (&dispersion{squares: 80, df: 8}).value())
	require.Equal(t, 1.0, (&dispersion{squares: 4, df: 8}).value(), "they come one by one at least")
}

func TestTheSpreadIsWhatChanceDoesNotExplain(t *testing.T) {
	require.InDelta(t, math.Sqrt(2e-4-1e-6)/0.02, spreadOf([]float64{200, 600}, []float64{20000, 20000}, 1), 1e-12)
	require.InDelta(t, math.Sqrt(2e-4-(0.02/20000+0.02/5000)/2)/0.02, spreadOf([]float64{200, 150}, []float64{20000, 5000}, 1), 1e-12)
	require.InDelta(t, math.Sqrt(1e-4-1e-6)/0.02, spreadOf([]float64{200, 400, 600}, []float64{20000, 20000, 20000}, 1), 1e-12)
	require.Zero(t, spreadOf([]float64{200, 600}, []float64{20000, 20000}, 1000))
	require.Zero(t, spreadOf([]float64{200}, []float64{20000}, 1))
	require.Zero(t, spreadOf([]float64{0, 0}, []float64{100, 100}, 1))
}

func TestBlocksOfAHistory(t *testing.T) {
	bad := append(minutes(5, 2, 4), 3, 3) // two blocks of 5 minutes, and two minutes more
	s := sums(100, bad...)
	rate := 36.5 / 1201
	blocks := blocksOf(&s, 60)
	require.InDelta(t, 12, blocks[0].Count, 0)
	require.InDelta(t, 12*100*rate, blocks[0].Variance, 1e-9)
	require.InDelta(t, 5*squared(2-100*rate)+5*squared(4-100*rate)+2*squared(3-100*rate), blocks[0].Squares, 1e-9)
	require.InDelta(t, 2, blocks[1].Count, 0)
	require.InDelta(t, squared(10-500*rate)+squared(20-500*rate), blocks[1].Squares, 1e-9)
	require.Zero(t, blocks[2].Count)
	s = sums(100, minutes(15, 3)...)
	require.InDelta(t, 1, blocksOf(&s, 60)[2].Count, 0, "just a block")
	require.InDelta(t, 15, blocksOf(&s, 4000)[2].Count, 0, "intervals longer than a block are blocks")
	require.InDelta(t, 5, blocksOf(&s, 20)[0].Count, 0)
	require.InDelta(t, 1, blocksOf(&s, 20)[1].Count, 0)
}

func TestAHistoryTellsOfWhatItHas(t *testing.T) {
	counts := metric{Metric: judge.Metric{Kind: judge.Counts}, comparing: judge.Counts}
	users := counts
	users.Users = true
	s := sums(1000, minutes(10, 20)...)
	h := judge.History{Seconds: 60, Baseline: s, Replicas: []judge.Sums{s, s}}
	require.Equal(t, 2, counts.past(&h).Replicas)
	require.Zero(t, users.past(&h).Replicas, "they are groups of users then")
	require.Equal(t, 0.02, counts.past(&h).Rate)
	h.Replicas = h.Replicas[:1]
	require.Zero(t, counts.past(&h).Replicas, "one alone is none to compare")
	h.Baseline = sums(10, 11, 12)
	require.Equal(t, 1.0, counts.past(&h).Rate)
	h.Baseline = sums(0, 0, 0)
	require.Equal(t, judge.Past{}, counts.past(&h))
	require.Zero(t, users.past(&judge.History{Seconds: 60, Baseline: s, Replicas: []judge.Sums{s}}).Clusters)
}

func TestAHistoryIsOfCountsAndAllItsListsAreAsLong(t *testing.T) {
	good := sums(10, 1, 2)
	for name, c := range map[string]struct {
		history judge.History
		usable  bool
	}{
		"the whole":                  {judge.History{Seconds: 60, Baseline: good}, true},
		"with replicas and parts":    {judge.History{Seconds: 60, Baseline: good, Replicas: []judge.Sums{good}, Parts: []judge.Sums{good}}, true},
		"as short as a look":         {judge.History{Seconds: leastSeconds, Baseline: good}, true},
		"shorter than a look":        {judge.History{Seconds: leastSeconds / 2, Baseline: good}, false},
		"a day":                      {judge.History{Seconds: 86400, Baseline: good}, true},
		"longer than a day":          {judge.History{Seconds: 86401, Baseline: good}, false},
		"fewer totals":               {judge.History{Seconds: 60, Baseline: judge.Sums{Bad: []float64{1, 2}, Total: []float64{9}}}, false},
		"a shorter replica":          {judge.History{Seconds: 60, Baseline: good, Replicas: []judge.Sums{sums(10, 1)}}, false},
		"a shorter part":             {judge.History{Seconds: 60, Baseline: good, Parts: []judge.Sums{sums(10, 1)}}, false},
		"a replica of fewer totals":  {judge.History{Seconds: 60, Baseline: good, Replicas: []judge.Sums{{Bad: []float64{1, 2}, Total: []float64{9}}}}, false},
		"bad events below zero":      {judge.History{Seconds: 60, Baseline: sums(10, 1, -2)}, false},
		"requests that are no count": {judge.History{Seconds: 60, Baseline: sums(math.NaN(), 1, 2)}, false},
	} {
		require.Equal(t, c.usable, usableHistory(&c.history), name)
	}
}

func TestOfEachMetricItsOwnHistory(t *testing.T) {
	j := &Judge{}
	for _, name := range []string{"none", "unusable", "gauge", "silent", "errors"} {
		j.metrics = append(j.metrics, metric{Metric: judge.Metric{Name: name}, comparing: judge.Counts})
	}
	j.metrics[2].comparing = judge.Gauge
	good := judge.History{Seconds: 60, Baseline: sums(1000, minutes(10, 20)...)}
	pasts := j.History(map[string]judge.History{
		"unusable": {Seconds: 60, Baseline: judge.Sums{Bad: minutes(10, 1), Total: minutes(11, 100)}},
		"gauge":    good, "silent": {Seconds: 60, Baseline: sums(0, minutes(10, 0)...)}, "errors": good, "other": good,
	})
	require.Len(t, pasts, 1)
	require.Equal(t, 0.02, pasts["errors"].Rate)
}

func TestWhatCanHaveBeenTaught(t *testing.T) { //nolint:funlen // a table
	for name, c := range map[string]struct {
		change func(*judge.Past)
		is     bool
	}{
		"two blocks of a length":           {func(p *judge.Past) { p.Blocks = [3]judge.Blocks{{}, {Count: 2}, {}} }, true},
		"one block":                        {func(p *judge.Past) { p.Blocks = [3]judge.Blocks{{Count: 1.9}, {Count: 1}} }, false},
		"blocks of parts alone":            {func(p *judge.Past) { p.Blocks, p.Parts = [3]judge.Blocks{}, p.Blocks }, false},
		"squares below zero":               {func(p *judge.Past) { p.Blocks[1].Squares = -1 }, false},
		"variance below zero":              {func(p *judge.Past) { p.Blocks[1].Variance = -1 }, false},
		"weight below zero":                {func(p *judge.Past) { p.Blocks[1].Weight = -1 }, false},
		"fourth powers below zero":         {func(p *judge.Past) { p.Blocks[1].Fourth = -1 }, false},
		"a count that is no number":        {func(p *judge.Past) { p.Blocks[1].Count = math.NaN() }, false},
		"squares beyond all":               {func(p *judge.Past) { p.Parts[2].Squares = 2 * mostSquares }, false},
		"a rate of all":                    {func(p *judge.Past) { p.Rate = 1 }, true},
		"a rate above all":                 {func(p *judge.Past) { p.Rate = 1.1 }, false},
		"users that differ at most":        {func(p *judge.Past) { p.Users = mostWander }, true},
		"users that differ by more":        {func(p *judge.Past) { p.Users = mostWander + 1 }, false},
		"a spread at most":                 {func(p *judge.Past) { p.Spread = mostWander }, true},
		"a spread of more":                 {func(p *judge.Past) { p.Spread = mostWander + 1 }, false},
		"clusters at most":                 {func(p *judge.Past) { p.Clusters = mostCount }, true},
		"clusters of more":                 {func(p *judge.Past) { p.Clusters = 2 * mostCount }, false},
		"an incident of a day":             {func(p *judge.Past) { p.Incident = 86400 }, true},
		"an incident of more than a day":   {func(p *judge.Past) { p.Incident = 86401 }, false},
		"much better":                      {func(p *judge.Past) { p.Apart = -mostLog }, true},
		"better than can be":               {func(p *judge.Past) { p.Apart = -7 }, false},
		"worse than can be":                {func(p *judge.Past) { p.Apart = 7 }, false},
		"as unsure as can be":              {func(p *judge.Past) { p.Unsure = mostWander }, true},
		"more unsure":                      {func(p *judge.Past) { p.Unsure = mostWander + 1 }, false},
		"all of the traffic":               {func(p *judge.Past) { p.Weight = 1 }, true},
		"more than all of the traffic":     {func(p *judge.Past) { p.Weight = 1.1 }, false},
		"replicas below zero":              {func(p *judge.Past) { p.Replicas = -1 }, false},
		"as many replicas as there may be": {func(p *judge.Past) { p.Replicas = mostReplicas }, true},
		"more replicas":                    {func(p *judge.Past) { p.Replicas = mostReplicas + 1 }, false},
	} {
		p := with(pastOf(10, 1), c.change)
		require.Equal(t, c.is, isPast(&p), name)
	}
}

func TestWhatARatioWandersByIsSupposedFromPasts(t *testing.T) { //nolint:funlen // a table
	history, release := pastOf(100, 5), with(pastOf(100, 3), func(p *judge.Past) { p.Release = true })
	broken := with(pastOf(100, 9), func(p *judge.Past) { p.Parts[0].Squares = -1 })
	of := func(p judge.Past, low, clusters, divisor float64) [3]float64 {
		return wandering(upper(p, 0, low, clusters)/divisor, upper(p, 1, low, clusters)/divisor, upper(p, 2, low, clusters)/divisor)
	}
	quiet := pastOf(100, 0)
	counts := metric{Metric: judge.Metric{Kind: judge.Counts, Noise: 0.3}, comparing: judge.Counts}
	objective := metric{Metric: judge.Metric{Kind: judge.Objective, Noise: 0.3}, comparing: judge.Objective}
	gauge := metric{Metric: judge.Metric{Kind: judge.Gauge, Noise: 0.3}, comparing: judge.Gauge}
	usual := [3]float64{0.027, 0.054, 0.009}
	for name, c := range map[string]struct {
		metric  metric
		pasts   []judge.Past
		wander  [3]float64
		learned bool
	}{
		"nothing is known":                           {counts, nil, usual, false},
		"a history":                                  {counts, []judge.Past{history}, of(history, statespace.Low10, 1, 1), true},
		"what cannot be comes first":                 {counts, []judge.Past{broken, history}, of(history, statespace.Low10, 1, 1), true},
		"a history whose events come together":       {counts, []judge.Past{with(history, func(p *judge.Past) { p.Clusters = 2 })}, of(history, statespace.Low10, 2, 1), true},
		"a history without a bad event":              {counts, []judge.Past{with(history, func(p *judge.Past) { p.Rate = 0 })}, usual, false},
		"a history that does not vary":               {counts, []judge.Past{quiet}, [3]float64{}, true},
		"just enough blocks":                         {counts, []judge.Past{pastOf(enough, 5)}, of(pastOf(enough, 5), statespace.Low10, 1, 1), true},
		"a block too few":                            {counts, []judge.Past{pastOf(enough-1, 5)}, usual, false},
		"a release, of whose two arms one is one":    {counts, []judge.Past{release}, of(release, statespace.Low5, 1, 2), true},
		"two releases are one of twice as many":      {counts, []judge.Past{release, release}, of(pastOf(200, 3), statespace.Low5, 1, 2), true},
		"of an objective a release says nothing":     {objective, []judge.Past{release}, usual, false},
		"of an objective a history does":             {objective, []judge.Past{history, release}, of(history, statespace.Low10, 1, 1), true},
		"a gauge's noise is not of its past":         {gauge, []judge.Past{history}, [3]float64{}, true},
		"a release that varies clearly less":         {counts, []judge.Past{history, release}, of(release, statespace.Low5, 1, 2), true},
		"a release that varies a little less":        {counts, []judge.Past{history, with(pastOf(100, 4), func(p *judge.Past) { p.Release = true })}, of(history, statespace.Low10, 1, 1), true},
		"a release and a history without bad events": {counts, []judge.Past{with(history, func(p *judge.Past) { p.Rate = 0 }), release}, usual, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := supposeAll(&c.metric, c.pasts)
			for k := range c.wander {
				require.InDelta(t, c.wander[k], n.wander[k], 1e-12, k)
			}
			require.Equal(t, c.learned, n.learned)
		})
	}
	short := with(history, func(p *judge.Past) { p.Blocks[2] = judge.Blocks{} })
	n := supposeAll(&counts, []judge.Past{short})
	want := wandering(upper(short, 0, statespace.Low10, 1), upper(short, 1, statespace.Low10, 1), statespace.Varies(usual, 2))
	require.InDeltaSlice(t, want[:], n.wander[:], 1e-12, "of a length without blocks it is what is supposed")
}

func TestEventsMayComeInLumpsWhereARateSurelyVariesAndNothingElseExplainsIt(t *testing.T) {
	counts := metric{Metric: judge.Metric{Kind: judge.Counts, Noise: 0.3}, comparing: judge.Counts}
	exposure := 20 / (statespace.Lengths[2] * 0.01) // a second, by the longest blocks
	for name, c := range map[string]struct {
		pasts []judge.Past
		lumps float64
	}{
		"it surely varies":                   {[]judge.Past{pastOf(100, 5)}, exposure},
		"it hardly varies":                   {[]judge.Past{pastOf(100, 1.1)}, 0},
		"by as much as its events come in":   {[]judge.Past{with(pastOf(100, 5), func(p *judge.Past) { p.Clusters = 5 })}, 0},
		"one replica":                        {[]judge.Past{with(pastOf(100, 5), func(p *judge.Past) { p.Replicas = 1 })}, exposure},
		"replicas may be what differs":       {[]judge.Past{with(pastOf(100, 5), func(p *judge.Past) { p.Replicas = 2 })}, 0},
		"users may be what differs":          {[]judge.Past{with(pastOf(100, 5), func(p *judge.Past) { p.Users = 0.01 })}, 0},
		"a release has shown that it is not": {[]judge.Past{pastOf(100, 5), with(pastOf(100, 1), func(p *judge.Past) { p.Release = true })}, 0},
	} {
		require.InDelta(t, c.lumps, supposeAll(&counts, c.pasts).lumps, 1e-12, name)
	}
}

func TestWhatAHistoryTellsOfIncidentsAndClusters(t *testing.T) {
	for name, c := range map[string]struct {
		history            judge.Past
		incident, clusters float64
	}{
		"of one replica":             {judge.Past{Replicas: 1}, supposedIncident, 1},
		"two without an incident":    {judge.Past{Replicas: 2}, briefIncident, 1},
		"a short incident":           {judge.Past{Replicas: 2, Incident: leastIncident - 1}, leastIncident, 1},
		"a long one":                 {judge.Past{Replicas: 2, Incident: 300}, 300, 1},
		"events that come together":  {judge.Past{Clusters: 3}, supposedIncident, 3},
		"as a minute shows it":       {judge.Past{Blocks: [3]judge.Blocks{{Variance: 40, Count: 2}}}, supposedIncident, 1 + 0.5*20},
		"as the replicas show it":    {judge.Past{Clusters: 12, Blocks: [3]judge.Blocks{{Variance: 40, Count: 2}}}, supposedIncident, 12},
		"more than is to be thought": {judge.Past{Blocks: [3]judge.Blocks{{Variance: 1e8, Count: 2}}}, supposedIncident, mostClusters},
	} {
		n := noise{incident: supposedIncident}
		n.take(&c.history, 0.5)
		require.Equal(t, c.incident, n.incident, name)
		require.InDelta(t, c.clusters, n.clusters, 1e-9, name)
	}
}

func TestWhatGoodVersionsHaveDifferedBy(t *testing.T) {
	ended := func(apart, unsure float64) judge.Past {
		return with(pastOf(10, 1), func(p *judge.Past) { p.Release, p.Apart, p.Unsure = true, apart, unsure })
	}
	broken := with(ended(0.4, 0.01), func(p *judge.Past) { p.Rate = 2 })
	many := make([]judge.Past, 100)
	for i := range many {
		many[i] = ended(0, 1e-6)
	}
	const half = surely * surely // a release that is as unsure counts for a quarter
	for name, c := range map[string]struct {
		pasts []judge.Past
		want  float64
	}{
		"nothing is known":                    {nil, 0},
		"it ended worse":                      {[]judge.Past{ended(0.2, half)}, math.Sqrt((2*0.0025 + 0.25*2*(0.04-half)) / 2.25)},
		"two did":                             {[]judge.Past{ended(0.2, half), ended(0.3, half)}, math.Sqrt((2*0.0025 + 0.25*2*(0.04+0.09-2*half)) / 2.5)},
		"it ended better":                     {[]judge.Past{ended(-0.2, half)}, math.Sqrt(2 * 0.0025 / 2.25)},
		"much worse":                          {[]judge.Past{ended(2, half)}, math.Sqrt((2*0.0025 + 0.25*2*(mostApart*mostApart-half)) / 2.25)},
		"as unsure as it is far":              {[]judge.Past{ended(0.1, half)}, math.Sqrt(2 * 0.0025 / 2.25)},
		"hardly any difference in a hundred":  {many, leastArm},
		"it does not say how unsure it is":    {[]judge.Past{ended(0.4, 0)}, 0},
		"a history has no end":                {[]judge.Past{with(ended(0.4, half), func(p *judge.Past) { p.Release = false })}, 0},
		"what cannot be is left out":          {[]judge.Past{broken}, 0},
		"what is left out leaves the next in": {[]judge.Past{broken, ended(0.2, half)}, math.Sqrt((2*0.0025 + 0.25*2*(0.04-half)) / 2.25)},
	} {
		require.InDelta(t, c.want, (&metric{comparing: judge.Counts}).armsOf(c.pasts), 1e-12, name)
		require.Zero(t, (&metric{comparing: judge.Gauge}).armsOf(c.pasts))
	}
}

func TestWhatTheWorldOfFewUsersIsWorth(t *testing.T) {
	ended := func(apart, unsure, weight float64) judge.Past {
		return with(pastOf(10, 1), func(p *judge.Past) { p.Release, p.Apart, p.Unsure, p.Weight = true, apart, unsure, weight })
	}
	// At half of the traffic few users make a variance of 0.2 more; many leave 0.0025 and what is unsure.
	odds := func(apart float64) float64 { return apart*apart/2*(1/0.01-1/0.21) - math.Log(21)/2 }
	chance := func(odds float64) float64 { return 1 / (1 + math.Exp(-odds)) }
	broken := with(ended(0.3, 0.0075, 0.5), func(p *judge.Past) { p.Rate = 2 })
	near := ended(0, 0.0075, 0.5)
	for name, c := range map[string]struct {
		pasts []judge.Past
		want  float64
	}{
		"nothing is known":                    {nil, 0.5},
		"it ended near to stable":             {[]judge.Past{near}, chance(odds(0))},
		"it ended a little apart":             {[]judge.Past{ended(0.2, 0.0075, 0.5)}, chance(odds(0.2))},
		"two did, one of them better":         {[]judge.Past{ended(0.2, 0.0075, 0.5), ended(-0.15, 0.0075, 0.5)}, chance(odds(0.2) + odds(0.15))},
		"one alone moves it by so much":       {[]judge.Past{ended(2, 0.0075, 0.5), near, near}, chance(mostOfOne + 2*odds(0))},
		"it is never certain":                 {[]judge.Past{ended(2, 0.0075, 0.5), ended(2, 0.0075, 0.5)}, mostFew},
		"nor ruled out":                       {[]judge.Past{near, near, near, near, near}, leastFew},
		"it does not say how unsure it is":    {[]judge.Past{ended(2, 0, 0.5)}, 0.5},
		"it does not say at which weight":     {[]judge.Past{ended(2, 0.0075, 0)}, 0.5},
		"a history has no end":                {[]judge.Past{with(ended(2, 0.0075, 0.5), func(p *judge.Past) { p.Release = false })}, 0.5},
		"what cannot be is left out":          {[]judge.Past{broken}, 0.5},
		"what is left out leaves the next in": {[]judge.Past{broken, ended(0.2, 0.0075, 0.5)}, chance(odds(0.2))},
	} {
		m := metric{Metric: judge.Metric{Sticky: true}, comparing: judge.Counts}
		require.InDelta(t, c.want, m.supposedFew(c.pasts), 1e-12, name)
	}
	for i, m := range []metric{
		{comparing: judge.Counts},
		{Metric: judge.Metric{Sticky: true, Users: true}, comparing: judge.Counts},
		{Metric: judge.Metric{Sticky: true, Goal: true}, comparing: judge.Counts},
		{Metric: judge.Metric{Sticky: true}, comparing: judge.Gauge},
	} {
		require.Zero(t, m.supposedFew(nil), i)
	}
}

func TestWhatUsersAreSupposedToDifferBy(t *testing.T) {
	of := func(users bool, kind judge.Kind, history *judge.Past) float64 {
		return (&metric{Metric: judge.Metric{Users: users}, comparing: kind}).supposedUsers(history)
	}
	require.Equal(t, 0.01, of(true, judge.Counts, &judge.Past{Users: 0.01}))
	require.Equal(t, fewUsers, of(true, judge.Counts, &judge.Past{}))
	require.Equal(t, fewUsers, of(true, judge.Counts, nil))
	require.Zero(t, of(false, judge.Counts, &judge.Past{Users: 0.01}))
	require.Zero(t, of(true, judge.Gauge, &judge.Past{Users: 0.01}))
}

func TestTheNoiseOfTwoArmsIsTwiceThatOfOne(t *testing.T) {
	n := noise{wander: [3]float64{0.1, 0.2, 0.3}, lumps: 7}
	counts, objective := metric{comparing: judge.Counts}, metric{comparing: judge.Objective}
	require.Equal(t, [3]float64{0.2, 0.4, 0.6}, counts.model(&n).Wander)
	require.Equal(t, n.wander, objective.model(&n).Wander)
	require.Equal(t, 7.0, counts.model(&n).Lumps)
	require.Equal(t, supposedArm, counts.model(&n).Arm)
	require.Zero(t, counts.model(&noise{lumps: 7}).Lumps, "what does not wander has no lumps")
	require.Equal(t, 0.07, counts.model(&noise{arm: 0.07}).Arm, "earlier releases have shown it")
	for i, c := range []struct {
		replicas, canary int
		spread, want     float64
	}{
		{1, 0, 0.2, 0.2 * math.Sqrt2}, // the canary is one, where nothing is known of it
		{4, 1, 0.2, 0.2 * math.Sqrt(1.25)},
		{4, 4, 0.2, 0.2 * math.Sqrt(0.5)},
		{4, 4, 0.01, leastArm},
		{0, 4, 0.2, 0.07},
	} {
		require.InDelta(t, c.want, counts.model(&noise{arm: 0.07, replicas: c.replicas, canary: c.canary, spread: c.spread}).Arm, 1e-12, i)
	}
	most := supposed(&metric{Metric: judge.Metric{Noise: 3}})
	require.InDeltaSlice(t, []float64{1.2, 2.4, 0.4}, most[:], 1e-12)
}

func TestWhatARestlessServiceShares(t *testing.T) {
	restless := metric{Metric: judge.Metric{Kind: judge.Counts, Noise: 0.5}, comparing: judge.Counts}
	require.True(t, statespace.Restless(restless.model(&noise{wander: supposed(&restless)}).Wander))
	for name, c := range map[string]struct {
		change func(*metric)
		calm   bool
	}{
		"counts":            {func(*metric) {}, true},
		"of a histogram":    {func(m *metric) { m.comparing = judge.Histogram }, true},
		"an objective":      {func(m *metric) { m.comparing = judge.Objective }, false},
		"a goal":            {func(m *metric) { m.Goal = true }, false},
		"a service at rest": {func(m *metric) { m.Noise = 0 }, false},
	} {
		m := restless
		c.change(&m)
		require.Equal(t, c.calm, suppose(&m, nil).calm, name)
	}
}

func TestALessonIsWithinItsBounds(t *testing.T) {
	m := metric{Metric: judge.Metric{Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25}, Noise: 0.3}, comparing: judge.Counts}
	n := suppose(&m, nil)
	c := comparison{}
	p, ok := c.lesson(&m, &n)
	require.False(t, ok, "nothing was seen")
	require.Zero(t, p.Unsure)
	for range 20 {
		c.add(&m, question{share: 1}, m.model(&n), true, row{30, 1000, 15, 1000}, seen{seconds: 60, weight: 0.5})
	}
	p, ok = c.lesson(&m, &n)
	require.True(t, ok)
	apart, unsure := c.state.Ended()
	require.Equal(t, []float64{apart, unsure}, []float64{p.Apart, p.Unsure})
	require.Greater(t, apart, 0.0, "it was worse")
	require.InDelta(t, 0.015, p.Rate, 1e-4)
	require.InDelta(t, 20, p.Blocks[0].Count, 0)
	require.InDelta(t, 4, p.Blocks[1].Count, 0)
	c.total = row{30, 10, 30, 10}
	p, _ = c.lesson(&m, &n)
	require.Equal(t, 1.0, p.Rate, "more bad events than requests")
}
