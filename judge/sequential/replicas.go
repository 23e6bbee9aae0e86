package sequential

import "github.com/serindev/serin/judge"

// Replicas is what the replicas of the version in service teach before its first release: how much two of them, which
// are one version, differ. Each element of pairs holds the looks of one pair, one replica in the place of the canary
// and another in that of the baseline, over the last hours; the result is for [Judge.Begin].
//
// A pair teaches a metric only from 64 looks with data on, as a release does. A pair that the judge would have failed
// teaches too, and a great deal: these replicas are one version, so what was seen is noise.
//
// spec/sequential-judge.md, Learned noise.
func (j *Judge) Replicas(pairs [][]judge.Look) map[string][]judge.Past {
	alone := *j // the whole of each pair is all that is asked for
	alone.anew, alone.settings.Split = anew{}, nil
	pasts := map[string][]judge.Past{}
	for _, looks := range pairs {
		e := alone.Begin(nil)
		for _, l := range looks {
			e, _ = alone.Look(e, l)
		}
		for metric, past := range e.Learned() {
			pasts[metric] = append(pasts[metric], past)
		}
	}
	return pasts
}
