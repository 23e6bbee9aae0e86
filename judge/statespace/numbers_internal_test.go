package statespace

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// looked is the state after some looks of ten seconds at a canary with more errors.
func looked(m *Model, looks int) State {
	s := m.Begin()
	for i := range looks {
		l := Look{Seconds: 10, Weight: 0.1, Margin: 1.25, Bad: 4, Allowed: 1, Turned: i == 0}
		l.Counts(m, 4, 100, 9, 900)
		m.Add(&s, &l)
	}
	return s
}

func TestAStateThatIsReadBackGoesOnAsTheOneThatWasWritten(t *testing.T) {
	wander := [wandering]float64{0.01, 0.01, 0.01}
	for name, m := range map[string]*Model{
		"requests alone":              {Wander: wander, Arm: 0.05, Clusters: 1, Incident: 60},
		"lumps of events":             {Wander: wander, Arm: 0.05, Clusters: 1, Incident: 60, Lumps: 10},
		"arms divided by users":       {Wander: wander, Arm: 0.05, Clusters: 1, Incident: 60, Users: 0.01},
		"a canary that is cold":       {Wander: wander, Arm: 0.05, Clusters: 1, Incident: 60, Cold: true},
		"a canary with a goal":        {Wander: wander, Arm: 0.05, Clusters: 1, Incident: 60, Goal: true},
		"noise that is shared":        {Wander: wander, Arm: 0.05, Clusters: 1, Incident: 60, Calm: true},
		"users who may be few":        {Wander: wander, Arm: 0.05, Clusters: 1, Incident: 60, Few: 0.5},
		"few users and a cold canary": {Wander: wander, Arm: 0.05, Clusters: 1, Incident: 60, Few: 0.5, Cold: true, Calm: true},
		"arms that may be strained":   {Wander: wander, Arm: 0.05, Clusters: 1, Incident: 60, Strains: true},
		"all of that in one":          {Wander: wander, Arm: 0.05, Clusters: 2, Incident: 60, Lumps: 10, Users: 0.01, Cold: true, Goal: true, Calm: true, Strains: true},
	} {
		t.Run(name, func(t *testing.T) {
			written := looked(m, 30)
			var numbers []float64
			m.Numbers(&written, func(n Number) {
				require.True(t, n.Fits(*n.At), "%v is not within %v and %v", *n.At, n.Lo, n.Hi)
				numbers = append(numbers, *n.At)
			})
			read := m.Begin()
			m.Numbers(&read, func(n Number) { *n.At, numbers = numbers[0], numbers[1:] })
			read.Resume()
			require.Empty(t, numbers)
			require.True(t, m.Sound(&read))
			kept := m.Keep(&written)
			rested := m.Take(&kept)
			for range 5 {
				l := Look{Seconds: 10, Weight: 0.1, Margin: 1.25, Bad: 5, Allowed: 1}
				l.Counts(m, 5, 100, 9, 900)
				again, last := l, l
				m.Add(&written, &l)
				m.Add(&read, &again)
				m.Add(&rested, &last)
			}
			for _, s := range []*State{&read, &rested} {
				require.Equal(t, m.Stand(&written, 1.25), m.Stand(s, 1.25))
				require.Equal(t, m.Ratio(&written), m.Ratio(s))
			}
		})
	}
}

// Events that come in pairs are worth half their number.
func TestEventsThatComeTogetherCountAsOne(t *testing.T) {
	one, two := Model{Arm: 0.05, Clusters: 1, Incident: 60}, Model{Arm: 0.05, Clusters: 2, Incident: 60}
	for name, look := range map[string]func(m *Model, l *Look, times float64){
		"counts": func(m *Model, l *Look, times float64) { l.Counts(m, 4*times, 100, 9*times, 900) },
		"a rate": func(m *Model, l *Look, times float64) { l.Rate(m, 4*times, 1*times) },
		"fewer":  func(m *Model, l *Look, times float64) { l.Fewer(m, 1*times, 4*times) },
		"the margin": func(m *Model, l *Look, times float64) {
			l.Counts(m, 4*times, 100, 0, 900)
			l.Bad, l.Allowed = 1.1*times, times // less than the ratio shows
		},
	} {
		t.Run(name, func(t *testing.T) {
			after := func(m *Model, times float64) Standing {
				s := m.Begin()
				for range 10 {
					l := Look{Seconds: 10, Margin: 1.25}
					look(m, &l, times)
					m.Add(&s, &l)
				}
				return m.Stand(&s, 100) // larger than any ratio, so that the absolute margin counts as well
			}
			require.Equal(t, after(&one, 1), after(&two, 2))
			require.NotEqual(t, after(&one, 1), after(&one, 2))
		})
	}
}

func TestALookInWhichNothingIsExpectedSaysNothingOfAFixedRate(t *testing.T) {
	m := Model{Arm: 0.05, Clusters: 1, Incident: 60}
	f := m.BeginFloor()
	m.AddFloor(&f, 10, 0, 0)
	require.Zero(t, f.Below())
	m.AddFloor(&f, 10, 0, 5)
	require.Positive(t, f.Below(), "none of five that were expected")
	require.True(t, m.SoundFloor(&f))
}

func TestWhatCannotBeABeliefIsNotSound(t *testing.T) {
	m := Model{Wander: [wandering]float64{0.01, 0.01, 0.01}, Arm: 0.05, Clusters: 1, Incident: 60, Calm: true, Few: 0.5, Strains: true}
	for name, spoil := range map[string]func(s *State, f *Floor){
		"a variance below zero":           func(s *State, _ *Floor) { s.rows[null].cov[at(0, 0)] = -1 },
		"a covariance beyond variances":   func(s *State, _ *Floor) { s.rows[open].cov[at(1, 0)] = 1 },
		"of a strain":                     func(s *State, _ *Floor) { s.rows[strained].cov[at(0, 0)] = -1 },
		"where noise is shared":           func(s *State, _ *Floor) { s.calm.rows[calmIll].cov[at(0, 0)] = -1 },
		"of how few users differ":         func(s *State, _ *Floor) { s.few.rows[1].cov[at(users, users)] = -1 },
		"of a floor, below zero":          func(_ *State, f *Floor) { f.rows[4].cov[at(arm, arm)] = -1 },
		"of a floor, beyond its variance": func(_ *State, f *Floor) { f.rows[0].cov[at(2, 1)] = 1 },
	} {
		s, f := looked(&m, 3), m.BeginFloor()
		m.AddFloor(&f, 10, 1, 2)
		require.True(t, m.Sound(&s) && m.SoundFloor(&f))
		spoil(&s, &f)
		require.False(t, m.Sound(&s) && m.SoundFloor(&f), name)
	}
}

func TestTooFewBlocksSayNothing(t *testing.T) {
	var b Blocks
	b.Add(3, 0)
	require.Zero(t, b, "chance gives it no variance")
	b.Add(3, 4)
	_, ok := b.Upper(Low5, 1)
	require.False(t, ok, "one is too few")
	require.False(t, b.Surely(1))
	b.Add(3, 4)
	v, ok := b.Upper(Low5, 1)
	require.True(t, ok)
	require.Positive(t, v)
	require.Equal(t, Blocks{Squares: 36, Variance: 16, Weight: 64, Fourth: 1024, Count: 4}, b.Plus(b))
	for _, none := range []Blocks{{Count: 9}, {Count: 9, Weight: 1}, {Count: 9, Fourth: 1}} {
		_, ok := none.Upper(Low5, 1)
		require.False(t, ok)
		require.False(t, none.Surely(1))
	}
	var wild Blocks
	for range 10 {
		wild.Add(30, 4)
	}
	require.True(t, wild.Surely(1))
	require.False(t, wild.Surely(1e6), "events that come together by so many vary as much")
}

func TestARateIsExplainedByTheLengthsThatAreKnown(t *testing.T) {
	x := [wandering]float64{0, 0.2, 0}
	var all [wandering]float64
	for i := range all {
		all[i] = Varies([wandering]float64{0, 0.18232155679395462, 0}, i) // log(1.2)
	}
	whole, minute := Fit(all)
	require.InDelta(t, 0.18232155679395462, whole[1], 1e-6)
	require.InDelta(t, 0, minute, 1e-6)
	require.InDelta(t, x[0], whole[0], 1e-6)
	for unknown := range all {
		some := all
		some[unknown] = -1
		fit, minute := Fit(some)
		for i := range all {
			if i != unknown {
				require.InDelta(t, all[i], Varies(fit, i)+minute*shown(i, wandering), 0.01*all[i], "without blocks of %v s", Lengths[unknown])
			}
		}
	}
	still, minute := Fit([wandering]float64{0.1, 0, 0})
	require.Less(t, Varies(still, 1)+minute*shown(1, wandering), 1e-3, "longer blocks that do not vary count as well")
}
