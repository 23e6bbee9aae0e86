package statespace

import "math"

// A strain of one arm is smaller than an incident and lasts longer: a noisy neighbour on a pod's machine makes the arm
// half as bad again, or nearly twice as bad, for some minutes. It belongs to "no worse", as a hidden state of the null.
// The constants are how often it begins, its mean duration in seconds, and its size, a standard deviation of the log
// ratio. The size is constant while it lasts, since wandering has components of its own.
//
// The test for a pass has no strains: it compares two ratios, and a strain moves both hypotheses alike.
const (
	strainBegins = 0.25 / hour
	strainLasts  = 300.0
	strainSize   = 0.3
)

// strains returns the log probability of the look under the null; plain is the one without a strain. It updates the
// probability that a strain is going on and the belief about it, so it has to run before the null learns from the look.
func (m *Model) strains(s *State, l *Look, plain float64, d int) (sum float64) {
	fresh, on := s.rows[null].copyWith(strainSize*strainSize), &s.rows[strained]
	freshP, onP := m.hold(&fresh, &l.datum, 0, d), m.hold(on, &l.datum, 0, d)
	same := s.strain * math.Exp(-l.Seconds/strainLasts)
	// One that began in a long look, and was over by its end, is not going on: no look has more of them begin than one that
	// is as long as a strain.
	begins := (1 - same) * -math.Expm1(-strainBegins*min(l.Seconds, strainLasts))
	young := math.Log(begins) + freshP.log
	in := LogAdd(math.Log(same)+onP.log, young)
	sum = LogAdd(math.Log(1-same-begins)+plain, in)
	s.strain = mix(0, 1, math.Exp(in-sum))
	onP.learn(on, d, 1)
	freshP.learn(&fresh, d, 1)
	on.blend(d, math.Exp(young-in), &fresh)
	return sum
}

// relax lets a strain end in looks that show nothing.
func (s *State) relax(seconds float64) { s.strain *= math.Exp(-seconds / strainLasts) }
